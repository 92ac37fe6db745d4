// SPDX-License-Identifier: GPL-2.0-only
#include "server.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <zlib.h>

#include "../core/clock.h"
#include "http.h"

enum {
	MOST_CONNECTIONS = 64,
	DEADLINE_S = 15,
	IDLE_S = 300,
	BEAT_S = 5,
	MISSED_BEATS = 3, /* then the watching thread is taken for dead */
	HEAD_LEN = 512,
	GZIP_LEVEL = 1, /* 6 takes four times as long for a fifth less */
};

#define OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define CLASSIC "text/plain; version=0.0.4; charset=utf-8"

static const char *const content_types[NR_TEXTS] = { CLASSIC, OPENMETRICS };

/* A text that somebody sends; freed when nobody does any more. The server's thread alone has it. */
struct body {
	unsigned int users;
	char *data, *gzipped;
	size_t len, gzipped_len;
	uint64_t since_ns;
};

enum state { READING, WAITING, WRITING };

struct connection {
	int fd; /* -1: none */
	enum state state;
	uint64_t since_ns; /* of the request's first byte, or the connection */
	bool begun;	   /* a part of a request is there */
	struct http_request request;
	char in[MAX_REQUEST];
	size_t in_len;
	char head[HEAD_LEN];
	size_t head_len, sent; /* of head and body together */
	struct body *body;
	const char *out; /* of the body, or a text of the program's */
	size_t out_len;
	bool closes;
};

struct server {
	struct server_options options;
	int fds[MAX_LISTENERS];
	int wanted_fd, given_fd;
	pthread_t thread;
	bool runs;
	struct connection *connections;
	struct pollfd *polled;
	struct body *latest[NR_TEXTS];
	/* Between the threads. */
	pthread_mutex_t lock;
	unsigned int wanted;
	bool ends;
	struct given {
		char *data;
		size_t len;
		uint64_t since_ns;
		bool is_there;
	} given[NR_TEXTS];
	uint64_t beat_ns; /* the watching thread was alive then */
	struct server_counts counts;
};

const char *refused__name(enum refused what)
{
	static const char *const names[NR_REFUSED] = {
		[REFUSED_CONNECTIONS] = "connections",
		[REFUSED_DEADLINE] = "deadline",
		[REFUSED_SIZE] = "size",
		[REFUSED_REQUEST] = "request",
		[REFUSED_UNREADY] = "unready",
	};

	return names[what];
}

static void add_one(uint64_t *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

void server__count(const struct server *s, struct server_counts *counts)
{
	const uint64_t *from = (const uint64_t *)&s->counts;
	uint64_t *to = (uint64_t *)counts;

	for (size_t i = 0; i < sizeof(*counts) / sizeof(*to); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

static void ring(int fd)
{
	const uint64_t one = 1;

	/* Full: it is rung. */
	if (write(fd, &one, sizeof(one)) < 0)
		return;
}

static void silence(int fd)
{
	uint64_t value;

	if (read(fd, &value, sizeof(value)) < 0)
		return;
}

/* Texts */

static void put_body(struct body *body)
{
	if (!body || --body->users)
		return;
	free(body->data);
	free(body->gzipped);
	free(body);
}

static struct body *get_body(struct body *body)
{
	body->users++;
	return body;
}

/* Once for all who take it. False: there is no memory; then it is sent as it is. */
static bool gzip(struct body *body)
{
	z_stream z = {};
	size_t room;

	if (body->gzipped)
		return true;
	/* 16: with gzip's head. */
	if (deflateInit2(&z, GZIP_LEVEL, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	room = deflateBound(&z, body->len);
	body->gzipped = malloc(room);
	if (body->gzipped) {
		z.next_in = (Bytef *)body->data;
		z.avail_in = body->len;
		z.next_out = (Bytef *)body->gzipped;
		z.avail_out = room;
		if (deflate(&z, Z_FINISH) == Z_STREAM_END) {
			body->gzipped_len = z.total_out;
		} else {
			free(body->gzipped);
			body->gzipped = NULL;
		}
	}
	deflateEnd(&z);
	return body->gzipped;
}

/* Connections */

static void forget_request(struct connection *c, uint64_t now)
{
	put_body(c->body);
	c->body = NULL;
	c->out = NULL;
	c->out_len = c->head_len = c->sent = 0;
	c->state = READING;
	c->since_ns = now;
	c->begun = c->in_len;
}

static void close_connection(struct server *s, struct connection *c)
{
	close(c->fd);
	put_body(c->body);
	c->body = NULL;
	c->fd = -1;
	__atomic_sub_fetch(&s->counts.now, 1, __ATOMIC_RELAXED);
}

static void answer(struct connection *c, int code, const char *type, const char *encoding,
		   const char *out, size_t len)
{
	int used = snprintf(c->head, sizeof(c->head),
			    "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s%s%s%s"
			    "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
			    "Vary: Accept, Accept-Encoding\r\nConnection: %s\r\n\r\n",
			    code, http__reason(code), type, len,
			    encoding ? "Content-Encoding: " : "", encoding ?: "",
			    encoding ? "\r\n" : "", code == 405 ? "Allow: GET, HEAD\r\n" : "",
			    c->closes ? "close" : "keep-alive");

	c->head_len = used;
	c->out = out;
	c->out_len = c->request.head ? 0 : len;
	c->sent = 0;
	c->state = WRITING;
}

/* One line, and that is the end of the connection where it was not understood. */
static void answer_line(struct connection *c, int code, const char *line)
{
	if (code != 200 && code != 404)
		c->closes = true;
	answer(c, code, "text/plain; charset=utf-8", NULL, line, strlen(line));
}

static void answer_body(struct server *s, struct connection *c, unsigned int text)
{
	struct body *body = get_body(s->latest[text]);

	c->body = body;
	add_one(&s->counts.answered);
	if (c->request.gzip && gzip(body))
		answer(c, 200, content_types[text], "gzip", body->gzipped, body->gzipped_len);
	else
		answer(c, 200, content_types[text], NULL, body->data, body->len);
}

static bool is_alive(struct server *s, uint64_t now)
{
	bool alive;

	pthread_mutex_lock(&s->lock);
	alive = now < s->beat_ns + MISSED_BEATS * s->options.beat_ns;
	pthread_mutex_unlock(&s->lock);
	return alive;
}

static void want(struct server *s, unsigned int texts)
{
	pthread_mutex_lock(&s->lock);
	s->wanted |= texts;
	pthread_mutex_unlock(&s->lock);
	ring(s->wanted_fd);
}

static void serve_request(struct server *s, struct connection *c, uint64_t now)
{
	const char *path = c->request.path;
	unsigned int text = c->request.openmetrics;

	c->closes = !c->request.keep_alive;
	if (!strcmp(path, "/metrics")) {
		if (s->latest[text] && now - s->latest[text]->since_ns < SHARED_NS) {
			answer_body(s, c, text);
			return;
		}
		c->state = WAITING;
		want(s, 1U << text);
	} else if (!strcmp(path, "/healthz")) {
		if (is_alive(s, now))
			answer_line(c, 200, "ok\n");
		else
			answer_line(c, 503, "the thread that watches does not answer\n");
	} else if (!strcmp(path, "/")) {
		answer(c, 200, "text/html; charset=utf-8", NULL, s->options.welcome,
		       strlen(s->options.welcome));
	} else {
		add_one(&s->counts.not_found);
		answer_line(c, 404, "there are /, /metrics and /healthz\n");
	}
}

static void refuse_request(struct server *s, struct connection *c, int code)
{
	bool size = code == 413 || code == 414 || code == 431;

	add_one(&s->counts.refused[size ? REFUSED_SIZE : REFUSED_REQUEST]);
	c->request.head = false;
	answer_line(c, code,
		    size	? "the request is too large, or has a body\n" :
		    code == 405 ? "GET and HEAD\n" :
				  "this is not a request that is understood here\n");
}

static void parse(struct server *s, struct connection *c, uint64_t now)
{
	size_t used;
	int code = http__parse(c->in, c->in_len, &c->request, &used);

	if (!code)
		return;
	if (code != 200) {
		refuse_request(s, c, code);
		c->in_len = 0;
		return;
	}
	memmove(c->in, c->in + used, c->in_len - used);
	c->in_len -= used;
	serve_request(s, c, now);
}

static void receive(struct server *s, struct connection *c, uint64_t now)
{
	ssize_t nr = read(c->fd, c->in + c->in_len, sizeof(c->in) - c->in_len);

	if (nr < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (nr <= 0) {
		close_connection(s, c);
		return;
	}
	if (!c->begun)
		c->since_ns = now;
	c->begun = true;
	c->in_len += nr;
	parse(s, c, now);
}

/* 0: all is sent; 1: not yet; -1: nobody takes it. */
static int send_more(struct connection *c)
{
	size_t all = c->head_len + c->out_len;

	while (c->sent < all) {
		bool in_head = c->sent < c->head_len;
		const char *from = in_head ? c->head + c->sent : c->out + (c->sent - c->head_len);
		size_t len = in_head ? c->head_len - c->sent : all - c->sent;
		ssize_t nr = send(c->fd, from, len,
				  MSG_NOSIGNAL | (in_head && c->out_len ? MSG_MORE : 0));

		if (nr < 0 && errno == EINTR)
			continue;
		if (nr < 0)
			return errno == EAGAIN ? 1 : -1;
		c->sent += nr;
	}
	return 0;
}

/* Lets the client read the answer to what it is still sending. */
static void shut(struct server *s, struct connection *c)
{
	char rest[4096];

	shutdown(c->fd, SHUT_WR);
	while (recv(c->fd, rest, sizeof(rest), MSG_DONTWAIT) > 0)
		;
	close_connection(s, c);
}

static void transmit(struct server *s, struct connection *c, uint64_t now)
{
	int left = send_more(c);

	if (left > 0)
		return;
	if (left < 0) {
		close_connection(s, c);
		return;
	}
	if (c->closes) {
		shut(s, c);
		return;
	}
	forget_request(c, now);
	if (c->in_len)
		parse(s, c, now);
}

static struct connection *free_place(struct server *s)
{
	for (size_t i = 0; i < s->options.most_connections; i++)
		if (s->connections[i].fd < 0)
			return &s->connections[i];
	return NULL;
}

/* Who has waited longest between two requests gives way; he can come again. */
static struct connection *make_place(struct server *s)
{
	struct connection *oldest = NULL;

	for (size_t i = 0; i < s->options.most_connections; i++) {
		struct connection *c = &s->connections[i];

		if (c->state == READING && !c->begun && c->sent == 0 && c->head[0] &&
		    (!oldest || c->since_ns < oldest->since_ns))
			oldest = c;
	}
	if (oldest)
		close_connection(s, oldest);
	return oldest;
}

static void refuse_connection(struct server *s, int fd)
{
	static const char text[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n"
				   "Connection: close\r\nRetry-After: 5\r\n\r\n";

	add_one(&s->counts.refused[REFUSED_CONNECTIONS]);
	if (send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		shutdown(fd, SHUT_WR);
	close(fd);
}

static void accept_one(struct server *s, int listener, uint64_t now)
{
	/* Nobody's address is wanted, which cppcheck does not know. */
	/* cppcheck-suppress nullPointer */
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct connection *c;

	if (fd < 0)
		return;
	c = free_place(s);
	if (!c)
		c = make_place(s);
	if (!c) {
		refuse_connection(s, fd);
		return;
	}
	c->fd = fd;
	c->in_len = 0;
	c->head[0] = '\0';
	c->closes = false;
	forget_request(c, now);
	add_one(&s->counts.connections);
	add_one(&s->counts.now);
}

/* A request that began takes no longer than its deadline, and nobody stays idle for ever. */
static void check_time(struct server *s, struct connection *c, uint64_t now)
{
	bool idle = c->state == READING && !c->begun && c->head[0];

	if (now - c->since_ns < (idle ? s->options.idle_ns : s->options.deadline_ns))
		return;
	if (c->state == WAITING) {
		add_one(&s->counts.refused[REFUSED_UNREADY]);
		answer_line(c, 503, "there is no sample: the thread that watches is late\n");
		send_more(c);
	} else if (!idle) {
		add_one(&s->counts.refused[REFUSED_DEADLINE]);
		if (c->state == READING) {
			answer_line(c, 408, "the request took too long\n");
			send_more(c);
		}
	}
	close_connection(s, c);
}

/* NULL: there was no memory. */
static struct body *new_body(const struct given *given)
{
	struct body *body = calloc(1, sizeof(*body));

	if (!body || !given->data) {
		free(given->data);
		free(body);
		return NULL;
	}
	*body = (struct body){
		.users = 1, .data = given->data, .len = given->len, .since_ns = given->since_ns
	};
	return body;
}

/* It is the latest one now, and all who wait for it get it. */
static void take_text(struct server *s, unsigned int text, const struct given *given)
{
	struct body *body = new_body(given);

	if (body) {
		put_body(s->latest[text]);
		s->latest[text] = body;
	}
	for (size_t i = 0; i < s->options.most_connections; i++) {
		struct connection *c = &s->connections[i];

		if (c->fd < 0 || c->state != WAITING || c->request.openmetrics != text)
			continue;
		if (body)
			answer_body(s, c, text);
		else
			answer_line(c, 503, "there is too little memory\n");
	}
}

/* What the watching thread has given. */
static void take_given(struct server *s)
{
	struct given given[NR_TEXTS];

	silence(s->given_fd);
	pthread_mutex_lock(&s->lock);
	memcpy(given, s->given, sizeof(given));
	memset(s->given, 0, sizeof(s->given));
	pthread_mutex_unlock(&s->lock);
	for (unsigned int text = 0; text < NR_TEXTS; text++)
		if (given[text].is_there)
			take_text(s, text, &given[text]);
}

static void serve_connections(struct server *s, const struct pollfd *polled, uint64_t now)
{
	for (size_t i = 0; i < s->options.most_connections; i++) {
		struct connection *c = &s->connections[i];
		short events = polled[i].revents;

		if (c->fd < 0 || polled[i].fd != c->fd)
			continue;
		if (events & (POLLERR | POLLNVAL) || (events & POLLHUP && c->state == WAITING)) {
			close_connection(s, c);
			continue;
		}
		if (c->state == READING && events & (POLLIN | POLLHUP))
			receive(s, c, now);
		/* What is answered at once is sent at once. */
		if (c->fd >= 0 && c->state == WRITING)
			transmit(s, c, now);
		if (c->fd >= 0)
			check_time(s, c, now);
	}
}

static short events_of(const struct connection *c)
{
	return c->state == READING ? POLLIN : c->state == WRITING ? POLLOUT : 0;
}

/* So long nothing has to be done about times. */
static int next_timeout(const struct server *s)
{
	bool busy = false;

	for (size_t i = 0; i < s->options.most_connections; i++)
		busy |= s->connections[i].fd >= 0;
	return (int)((busy && s->options.beat_ns > NSEC_PER_SEC ? (uint64_t)NSEC_PER_SEC :
								  s->options.beat_ns) /
		     NSEC_PER_MSEC);
}

static void *run(void *arg)
{
	struct server *s = arg;
	size_t most = s->options.most_connections, nr_fds = s->options.nr_fds;
	uint64_t beat_at = 0;

	for (;;) {
		struct pollfd *polled = s->polled;
		uint64_t now;
		bool ends;

		for (size_t i = 0; i < most; i++)
			polled[i] = (struct pollfd){ .fd = s->connections[i].fd,
						     .events = events_of(&s->connections[i]) };
		for (size_t i = 0; i < nr_fds; i++)
			polled[most + i] = (struct pollfd){ .fd = s->fds[i], .events = POLLIN };
		polled[most + nr_fds] = (struct pollfd){ .fd = s->given_fd, .events = POLLIN };
		poll(polled, most + nr_fds + 1, next_timeout(s));
		now = clock__ns();
		pthread_mutex_lock(&s->lock);
		ends = s->ends;
		pthread_mutex_unlock(&s->lock);
		if (ends)
			return NULL;
		if (polled[most + nr_fds].revents)
			take_given(s);
		serve_connections(s, polled, now);
		for (size_t i = 0; i < nr_fds; i++)
			if (polled[most + i].revents & POLLIN)
				accept_one(s, s->fds[i], now);
		if (now >= beat_at) {
			want(s, 0);
			beat_at = now + s->options.beat_ns;
		}
	}
}

struct server *server__new(const struct server_options *options)
{
	struct server *s = calloc(1, sizeof(*s));
	size_t most;

	if (!s)
		return NULL;
	s->options = *options;
	s->options.most_connections = options->most_connections ?: MOST_CONNECTIONS;
	s->options.deadline_ns = options->deadline_ns ?: DEADLINE_S * (uint64_t)NSEC_PER_SEC;
	s->options.idle_ns = options->idle_ns ?: IDLE_S * (uint64_t)NSEC_PER_SEC;
	s->options.beat_ns = options->beat_ns ?: BEAT_S * (uint64_t)NSEC_PER_SEC;
	most = s->options.most_connections;
	memcpy(s->fds, options->fds, options->nr_fds * sizeof(*s->fds));
	s->connections = calloc(most, sizeof(*s->connections));
	s->polled = calloc(most + options->nr_fds + 1, sizeof(*s->polled));
	s->wanted_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->given_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&s->lock, NULL);
	for (size_t i = 0; s->connections && i < most; i++)
		s->connections[i].fd = -1;
	if (s->connections && s->polled && s->wanted_fd >= 0 && s->given_fd >= 0)
		return s;
	server__free(s);
	errno = ENOMEM;
	return NULL;
}

int server__start(struct server *s)
{
	sigset_t all, before;
	int err;

	s->beat_ns = clock__ns();
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	err = pthread_create(&s->thread, NULL, run, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	s->runs = !err;
	return -err;
}

void server__free(struct server *s)
{
	if (!s)
		return;
	if (s->runs) {
		pthread_mutex_lock(&s->lock);
		s->ends = true;
		pthread_mutex_unlock(&s->lock);
		ring(s->given_fd);
		pthread_join(s->thread, NULL);
	}
	for (size_t i = 0; s->connections && i < s->options.most_connections; i++)
		if (s->connections[i].fd >= 0)
			close_connection(s, &s->connections[i]);
	for (size_t i = 0; i < s->options.nr_fds; i++)
		close(s->fds[i]);
	for (unsigned int text = 0; text < NR_TEXTS; text++) {
		put_body(s->latest[text]);
		free(s->given[text].data);
	}
	if (s->wanted_fd >= 0)
		close(s->wanted_fd);
	if (s->given_fd >= 0)
		close(s->given_fd);
	pthread_mutex_destroy(&s->lock);
	free(s->connections);
	free(s->polled);
	free(s);
}

int server__fd(const struct server *s)
{
	return s->wanted_fd;
}

unsigned int server__wanted(struct server *s)
{
	unsigned int wanted;

	silence(s->wanted_fd);
	pthread_mutex_lock(&s->lock);
	wanted = s->wanted;
	s->wanted = 0;
	s->beat_ns = clock__ns();
	pthread_mutex_unlock(&s->lock);
	return wanted;
}

void server__give(struct server *s, unsigned int text, char *data, size_t len, uint64_t since_ns)
{
	char *old;

	pthread_mutex_lock(&s->lock);
	old = s->given[text].data;
	s->given[text] = (struct given){ data, len, since_ns, true };
	pthread_mutex_unlock(&s->lock);
	free(old);
	ring(s->given_fd);
}
