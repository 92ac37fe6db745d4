// SPDX-License-Identifier: GPL-2.0-only
#include "service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../core/attach.h"
#include "../core/clock.h"
#include "../core/limits.h"
#include "../core/log.h"
#include "../core/loop.h"
#include "../core/memory.h"
#include "notify.h"
#include "server.h"

struct service {
	struct exporter *exporter;
	struct metrics *metrics; /* of the last window; NULL: there was none */
	struct server *server;
	struct driver driver;
	unsigned int sink;
	uint64_t since_ns; /* the moment of the last sample; 0: there is none */
	unsigned int wanted;
};

static const char welcome[] =
	"<!DOCTYPE html>\n"
	"<html lang=\"en\"><head><meta charset=\"utf-8\"><title>kvm_watcher</title></head>\n"
	"<body><h1>kvm_watcher</h1>\n"
	"<p>It watches what every KVM virtual machine on this host does.</p>\n"
	"<p><a href=\"/metrics\">/metrics</a> has the series for Prometheus. "
	"<a href=\"/healthz\">/healthz</a> says whether it works.</p>\n"
	"</body></html>\n";

/* What the server counts of itself. */

static const struct metric answered = {
	.name = "kvm_watcher_http_scrapes",
	.type = METRIC_COUNTER,
	.help = "Answered scrapes.",
};
static const struct metric refused = {
	.name = "kvm_watcher_http_refused",
	.type = METRIC_COUNTER,
	.help = "Refused connections and requests, by reason.",
	.labels = { { .name = "reason" } },
};
static const struct metric connections = {
	.name = "kvm_watcher_http_connections",
	.type = METRIC_GAUGE,
	.help = "Open connections.",
};

static void set_counts(void *ctx, struct metrics *m)
{
	const struct service *s = ctx;
	struct server_counts counts;

	server__count(s->server, &counts);
	metrics__set(m, &answered, NULL, NULL, counts.answered);
	for (int i = 0; i < NR_REFUSED; i++) {
		const char *const values[] = { refused__name(i), NULL };

		metrics__set(m, &refused, NULL, values, counts.refused[i]);
	}
	metrics__set(m, &connections, NULL, NULL, counts.now);
}

/* A text each, which the server frees. */
static void render(struct service *s)
{
	for (unsigned int text = 0; text < NR_TEXTS; text++) {
		struct buf buf = {};

		if (!(s->wanted >> text & 1))
			continue;
		if (!metrics__render(s->metrics, text, &buf)) {
			memory__is_short();
			buf__free(&buf);
		}
		server__give(s->server, text, buf.data, buf.len, s->since_ns);
	}
	s->wanted = 0;
}

static void taken(void *ctx, struct metrics *m)
{
	struct service *s = ctx;

	s->metrics = m;
	render(s);
}

static int began(void *ctx, struct run *run)
{
	struct service *s = ctx;
	int err = server__start(s->server);

	exporter__began(s->exporter, run);
	if (err) {
		say("the server can't be started: %s", limits__reason(err));
		return err;
	}
	notify__send("READY=1");
	return 0;
}

static int ready(void *ctx, struct run *run)
{
	struct service *s = ctx;

	s->wanted |= server__wanted(s->server);
	notify__send("WATCHDOG=1");
	if (!s->wanted)
		return 0;
	/* Somebody wants the other text of the same sample. */
	if (s->metrics && clock__ns() - s->since_ns < SHARED_NS) {
		render(s);
		return 0;
	}
	s->since_ns = clock__ns();
	exporter__looks(s->exporter, s->since_ns);
	run__look(run);
	run__report(run, ((1ULL << EXPORTER_SINKS) - 1) << s->sink, SCOPE_INTERVAL);
	return 0;
}

struct service *service__new(const struct exporter_options *options, const int *fds, size_t nr_fds,
			     unsigned int sink)
{
	struct service *s = calloc(1, sizeof(*s));
	struct exporter_options mine = *options;

	if (!s) {
		memory__is_short();
		return NULL;
	}
	mine.taken = taken;
	mine.more = set_counts;
	mine.ctx = s;
	s->sink = sink;
	s->server = server__new(&(struct server_options){
		.fds = fds,
		.nr_fds = nr_fds,
		.welcome = welcome,
		/* Twice in the watchdog's time. */
		.beat_ns = notify__watchdog_ns() / 2,
	});
	s->exporter = s->server ? exporter__new(&mine) : NULL;
	if (!s->exporter) {
		if (!s->server)
			memory__is_short();
		server__free(s->server);
		free(s);
		return NULL;
	}
	s->driver = (struct driver){
		.ctx = s, .fd = server__fd(s->server), .began = began, .ready = ready
	};
	return s;
}

void service__free(struct service *s)
{
	if (!s)
		return;
	notify__send("STOPPING=1");
	server__free(s->server);
	exporter__free(s->exporter);
	free(s);
}

bool service__open(struct service *s, struct sink *sinks)
{
	return exporter__open(s->exporter, sinks);
}

const struct driver *service__driver(const struct service *s)
{
	return &s->driver;
}
