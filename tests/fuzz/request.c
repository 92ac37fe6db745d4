// SPDX-License-Identifier: GPL-2.0-only
/* What kvm_watcher serve reads: bytes of clients, and (behind a C) files of options. */
#include "fuzz.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../cli/commands.h"
#include "../../core/clock.h"
#include "../../serve/negotiate.h"
#include "../../serve/server.h"

enum { ANSWERS = 1 << 20, PATIENCE_MS = 10000 };

static const char welcome[] = "welcome", series[] = "series 1\n";

static void demand(bool holds)
{
	if (!holds)
		abort();
}

/* A list means the same however often it is said; and nothing is liked more than wholly. */
static void hear_wishes(const char *text)
{
	static const char *const headers[] = { "Accept", "Accept-Encoding" };

	for (int i = 0; i < 2; i++) {
		struct wishes once = {}, twice = {};

		wishes__hear(&once, headers[i], text);
		wishes__hear(&twice, headers[i], text);
		wishes__hear(&twice, headers[i], text);
		demand(!memcmp(&once, &twice, sizeof(once)));
		demand(once.openmetrics >= 0 && once.openmetrics <= 1000);
		demand(once.classic >= 0 && once.classic <= 1000);
		demand(once.gzip >= 0 && once.gzip <= 1000);
	}
}

/* The server as it is, and a client of it. */
static struct server *start_server(int *client)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct sockaddr *any = (struct sockaddr *)&address;
	socklen_t len = sizeof(address);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct server *s;

	/* The kernel has a name for it, without a file. */
	demand(fd >= 0 && !bind(fd, any, sizeof(sa_family_t)) && !listen(fd, 1) &&
	       !getsockname(fd, any, &len));
	*client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	demand(*client >= 0 && !connect(*client, any, len));
	s = server__new(&(struct server_options){ .fds = &fd, .nr_fds = 1, .welcome = welcome });
	demand(s && !server__start(s));
	/* cppcheck-suppress resourceLeak; it is the server's. */
	return s;
}

static void give(struct server *s)
{
	unsigned int wanted = server__wanted(s);

	for (unsigned int text = 0; text < NR_TEXTS; text++)
		if (wanted >> text & 1)
			server__give(s, text, strdup(series), sizeof(series) - 1, clock__ns());
}

/* Sends all, says no more, and hears everything. */
static size_t talk(struct server *s, int fd, const char *data, size_t size, char *text)
{
	size_t sent = 0, len = 0;
	bool says = true;
	ssize_t nr;

	for (;;) {
		struct pollfd polled[] = {
			{ .fd = fd, .events = POLLIN | (says ? POLLOUT : 0) },
			{ .fd = server__fd(s), .events = POLLIN },
		};

		/* It hangs if nothing happens. libFuzzer has signals. */
		demand(poll(polled, 2, PATIENCE_MS) > 0 || errno == EINTR);
		if (polled[1].revents)
			give(s);
		if (says && polled[0].revents & POLLOUT) {
			nr = send(fd, data + sent, size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
			sent += nr > 0 ? nr : 0;
			/* It may be refused before its end. */
			says = nr >= 0 && sent < size;
			if (!says)
				shutdown(fd, SHUT_WR);
		} else if (polled[0].revents) {
			demand(len < ANSWERS);
			nr = recv(fd, text + len, ANSWERS - len, 0);
			if (nr <= 0)
				break;
			len += nr;
		}
	}
	text[len] = '\0';
	return len;
}

struct answers {
	unsigned int all, scrapes, lost, refused;
};

/* One answer after the other, and nothing between or behind them. */
static void read_answers(const char *text, const char *end, struct answers *a)
{
	while (text < end) {
		const char *body = strstr(text, "\r\n\r\n"), *length, *type;
		unsigned int version, code;
		size_t len;
		int used = 0;

		demand(!a->refused && body);
		body += 4;
		demand(sscanf(text, "HTTP/1.%1u %3u %n", &version, &code, &used) == 2 &&
		       used == 13);
		demand(version <= 1);
		length = strstr(text, "\r\nContent-Length: ");
		type = strstr(text, "\r\nContent-Type: ");
		demand(length && length < body && type && type < body);
		len = strtoul(length + 18, NULL, 10);
		a->all++;
		a->lost += code == 404;
		a->refused += code == 400 || code == 405 || code == 413;
		a->scrapes += code == 200 && memmem(text, body - text, "version=", 8);
		demand(code == 200 || code == 404 || a->refused);
		/* To HEAD it is without. */
		text = body == end || !strncmp(body, "HTTP/1.", 7) ? body : body + len;
		demand(text <= end);
	}
}

static uint64_t sum_of_refused(const struct server_counts *counts)
{
	uint64_t sum = 0;

	for (int i = 0; i < NR_REFUSED; i++)
		sum += counts->refused[i];
	return sum;
}

static void ask_server(const char *data, size_t size)
{
	static char text[ANSWERS + 1];
	struct server_counts counts;
	struct answers answers = {};
	struct server *server;
	size_t len;
	int fd;

	server = start_server(&fd);
	len = talk(server, fd, data, size, text);
	close(fd);
	read_answers(text, text + len, &answers);
	server__count(server, &counts);
	server__free(server);
	demand(counts.answered == answers.scrapes && counts.not_found == answers.lost);
	demand(sum_of_refused(&counts) == answers.refused && counts.connections == 1);
	/* Nobody who sends something is left without an answer. */
	demand(answers.all || !size);
}

static void parse_config(const char *data, size_t size)
{
	int fd = memfd_create("serve.conf", MFD_CLOEXEC);
	struct options opts;
	char word[64];
	char *argv[] = { "serve", word, NULL };

	if (fd < 0)
		return;
	if (write(fd, data, size) == (ssize_t)size && !lseek(fd, 0, SEEK_SET)) {
		snprintf(word, sizeof(word), "--config=/proc/self/fd/%d", fd);
		options__parse(&serve_command, 2, argv, &opts);
	}
	close(fd);
}

int fuzz_request(const uint8_t *data, size_t size)
{
	char *copy = fuzz_text_of(data, size);

	if (!copy)
		return 0;
	if (*copy == 'C') {
		parse_config(copy + 1, size - 1);
	} else {
		hear_wishes(copy);
		ask_server(copy, size);
	}
	free(copy);
	return 0;
}
