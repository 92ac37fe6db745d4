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
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <zlib.h>

#include "../core/clock.h"
#include "negotiate.h"

enum {
	MOST_CONNECTIONS = 64,
	DEADLINE_S = 15,
	IDLE_S = 300,
	BEAT_S = 5,
	MISSED_BEATS = 3,	/* then the watching thread is taken for dead */
	MOST_AT_ONCE = 1 << 20, /* bytes that are written before others have their turn */
	MAX_RESTS = 16,		/* reads of what a client who is refused goes on to send */
	SHORT_MS = 100,		/* between two attempts to get memory */
	GZIP_LEVEL = 1,		/* 6 takes four times as long for a fifth less */
};

#define OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define CLASSIC "text/plain; version=0.0.4; charset=utf-8"
#define PLAIN "text/plain; charset=utf-8"

static const char *const content_types[NR_TEXTS] = { CLASSIC, OPENMETRICS };

/* What is said to whom, and counted. */
static const struct refusal {
	enum refused why;
	const char *status, *line;
} crowded = { REFUSED_CONNECTIONS, "503 Service Unavailable\r\nRetry-After: 5",
	      "there are too many connections\n" },
  slow = { REFUSED_DEADLINE, "408 Request Timeout", "the request took too long\n" },
  large = { REFUSED_SIZE, "413 Content Too Large", "the request is too large, or has a body\n" },
  strange = { REFUSED_REQUEST, "400 Bad Request", "the request is malformed\n" },
  method = { REFUSED_REQUEST, "405 Method Not Allowed\r\nAllow: GET, HEAD",
	     "only GET and HEAD are supported\n" },
  unready = { REFUSED_UNREADY, "503 Service Unavailable",
	      "there is no sample: the watching thread is late\n" };

/* A text that somebody sends; freed when nobody does any more. The server's thread alone has it. */
struct body {
	unsigned int users;
	char *data, *gzipped;
	size_t len, gzipped_len;
	uint64_t since_ns;
};

enum state {
	READING,
	WAITING, /* for a text */
	WRITING,
	CROWDED, /* it is one too many, which is still to be said */
	OVER,
};

/*
 * evhttp has a filter that filters nothing. What passes between it and the socket is moved here,
 * and so it is counted, bounded and ended.
 */
struct connection {
	TAILQ_ENTRY(connection) of_server; /* who was answered last is the last */
	struct server *server;
	struct bufferevent *socket, *http;
	struct event *timer;
	enum state state;
	size_t received;		/* of a request; 0: none has begun */
	bool served;			/* one before it was answered */
	struct evhttp_request *request; /* that evhttp has handed over, until it gets its answer */
	unsigned int text;		/* that it wants */
	bool gzip;
};

struct server {
	struct server_options options;
	int wanted_fd, given_fd;
	pthread_t thread;
	bool runs;
	struct event_base *base;
	struct event *beat, *news;
	struct evhttp *http;
	TAILQ_HEAD(connections, connection) connections;
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

/* Texts */

static void put_body(struct body *body)
{
	if (!body || --body->users)
		return;
	free(body->data);
	free(body->gzipped);
	free(body);
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

/*
 * libevent goes on where it gets no memory, into nothing. This thread can wait for some: nobody
 * waits for it, and what watches it (the beat) sees that it does.
 */
static _Thread_local bool may_wait;

static void *take_again(void *old, size_t size)
{
	void *more = realloc(old, size);

	while (!more && may_wait) {
		poll(NULL, 0, SHORT_MS);
		more = realloc(old, size);
	}
	return more;
}

static void *take(size_t size)
{
	return take_again(NULL, size);
}

/* Connections */

static bool is_idle(const struct connection *c)
{
	return c->state == READING && c->served && !c->received;
}

static int set_timer(struct event *timer, uint64_t ns)
{
	const struct timeval time = { ns / NSEC_PER_SEC, ns % NSEC_PER_SEC / NSEC_PER_USEC };

	return event_add(timer, &time);
}

static void leave(struct connection *c)
{
	if (c->state < CROWDED)
		__atomic_sub_fetch(&c->server->counts.now, 1, __ATOMIC_RELAXED);
	c->state = OVER;
}

/* evhttp lets go of it as soon as it is told that the client has. */
static void hang_up(struct connection *c)
{
	leave(c);
	bufferevent_trigger_event(c->http, BEV_EVENT_EOF | BEV_EVENT_READING,
				  BEV_TRIG_DEFER_CALLBACKS);
}

/* Past evhttp. Where a part of an answer is sent, and to HEAD, less is said. */
static void refuse(struct connection *c, const struct refusal *refusal)
{
	bool head = c->request && c->request->type == EVHTTP_REQ_HEAD;
	char text[512];
	int len;

	add_one(&c->server->counts.refused[refusal->why]);
	if (c->state != WRITING) {
		len = snprintf(text, sizeof(text),
			       "HTTP/1.1 %s\r\nContent-Type: " PLAIN "\r\nContent-Length: %zu\r\n"
			       "Connection: close\r\n\r\n%s",
			       refusal->status, strlen(refusal->line), head ? "" : refusal->line);
		/* Who does not take it does without. */
		send(bufferevent_getfd(c->socket), text, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	hang_up(c);
}

/* Its time is over. */
static void late(evutil_socket_t fd, short what, void *arg)
{
	struct connection *c = arg;

	(void)fd;
	(void)what;
	if (is_idle(c))
		hang_up(c);
	else if (c->state != OVER)
		refuse(c, c->state == CROWDED ? &crowded : c->state == WAITING ? &unready : &slow);
}

/* From the client, who gets no further than the end of his request before he has his answer. */
static void received(struct bufferevent *socket, void *arg)
{
	struct connection *c = arg;
	int nr;

	if (c->state != READING || !evbuffer_get_length(bufferevent_get_input(socket)))
		return;
	if (!c->received)
		set_timer(c->timer, c->server->options.deadline_ns);
	nr = evbuffer_remove_buffer(bufferevent_get_input(socket), bufferevent_get_input(c->http),
				    MAX_REQUEST - c->received);
	c->received += nr > 0 ? nr : 0;
	/* evhttp takes what is there, and may have it answered. */
	bufferevent_trigger(c->http, EV_READ, 0);
	if (c->state == READING && (nr < 0 || c->received == MAX_REQUEST))
		refuse(c, &large);
}

/* From evhttp. Before it has handed a request over, it can only say that it takes none. */
static void said(struct evbuffer *from, const struct evbuffer_cb_info *info, void *arg)
{
	struct connection *c = arg;
	char line[32] = "";
	int code = 0;

	if (!info->n_added)
		return;
	if (c->state == WRITING) {
		evbuffer_add_buffer(bufferevent_get_output(c->socket), from);
		return;
	}
	evbuffer_copyout(from, line, sizeof(line) - 1);
	evbuffer_drain(from, evbuffer_get_length(from));
	/* "HTTP/1.1 413 ..."; "100 Continue" asks for a body. */
	if (c->state == READING && sscanf(line, "%*s %d", &code) == 1)
		refuse(c, code == 413 || code == 100 ? &large : &strange);
}

/* The kernel has all of it. */
static void written(struct bufferevent *socket, void *arg)
{
	struct connection *c = arg;

	(void)socket;
	if (c->state == WRITING)
		bufferevent_trigger(c->http, EV_WRITE, 0);
}

/* Who has asked and says no more still gets the answer. */
static void ended(struct bufferevent *socket, short what, void *arg)
{
	bool says_no_more = what == (BEV_EVENT_EOF | BEV_EVENT_READING);
	struct connection *c = arg;

	(void)socket;
	if (says_no_more && c->state == READING && c->received)
		refuse(c, &strange);
	else if (!says_no_more || c->state == READING)
		hang_up(c);
}

/* An answer is sent. evhttp goes on with the next request, or closes. */
static void answered(struct evhttp_request *request, void *arg)
{
	struct connection *c = arg;

	(void)request;
	c->state = READING;
	c->served = true;
	/* What came with the last one. */
	c->received = evbuffer_get_length(bufferevent_get_input(c->http));
	set_timer(c->timer,
		  c->received ? c->server->options.deadline_ns : c->server->options.idle_ns);
	TAILQ_REMOVE(&c->server->connections, c, of_server);
	TAILQ_INSERT_TAIL(&c->server->connections, c, of_server);
	/* What came since then, and the end once more. */
	bufferevent_enable(c->socket, EV_READ);
	bufferevent_trigger(c->socket, EV_READ, BEV_TRIG_DEFER_CALLBACKS);
}

/* evhttp has closed it. What is not read yet would have the kernel take back the answer. */
static void forget(void *arg)
{
	struct connection *c = arg;
	int fd = bufferevent_getfd(c->socket);
	char rest[4096];

	for (int i = 0; i < MAX_RESTS && recv(fd, rest, sizeof(rest), MSG_DONTWAIT) > 0; i++)
		;
	leave(c);
	TAILQ_REMOVE(&c->server->connections, c, of_server);
	event_free(c->timer);
	if (c->request)
		evhttp_request_free(c->request);
	free(c);
}

/* Who has waited longest between two requests gives way; he can come again. */
static bool make_place(struct server *s)
{
	for (struct connection *c = TAILQ_FIRST(&s->connections); c; c = TAILQ_NEXT(c, of_server)) {
		if (is_idle(c)) {
			hang_up(c);
			return true;
		}
	}
	return false;
}

static struct bufferevent *accepted(struct event_base *base, void *arg)
{
	struct connection *c = take(sizeof(*c));
	struct server *s = arg;

	/* It waits for it, which gcc does not see. */
	if (!c)
		abort();
	*c = (struct connection){ .server = s };
	c->socket = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	c->http = bufferevent_filter_new(c->socket, NULL, NULL, BEV_OPT_CLOSE_ON_FREE, forget, c);
	c->timer = evtimer_new(base, late, c);
	evbuffer_add_cb(bufferevent_get_output(c->http), said, c);
	TAILQ_INSERT_TAIL(&s->connections, c, of_server);
	/* Instead of the filter's own. */
	bufferevent_setcb(c->socket, received, written, ended, c);
	bufferevent_setwatermark(c->socket, EV_READ, 0, MAX_REQUEST);
	bufferevent_set_max_single_write(c->socket, MOST_AT_ONCE);
	bufferevent_enable(c->socket, EV_READ | EV_WRITE);
	if (s->counts.now < s->options.most_connections || make_place(s)) {
		add_one(&s->counts.connections);
		add_one(&s->counts.now);
		set_timer(c->timer, s->options.deadline_ns);
	} else {
		/* Its socket follows. */
		c->state = CROWDED;
		set_timer(c->timer, 0);
	}
	return c->http;
}

/* Answers */

static void release(const void *data, size_t len, void *body)
{
	(void)data;
	(void)len;
	put_body(body);
}

/* Data is the program's, or of a body. */
static void answer(struct connection *c, int code, const char *type, const char *data, size_t len,
		   struct body *body)
{
	struct evhttp_request *request = c->request;
	struct evkeyvalq *headers = request->output_headers;
	bool head = request->type == EVHTTP_REQ_HEAD;
	char number[32];

	snprintf(number, sizeof(number), "%zu", len);
	evhttp_add_header(headers, "Content-Type", type);
	evhttp_add_header(headers, "Content-Length", number);
	evhttp_add_header(headers, "Cache-Control", "no-store");
	evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
	evhttp_add_header(headers, "Vary", "Accept, Accept-Encoding");
	if (body && data == body->gzipped)
		evhttp_add_header(headers, "Content-Encoding", "gzip");
	if (!head) {
		evbuffer_add_reference(request->output_buffer, data, len, body ? release : NULL,
				       body);
		if (body)
			body->users++;
	}
	evhttp_request_set_on_complete_cb(request, answered, c);
	c->request = NULL;
	c->state = WRITING;
	evhttp_send_reply(request, code, NULL, NULL);
}

static void answer_line(struct connection *c, int code, const char *line)
{
	answer(c, code, PLAIN, line, strlen(line), NULL);
}

static void answer_body(struct connection *c)
{
	struct body *body = c->server->latest[c->text];

	add_one(&c->server->counts.answered);
	if (c->gzip && gzip(body))
		answer(c, 200, content_types[c->text], body->gzipped, body->gzipped_len, body);
	else
		answer(c, 200, content_types[c->text], body->data, body->len, body);
}

static bool is_alive(struct server *s)
{
	uint64_t now = clock__ns();
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
	/* Full: it is rung. */
	eventfd_write(s->wanted_fd, 1);
}

static void serve_request(struct server *s, struct connection *c, const char *path)
{
	const struct body *latest = s->latest[c->text];
	bool is_metrics = !strcmp(path, "/metrics");

	if (is_metrics && latest && clock__ns() - latest->since_ns < SHARED_NS) {
		answer_body(c);
	} else if (is_metrics) {
		c->state = WAITING;
		want(s, 1U << c->text);
	} else if (!strcmp(path, "/healthz")) {
		if (is_alive(s))
			answer_line(c, 200, "ok\n");
		else
			answer_line(c, 503, "the watching thread does not respond\n");
	} else if (!strcmp(path, "/")) {
		answer(c, 200, "text/html; charset=utf-8", s->options.welcome,
		       strlen(s->options.welcome), NULL);
	} else {
		add_one(&s->counts.not_found);
		answer_line(c, 404, "not found; use /, /metrics or /healthz\n");
	}
}

/* NULL: nothing is wrong. */
static const struct refusal *check_request(const struct evhttp_request *request)
{
	if (request->major != 1 || request->minor < 0)
		return &strange;
	/* evhttp leaves some bodies where they are: as the next request. */
	for (const struct evkeyval *header = TAILQ_FIRST(request->input_headers); header;
	     header = TAILQ_NEXT(header, next)) {
		if (!strcasecmp(header->key, "transfer-encoding") ||
		    (!strcasecmp(header->key, "content-length") && strcmp(header->value, "0") != 0))
			return &large;
	}
	return request->type == EVHTTP_REQ_GET || request->type == EVHTTP_REQ_HEAD ? NULL : &method;
}

static struct connection *connection_of(struct evhttp_request *request)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(request);
	void *c;

	bufferevent_getcb(bufferevent_get_underlying(evhttp_connection_get_bufferevent(connection)),
			  NULL, NULL, NULL, &c);
	return c;
}

/* evhttp hands a request over. */
static void take_request(struct evhttp_request *request, void *arg)
{
	const struct refusal *refusal = check_request(request);
	struct wishes wishes = {};
	struct connection *c = connection_of(request);

	c->request = request;
	/* It is being closed. */
	if (c->state != READING)
		return;
	if (refusal) {
		refuse(c, refusal);
		return;
	}
	/* The answer's version. */
	request->minor = request->minor > 0;
	for (const struct evkeyval *header = TAILQ_FIRST(request->input_headers); header;
	     header = TAILQ_NEXT(header, next)) {
		wishes__hear(&wishes, header->key, header->value);
	}
	c->text = wishes__openmetrics(&wishes);
	c->gzip = wishes.gzip;
	serve_request(arg, c, evhttp_uri_get_path(request->uri_elems));
}

/* The other thread */

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
	for (struct connection *c = TAILQ_FIRST(&s->connections); c; c = TAILQ_NEXT(c, of_server)) {
		if (c->state != WAITING || c->text != text)
			continue;
		if (body)
			answer_body(c);
		else
			refuse(c, &unready);
	}
}

/* What the watching thread has given. */
static void take_given(evutil_socket_t fd, short what, void *arg)
{
	struct given given[NR_TEXTS];
	struct server *s = arg;
	eventfd_t times;

	(void)what;
	eventfd_read(fd, &times);
	pthread_mutex_lock(&s->lock);
	memcpy(given, s->given, sizeof(given));
	memset(s->given, 0, sizeof(s->given));
	if (s->ends)
		event_base_loopbreak(s->base);
	pthread_mutex_unlock(&s->lock);
	for (unsigned int text = 0; text < NR_TEXTS; text++)
		if (given[text].is_there)
			take_text(s, text, &given[text]);
}

static void beat(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	want(arg, 0);
}

static void *run(void *arg)
{
	struct server *s = arg;

	may_wait = true;
	event_base_loop(s->base, EVLOOP_NO_EXIT_ON_EMPTY);
	return NULL;
}

/* Refusals are counted, and it has no other news for people. */
static void hush(int severity, const char *message)
{
	(void)severity;
	(void)message;
}

static struct event_base *new_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	if (config && !event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV))
		base = event_base_new_with_config(config);
	if (config)
		event_config_free(config);
	return base;
}

/* True: evhttp listens, and all there is to it. */
static bool listens(struct server *s)
{
	const struct server_options *o = &s->options;
	size_t nr = 0;

	s->base = new_base();
	if (s->base) {
		s->http = evhttp_new(s->base);
		s->beat = event_new(s->base, -1, EV_PERSIST, beat, s);
		s->news = event_new(s->base, s->given_fd, EV_READ | EV_PERSIST, take_given, s);
	}
	while (s->http && nr < o->nr_fds && !evhttp_accept_socket(s->http, o->fds[nr]))
		nr++;
	if (nr < o->nr_fds || !s->http || !s->beat || !s->news || event_add(s->news, NULL) ||
	    set_timer(s->beat, o->beat_ns)) {
		for (; nr < o->nr_fds; nr++)
			close(o->fds[nr]);
		return false;
	}
	evhttp_set_bevcb(s->http, accepted, s);
	evhttp_set_gencb(s->http, take_request, s);
	/* Those that are not served have answers of their own. */
	evhttp_set_allowed_methods(s->http, UINT16_MAX);
	evhttp_set_max_body_size(s->http, 0);
	return true;
}

struct server *server__new(const struct server_options *options)
{
	struct server *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	event_set_mem_functions(take, take_again, free);
	event_set_log_callback(hush);
	s->options = *options;
	s->options.most_connections = options->most_connections ?: MOST_CONNECTIONS;
	s->options.deadline_ns = options->deadline_ns ?: DEADLINE_S * (uint64_t)NSEC_PER_SEC;
	s->options.idle_ns = options->idle_ns ?: IDLE_S * (uint64_t)NSEC_PER_SEC;
	s->options.beat_ns = options->beat_ns ?: BEAT_S * (uint64_t)NSEC_PER_SEC;
	TAILQ_INIT(&s->connections);
	pthread_mutex_init(&s->lock, NULL);
	s->wanted_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->given_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (listens(s) && s->wanted_fd >= 0 && s->given_fd >= 0)
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
		eventfd_write(s->given_fd, 1);
		pthread_join(s->thread, NULL);
	}
	/* Requests that evhttp still has it frees itself, and the base what evhttp has closed. */
	for (struct connection *c = TAILQ_FIRST(&s->connections); c; c = TAILQ_NEXT(c, of_server)) {
		if (c->request && evhttp_request_get_connection(c->request))
			c->request = NULL;
	}
	if (s->http)
		evhttp_free(s->http);
	if (s->beat)
		event_free(s->beat);
	if (s->news)
		event_free(s->news);
	if (s->base) {
		event_base_loop(s->base, EVLOOP_NONBLOCK);
		event_base_free(s->base);
	}
	for (unsigned int text = 0; text < NR_TEXTS; text++) {
		put_body(s->latest[text]);
		free(s->given[text].data);
	}
	if (s->wanted_fd >= 0)
		close(s->wanted_fd);
	if (s->given_fd >= 0)
		close(s->given_fd);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

int server__fd(const struct server *s)
{
	return s->wanted_fd;
}

unsigned int server__wanted(struct server *s)
{
	unsigned int wanted;
	eventfd_t times;

	eventfd_read(s->wanted_fd, &times);
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
	eventfd_write(s->given_fd, 1);
}
