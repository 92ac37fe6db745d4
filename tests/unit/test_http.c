// SPDX-License-Identifier: GPL-2.0-only
/*
 * serve/: what requests mean, and a server that nobody can hold up: slow clients, garbage, more
 * connections than it takes. Without KVM.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <zlib.h>

#include "../../cli/commands.h"
#include "../../core/clock.h"
#include "../../serve/listen.h"
#include "../../serve/negotiate.h"
#include "../../serve/notify.h"
#include "../../serve/server.h"

static void test_negotiation(void **state)
{
	static const struct {
		const char *accept[2], *encoding;
		bool openmetrics, gzip;
	} cases[] = {
		{ {}, NULL, false, false },
		{ { "application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
		    "version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1" },
		  "gzip",
		  true,
		  true },
		{ { "text/plain;version=0.0.4;q=1,*/*;q=0.1" }, NULL, false, false },
		{ { "application/openmetrics-text;q=0.3,text/plain;q=0.4" }, NULL, false, false },
		{ { "application/openmetrics-text;q=0.3", "text/plain;q=0.4" },
		  NULL,
		  false,
		  false },
		{ { "application/openmetrics-text;q=0.4", "text/plain;q=0.3" }, NULL, true, false },
		{ { "application/openmetrics-text; q=0" }, NULL, false, false },
		{ { "*/*" }, "deflate, gzip;q=0", false, false },
		{ { "" }, "br;q=1.0, GZIP;q=0.001", false, true },
		{ { "application/openmetrics-textual" }, "", false, false },
		{ { ";;,,;q=,q=1;q=x,;" }, ",gzip ;q=1.0001,", false, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct wishes wishes = {};

		for (size_t j = 0; j < 2 && cases[i].accept[j]; j++)
			wishes__hear(&wishes, "ACCEPT", cases[i].accept[j]);
		if (cases[i].encoding)
			wishes__hear(&wishes, "Accept-Encoding", cases[i].encoding);
		wishes__hear(&wishes, "Accept-Language", "application/openmetrics-text, gzip");
		assert_int_equal(wishes__openmetrics(&wishes), cases[i].openmetrics);
		assert_int_equal(wishes.gzip > 0, cases[i].gzip);
	}
}

static void test_addresses(void **state)
{
	static const char *const good[] = { "127.0.0.1:9909", "0.0.0.0:0", "[::1]:9909", "[::]:1",
					    "unix:/run/x" };
	static const char *const bad[] = { "",
					   "9909",
					   "localhost:9909",
					   "127.0.0.1",
					   "::1:9909",
					   "127.0.0.1:x",
					   "127.0.0.1:65536",
					   "[::1]",
					   "unix:relative",
					   "127.0.0.1:-1" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_null(listen__check(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_non_null(listen__check(bad[i]));
	assert_false(listen__is_public("127.1.2.3:1"));
	assert_false(listen__is_public("[::1]:1"));
	assert_false(listen__is_public("unix:/run/x"));
	assert_true(listen__is_public("0.0.0.0:1"));
	assert_true(listen__is_public("[::]:1"));
	assert_true(listen__is_public("192.0.2.1:1"));
}

/* A server, and a thread's worth of work that this one does: giving texts. */

enum { MOST = 4 };

struct served {
	struct server *server;
	struct sockaddr_in address;
	unsigned int given;
};

static void start(struct served *s, uint64_t deadline_ns, uint64_t idle_ns)
{
	int fd = listen__open("127.0.0.1:0");
	socklen_t len = sizeof(s->address);

	assert_true(fd >= 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&s->address, &len), 0);
	s->given = 0;
	s->server = server__new(&(struct server_options){
		.fds = &fd,
		.nr_fds = 1,
		.most_connections = MOST,
		.deadline_ns = deadline_ns,
		.idle_ns = idle_ns,
		.beat_ns = 50000000,
		.welcome = "welcome",
	});
	assert_non_null(s->server);
	assert_int_equal(server__start(s->server), 0);
}

static int connect_to(const struct served *s)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&s->address, sizeof(s->address)), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* The watching thread's part. */
static void give(struct served *s, const char *what)
{
	unsigned int wanted = server__wanted(s->server);

	for (unsigned int text = 0; text < NR_TEXTS; text++)
		if (wanted >> text & 1) {
			server__give(s->server, text, what ? strdup(what) : NULL,
				     what ? strlen(what) : 0, clock__ns());
			s->given++;
		}
}

/* All up to the end of the connection, or of an answer with this many bytes of body. */
static size_t hear(struct served *s, int fd, char *text, size_t size, size_t body)
{
	size_t len = 0;

	for (int tries = 0; tries < 200; tries++) {
		struct pollfd polled = { .fd = fd, .events = POLLIN };
		const char *end;
		ssize_t nr;

		give(s, "the text\n");
		if (poll(&polled, 1, 50) < 1)
			continue;
		nr = recv(fd, text + len, size - len - 1, 0);
		if (nr <= 0)
			break;
		len += nr;
		text[len] = '\0';
		end = memmem(text, len, "\r\n\r\n", 4);
		if (body != SIZE_MAX && end && len - (end + 4 - text) >= body)
			break;
	}
	text[len] = '\0';
	return len;
}

static const char *body_of(const char *text)
{
	const char *end = strstr(text, "\r\n\r\n");

	return end ? end + 4 : "";
}

static void ask(struct served *s, const char *request, const char *status, const char *part)
{
	char text[4096];
	int fd = connect_to(s);

	say(fd, request);
	hear(s, fd, text, sizeof(text), SIZE_MAX);
	if (strncmp(text, status, strlen(status)) != 0 || !strstr(text, part))
		fail_msg("\"%s\": %s", request, text);
	close(fd);
}

static void test_answers(void **state)
{
	struct served s;

	(void)state;
	start(&s, 0, 0);
	ask(&s, "GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 200 ", "\r\n\r\nwelcome");
	ask(&s, "GET /healthz HTTP/1.0\r\n\r\n", "HTTP/1.0 200 ", "\r\n\r\nok\n");
	ask(&s, "GET /nowhere HTTP/1.0\r\n\r\n", "HTTP/1.0 404 ", "/metrics");
	ask(&s, "GET /metrics HTTP/1.0\r\n\r\n", "HTTP/1.0 200 ", "\r\n\r\nthe text\n");
	ask(&s, "GET /metrics HTTP/1.0\r\n\r\n", "HTTP/1.0 200 ", "version=0.0.4");
	ask(&s, "GET /metrics HTTP/1.0\r\nAccept: application/openmetrics-text\r\n\r\n",
	    "HTTP/1.0 200 ", "openmetrics-text; version=1.0.0");
	ask(&s, "HEAD /metrics HTTP/1.0\r\n\r\n", "HTTP/1.0 200 ", "Content-Length: 9\r\n");
	/* Within a second they share one: it was wanted once in each form. */
	assert_int_equal(s.given, 2);
	server__free(s.server);
}

/* All that is answered to it, and nothing more of it is said. Returns the code of the first one. */
static int answer_to(struct served *s, const char *request, size_t len, char *text, size_t size)
{
	int fd = connect_to(s), code = 0;

	assert_int_equal(send(fd, request, len, MSG_NOSIGNAL), (ssize_t)len);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	hear(s, fd, text, size, SIZE_MAX);
	close(fd);
	if (*text && sscanf(text, "HTTP/1.%*1[01] %d ", &code) != 1)
		fail_msg("\"%s\": %s", request, text);
	return code;
}

/* Each code, and what it is counted as; who sends nothing is told nothing. */
static void test_requests(void **state)
{
	static const struct {
		int code;
		const char *text;
	} requests[] = {
		{ 200, "GET / HTTP/1.1\r\n\r\n" },
		{ 200, "GET / HTTP/1.0\n\n" },
		{ 200, "GET / HTTP/1.7\r\n\r\n" },
		{ 200, "GET http://host/healthz HTTP/1.1\r\nHost: host\r\n\r\n" },
		{ 200, "HEAD /healthz?x=1 HTTP/1.1\r\nContent-Length: 0\r\n\r\n" },
		{ 200, "GET / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n" },
		{ 404, "GET /%2e%2e/healthz HTTP/1.1\r\n\r\n" },
		{ 404, "GET //healthz HTTP/1.1\r\n\r\n" },
		{ 0, "" },
		{ 400, "\r\n" },
		{ 400, "GET / HTTP/1.1\r\n" },
		{ 400, "GET / HTTP/1.1\r\nAccept: text/plain\r\n" },
		{ 400, "GET / HTTP/1.1\r\nAccept: text/plain" },
		{ 400, "hello" },
		{ 400, "hello\n" },
		{ 400, "GET /\r\n\r\n" },
		{ 400, "GET / HTTP/1.1 x\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\nno colon\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\n folded: x\r\n\r\n" },
		{ 400, "GET / HTTP/2.0\r\n\r\n" },
		{ 400, "GET / HTTP/x.1\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n" },
		{ 400, "\x16\x03\x01\x02\n" },
		{ 405, "POST / HTTP/1.1\r\n\r\n" },
		{ 405, "DELETE / HTTP/1.1\r\n\r\n" },
		{ 405, "get /  HTTP/1.1\r\n\r\n" },
		{ 405, "CONNECT host:1 HTTP/1.1\r\n\r\n" },
		{ 405, "OPTIONS * HTTP/1.1\r\n\r\n" },
		{ 413, "GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello" },
		{ 413, "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello" },
		{ 413, "POST / HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n" },
		{ 413, "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n" },
		{ 413, "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
		{ 413, "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n" },
		{ 413,
		  "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n" },
		/* evhttp does not read these bodies: they would be requests. */
		{ 413, "HEAD / HTTP/1.1\r\nContent-Length: 22\r\n\r\nGET /no HTTP/1.1\r\n\r\n" },
		{ 413, "GET / HTTP/1.1\r\nTransfer-Encoding: x\r\n\r\nGET /no HTTP/1.1\r\n\r\n" },
		{ 413, "GET / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 22\r\n\r\n"
		       "GET /no HTTP/1.1\r\n\r\n" },
		{ 400, "GET / HTTP/0.9\r\n\r\n" },
		{ 400, "GET / HTTP/-7.3\r\n\r\n" },
		{ 400, "GET / HTTP/1.-3\r\n\r\n" },
	};
	struct server_counts counts, before = {};
	struct served s;
	char text[4096];

	(void)state;
	start(&s, 0, 0);
	for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
		const char *request = requests[i].text;
		int code = requests[i].code,
		    got = answer_to(&s, request, strlen(request), text, sizeof(text));
		bool size = code == 413, bad = code >= 400 && code != 404 && !size;

		server__count(s.server, &counts);
		if (got != code ||
		    (code != 404 && code != 200 && strstr(text + !!got, "HTTP/1.")) ||
		    counts.refused[REFUSED_SIZE] - before.refused[REFUSED_SIZE] != size ||
		    counts.refused[REFUSED_REQUEST] - before.refused[REFUSED_REQUEST] != bad ||
		    counts.not_found - before.not_found != (code == 404))
			fail_msg("\"%s\": %s", request, text);
		if (code == 405)
			assert_non_null(strstr(text, "Allow: GET, HEAD\r\n"));
		if (bad || size)
			assert_non_null(strstr(text, "Connection: close\r\n"));
		before = counts;
	}
	server__free(s.server);
}

static void put(char *at, const char *text)
{
	while (*text)
		*at++ = *text++;
}

/* What is not over at the limit, wherever that is; and what is. */
static void test_sizes(void **state)
{
	static const char *const begins[] = { "", "GET /", "GET / HTTP/1.1\r\nA: " };
	char *request = malloc(MAX_REQUEST + 1), text[4096];
	struct server_counts counts;
	struct served s;

	(void)state;
	assert_non_null(request);
	start(&s, 0, 0);
	for (size_t i = 0; i < sizeof(begins) / sizeof(*begins); i++) {
		memset(request, 'a', MAX_REQUEST + 1);
		put(request, begins[i]);
		assert_int_equal(answer_to(&s, request, MAX_REQUEST, text, sizeof(text)), 413);
	}
	/* Many headers take more memory than one. */
	for (size_t i = 16; i < MAX_REQUEST - 3; i += 2)
		put(request + i, ":\n");
	put(request, "GET / HTTP/1.1\r\n");
	put(request + MAX_REQUEST - 3, "\n\n");
	assert_int_equal(answer_to(&s, request, MAX_REQUEST - 1, text, sizeof(text)), 200);
	put(request + MAX_REQUEST - 3, "a\n\n");
	assert_int_equal(answer_to(&s, request, MAX_REQUEST, text, sizeof(text)), 200);
	server__count(s.server, &counts);
	assert_int_equal(counts.refused[REFUSED_SIZE], 3);
	free(request);
	server__free(s.server);
}

static void test_gzip(void **state)
{
	struct served s;
	char text[4096], plain[64] = "";
	z_stream z = {};
	size_t len;
	int fd;

	(void)state;
	start(&s, 0, 0);
	fd = connect_to(&s);
	say(fd, "GET /metrics HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n");
	len = hear(&s, fd, text, sizeof(text), SIZE_MAX);
	close(fd);
	assert_non_null(strstr(text, "Content-Encoding: gzip"));
	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	z.next_in = (Bytef *)body_of(text);
	z.avail_in = len - (body_of(text) - text);
	z.next_out = (Bytef *)plain;
	z.avail_out = sizeof(plain) - 1;
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	inflateEnd(&z);
	assert_string_equal(plain, "the text\n");
	server__free(s.server);
}

/* Several requests on one connection, also sent at once, also byte by byte. */
static void test_keep_alive(void **state)
{
	static const char request[] = "GET /healthz HTTP/1.1\r\n\r\n";
	struct served s;
	char text[4096];
	int fd;

	(void)state;
	start(&s, 0, 0);
	fd = connect_to(&s);
	for (int i = 0; i < 3; i++) {
		say(fd, request);
		hear(&s, fd, text, sizeof(text), 3);
		assert_string_equal(body_of(text), "ok\n");
	}
	for (const char *p = request; *p; p++) {
		assert_int_equal(send(fd, p, 1, MSG_NOSIGNAL), 1);
		usleep(1000);
	}
	hear(&s, fd, text, sizeof(text), 3);
	assert_string_equal(body_of(text), "ok\n");
	say(fd, "GET /healthz HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\nGET /no HTTP/1.1\r\n"
		"Connection: close\r\n\r\n");
	hear(&s, fd, text, sizeof(text), SIZE_MAX);
	assert_non_null(strstr(text, "ok\n"));
	assert_non_null(strstr(text, "welcome"));
	assert_non_null(strstr(text, "404"));
	close(fd);
	server__free(s.server);
}

/* Who sends nothing, or a byte now and then, or takes nothing, is cut off when his time is over. */
static void test_deadline(void **state)
{
	struct server_counts counts;
	struct served s;
	char text[4096];
	int silent, slow;

	(void)state;
	start(&s, 300000000, 0);
	silent = connect_to(&s);
	slow = connect_to(&s);
	for (int i = 0; i < 20; i++) {
		if (send(slow, "G", 1, MSG_NOSIGNAL) != 1)
			break;
		/* Others are served meanwhile. */
		ask(&s, "GET /healthz HTTP/1.0\r\n\r\n", "HTTP/1.0 200 ", "ok");
		usleep(50000);
	}
	hear(&s, silent, text, sizeof(text), SIZE_MAX);
	assert_non_null(strstr(text, "408"));
	server__count(s.server, &counts);
	assert_int_equal(counts.refused[REFUSED_DEADLINE], 2);
	close(silent);
	close(slow);
	server__free(s.server);
}

/* Ten megabytes that nobody reads. */
static void test_slow_reader(void **state)
{
	enum { SIZE = 10 << 20 };
	struct server_counts counts = {};
	struct served s;
	char *large = malloc(SIZE);
	int fd;

	(void)state;
	assert_non_null(large);
	memset(large, 'x', SIZE);
	start(&s, 400000000, 0);
	fd = connect_to(&s);
	say(fd, "GET /metrics HTTP/1.1\r\n\r\n");
	while (!(server__wanted(s.server) & 1))
		usleep(1000);
	server__give(s.server, 0, large, SIZE, clock__ns());
	for (int i = 0; i < 100 && !counts.refused[REFUSED_DEADLINE]; i++) {
		ask(&s, "GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 200 ", "welcome");
		server__count(s.server, &counts);
		usleep(20000);
	}
	assert_int_equal(counts.refused[REFUSED_DEADLINE], 1);
	close(fd);
	server__free(s.server);
}

/* Who asks on and on and reads nothing is not read from; the end may come meanwhile. */
static void test_flood(void **state)
{
	static const char request[] = "GET /metrics HTTP/1.1\r\n\r\n";
	enum { SIZE = 4 << 20, ROUNDS = 200, AT_ONCE = 100 };
	int fds[MOST - 1], taken = 0;
	char *large = malloc(SIZE + 1);
	struct served s;

	(void)state;
	assert_non_null(large);
	memset(large, 'x', SIZE);
	large[SIZE] = '\0';
	start(&s, 0, 0);
	for (int i = 0; i < MOST - 1; i++) {
		const int small = 4096;

		fds[i] = connect_to(&s);
		setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	}
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < MOST - 1; i++)
			for (int nr = 0; nr < AT_ONCE; nr++)
				taken += send(fds[i], request, strlen(request),
					      MSG_NOSIGNAL | MSG_DONTWAIT) > 0;
		give(&s, large);
		usleep(1000);
	}
	ask(&s, "GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 200 ", "welcome");
	/* The kernel keeps a third of all. A server that read on would have nine tenths. */
	assert_in_range(taken, 100, ROUNDS * AT_ONCE * (MOST - 1) / 2);
	server__free(s.server);
	for (int i = 0; i < MOST - 1; i++)
		close(fds[i]);
	free(large);
}

/* More than there is room for: the others get an answer, and are counted. */
static void test_many(void **state)
{
	enum { CLIENTS = 200 };
	struct server_counts counts;
	struct served s;
	int fds[CLIENTS], full = 0;
	char text[256];

	(void)state;
	start(&s, 2000000000, 0);
	for (int i = 0; i < CLIENTS; i++)
		fds[i] = connect_to(&s);
	for (int i = 0; i < CLIENTS; i++) {
		ssize_t nr = recv(fds[i], text, sizeof(text) - 1, i < MOST ? MSG_DONTWAIT : 0);

		text[nr > 0 ? nr : 0] = '\0';
		full += !strncmp(text, "HTTP/1.1 503 ", 13);
	}
	assert_int_equal(full, CLIENTS - MOST);
	server__count(s.server, &counts);
	assert_int_equal(counts.refused[REFUSED_CONNECTIONS], CLIENTS - MOST);
	assert_int_equal(counts.now, MOST);
	for (int i = 0; i < CLIENTS; i++)
		close(fds[i]);
	for (int i = 0; i < 100 && counts.now; i++) {
		usleep(10000);
		server__count(s.server, &counts);
	}
	assert_int_equal(counts.now, 0);
	ask(&s, "GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 200 ", "welcome");
	server__free(s.server);
}

/* Who only keeps a connection open gives way to who comes. */
static void test_idle_give_way(void **state)
{
	struct server_counts counts;
	struct served s;
	char text[4096];
	int fds[MOST];

	(void)state;
	start(&s, 0, 0);
	for (int i = 0; i < MOST; i++) {
		fds[i] = connect_to(&s);
		say(fds[i], "GET /healthz HTTP/1.1\r\n\r\n");
		hear(&s, fds[i], text, sizeof(text), 3);
	}
	ask(&s, "GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 200 ", "welcome");
	assert_int_equal(recv(fds[0], text, sizeof(text), 0), 0);
	server__count(s.server, &counts);
	assert_int_equal(counts.refused[REFUSED_CONNECTIONS], 0);
	for (int i = 0; i < MOST; i++)
		close(fds[i]);
	server__free(s.server);
}

/* The watching thread hangs: that is said, and nobody waits for ever. */
static void test_hangs(void **state)
{
	struct server_counts counts;
	char text[4096];
	struct served s;
	ssize_t nr;
	int fd;

	(void)state;
	start(&s, 400000000, 0);
	fd = connect_to(&s);
	say(fd, "GET /metrics HTTP/1.0\r\n\r\n");
	nr = recv(fd, text, sizeof(text) - 1, MSG_WAITALL);
	text[nr > 0 ? nr : 0] = '\0';
	assert_non_null(strstr(text, "503"));
	close(fd);
	fd = connect_to(&s);
	say(fd, "GET /healthz HTTP/1.0\r\n\r\n");
	nr = recv(fd, text, sizeof(text) - 1, MSG_WAITALL);
	text[nr > 0 ? nr : 0] = '\0';
	assert_non_null(strstr(text, "503"));
	close(fd);
	server__count(s.server, &counts);
	assert_int_equal(counts.refused[REFUSED_UNREADY], 1);
	server__free(s.server);
}

static void test_unix_socket(void **state)
{
	char dir[] = "/tmp/kvm_watcher.XXXXXX", address[64];
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	struct stat st;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(address, sizeof(address), "unix:%s/s", dir);
	snprintf(local.sun_path, sizeof(local.sun_path), "%s/s", dir);
	fd = listen__open(address);
	assert_true(fd >= 0);
	/* Somebody serves there. */
	assert_int_equal(listen__open(address), -EADDRINUSE);
	close(fd);
	/* Nobody does any more. */
	fd = listen__open(address);
	assert_true(fd >= 0);
	close(fd);
	/* A file that is no socket is nobody's to remove. */
	unlink(local.sun_path);
	fd = open(local.sun_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	assert_int_equal(listen__open(address), -EADDRINUSE);
	assert_int_equal(lstat(local.sun_path, &st), 0);
	unlink(local.sun_path);
	rmdir(dir);
}

static void test_notify(void **state)
{
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	char dir[] = "/tmp/kvm_watcher.XXXXXX", text[64];
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ssize_t nr;

	(void)state;
	notify__send("READY=1");
	assert_non_null(mkdtemp(dir));
	snprintf(local.sun_path, sizeof(local.sun_path), "%s/n", dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&local, sizeof(local)), 0);
	setenv("NOTIFY_SOCKET", local.sun_path, 1);
	setenv("WATCHDOG_USEC", "30000000", 1);
	notify__open();
	assert_null(getenv("NOTIFY_SOCKET"));
	assert_int_equal(notify__watchdog_ns(), 30000000000ULL);
	notify__send("READY=1");
	nr = recv(fd, text, sizeof(text), 0);
	assert_int_equal(nr, 7);
	assert_memory_equal(text, "READY=1", 7);
	close(fd);
	unlink(local.sun_path);
	rmdir(dir);
}

/* Files of options */

static int read_config(const char *text, const char *more, struct options *opts, char *message,
		       size_t size)
{
	char path[] = "/tmp/kvm_watcher.XXXXXX", word[64];
	char *argv[] = { "serve", word, (char *)more, NULL };
	int fd = mkstemp(path), saved = dup(STDERR_FILENO), code;
	FILE *file = tmpfile();
	size_t len;

	assert_true(fd >= 0);
	assert_non_null(file);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	snprintf(word, sizeof(word), "--config=%s", path);
	fflush(stderr);
	dup2(fileno(file), STDERR_FILENO);
	code = options__parse(&serve_command, more ? 3 : 2, argv, opts);
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	unlink(path);
	rewind(file);
	len = fread(message, 1, size - 1, file);
	message[len] = '\0';
	fclose(file);
	return code;
}

static void test_config(void **state)
{
	struct options opts;
	char message[1024];

	(void)state;
	assert_int_equal(read_config("# a comment\n\n  listen = 127.0.0.1:1 \r\nlisten=[::1]:2\n"
				     "metrics-by = vm\nmetrics-limit\t=\t1000\nvm_exit\nself-cost\n"
				     "vm = web*",
				     NULL, &opts, message, sizeof(message)),
			 -1);
	assert_int_equal(opts.serve.nr_listen, 2);
	assert_string_equal(opts.serve.listen[0], "127.0.0.1:1");
	assert_string_equal(opts.serve.listen[1], "[::1]:2");
	assert_int_equal(opts.serve.by, METRICS_BY_VM);
	assert_int_equal(opts.serve.limit, 1000);
	assert_true(opts.self_cost);
	assert_string_equal(opts.filter.vm, "web*");
	assert_int_equal(__builtin_popcountll(opts.monitors), 1);
	/* The command line goes first. */
	assert_int_equal(read_config("listen = 127.0.0.1:1\nvm_exit\n", "--listen=127.0.0.1:3",
				     &opts, message, sizeof(message)),
			 -1);
	assert_int_equal(opts.serve.nr_listen, 1);
	assert_string_equal(opts.serve.listen[0], "127.0.0.1:3");
	assert_int_equal(__builtin_popcountll(opts.monitors), 1);
	assert_int_equal(read_config("vm_exit\n", "--vcpu_load", &opts, message, sizeof(message)),
			 -1);
	assert_int_equal(__builtin_popcountll(opts.monitors), 1);
	/* Nothing is chosen: what is the default. */
	assert_int_equal(read_config("", NULL, &opts, message, sizeof(message)), -1);
	assert_int_equal(__builtin_popcountll(opts.monitors), 4);
}

static void test_wrong_config(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{ "\nlisten = localhost:1\n", ":2: --listen: \"localhost:1\": give an address" },
		{ "metrics-limit = 5\n", ":1: --metrics-limit: \"5\" is not a number of series" },
		{ "# x\n\nno-such = 1\n", ":3: \"no-such\" is not an option for this file" },
		{ "config = x\n", ":1: \"config\" is not an option" },
		{ "help\n", ":1: \"help\" is not an option" },
		{ "vm_exit = 1\n", ":1: vm_exit takes no value" },
		{ "listen\n", ":1: listen needs a value: listen = ADDRESS:PORT|unix:PATH" },
		{ "= 1\n", ":1: \"\" is not an option" },
		{ "listen = 127.0.0.1:1\nmetrics-by = thread\n", ":2: --metrics-by: \"thread\"" },
	};
	struct options opts;
	char message[1024];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(read_config(cases[i].text, NULL, &opts, message, sizeof(message)),
				 EXIT_USAGE);
		if (!strstr(message, cases[i].message) || !strstr(message, "/tmp/kvm_watcher."))
			fail_msg("\"%s\": %s", cases[i].text, message);
		assert_ptr_equal(strchr(message, '\n'), message + strlen(message) - 1);
	}
	/* A message of the command line names no file. */
	assert_int_equal(read_config("", "--metrics-limit=5", &opts, message, sizeof(message)),
			 EXIT_USAGE);
	assert_null(strstr(message, "/tmp/"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),     cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_negotiation),  cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_answers),	     cmocka_unit_test(test_gzip),
		cmocka_unit_test(test_keep_alive),   cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_slow_reader),  cmocka_unit_test(test_flood),
		cmocka_unit_test(test_many),	     cmocka_unit_test(test_idle_give_way),
		cmocka_unit_test(test_hangs),	     cmocka_unit_test(test_unix_socket),
		cmocka_unit_test(test_notify),	     cmocka_unit_test(test_config),
		cmocka_unit_test(test_wrong_config),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
