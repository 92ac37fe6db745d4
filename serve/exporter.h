/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Between a run and its series: tells core/metrics.h which VMs there are, and what watching itself
 * lost, lacks and costs. All of it is the loop's thread's.
 */
#ifndef KVM_WATCHER_EXPORTER_H
#define KVM_WATCHER_EXPORTER_H

#include "../core/metrics.h"

struct attach_env;
struct chosen;
struct exporter;
struct output;
struct run;
struct sink;

/* What somebody else counts of itself, such as a server: before each text. */
typedef void (*exporter_more)(void *ctx, struct metrics *m);

struct exporter_options {
	const char *version;
	enum metrics_by by;
	uint32_t limit;
	const struct chosen *chosen;
	size_t nr_chosen;
	const struct attach_env *env;
	bool self_cost;
	/* All of a window was taken in: metrics__render() and write it. */
	void (*taken)(void *ctx, struct metrics *m);
	exporter_more more; /* or NULL */
	void *ctx;
};

/* NULL after a message. options and what they point to stay. */
struct exporter *exporter__new(const struct exporter_options *options);
void exporter__free(struct exporter *e);

/*
 * The outputs of its sinks, which are two: findings first, then series, which tell of the findings
 * of the same interval. They are freed before it. False after a message.
 */
enum { EXPORTER_SINKS = 2 };
bool exporter__open(struct exporter *e, struct sink *sinks);

/* The run that it tells of, from its beginning on. */
void exporter__began(struct exporter *e, struct run *run);

/* The next window was begun at that moment: what it costs is counted from then on. */
void exporter__looks(struct exporter *e, uint64_t since_ns);

#endif
