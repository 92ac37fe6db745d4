/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Series for Prometheus: a sink that adds up what it is shown, by VM, and writes it as text.
 *
 * What it shows only grows: it adds intervals, each once, and never takes anything away. A
 * VM is shown until it has ended, and once more with all that it had. What it had is never
 * added to a remainder when it ends: a rate over that would jump by the life of a VM.
 *
 * There are so many series and no more: --metrics-limit. Beyond it, the rarest of what is new
 * are folded into one series of the same VM and the same family, whose labels say "(other)". Where
 * that is not enough, new VMs are folded whole into one that is called "(other)", which
 * gets what they do from their first sample on and so only grows. Folding is final: what was
 * folded stays so as long as its VM lives.
 */
#ifndef KVM_WATCHER_METRICS_H
#define KVM_WATCHER_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../output/format.h"
#include "metric.h"

struct chosen;
struct metrics;
struct output;

enum metrics_by {
	METRICS_AUTO, /* each family as it says, but none by vCPU where there are too many */
	METRICS_BY_VM,
	METRICS_BY_VCPU, /* of all that is measured by vCPU */
};

enum { DEFAULT_METRICS_LIMIT = 50000, LEAST_METRICS_LIMIT = 100 };

enum metrics_text { TEXT_CLASSIC, TEXT_OPENMETRICS, NR_METRICS_TEXTS };

struct metrics_options {
	enum metrics_by by;
	uint32_t limit;
	const struct chosen *chosen;
	size_t nr_chosen;
	/* All of a window was taken in: the time for what is no monitor's, and to render. */
	void (*taken)(void *ctx, struct metrics *m);
	/* Before a window: metrics__begin(), and metrics__vm() for each VM that is there. */
	void (*begins)(void *ctx, struct metrics *m);
	void *ctx;
};

/* NULL: out of memory. */
struct metrics *metrics__new(const struct metrics_options *options);
void metrics__free(struct metrics *m);

/* What is a sink's; metrics__free() comes after output__free(). NULL: out of memory. */
struct output *metrics__output(struct metrics *m);

/* A window begins; so many vCPUs are there. What had ended before the last one goes. */
void metrics__begin(struct metrics *m, size_t nr_vcpus);

/* This VM is there. Of two that are called the same, the later one is NAME@PID. */
struct metrics_vm {
	const char *id, *name; /* as in rows; the name may change */
	uint64_t nr;
	uint32_t pid;
	const char *vmm, *uuid; /* "" or NULL: not known */
};
void metrics__vm(struct metrics *m, const struct metrics_vm *vm);

/*
 * A series of no monitor: values are those of metric->labels by their order, up to NULL. Of a VM,
 * or NULL; of one that is not known it is left out.
 */
void metrics__set(struct metrics *m, const struct metric *metric, const char *vm_id,
		  const char *const *values, double value);

/* The name that the VM has in series; NULL: it is not shown. */
const char *metrics__vm_name(const struct metrics *m, const char *id);

/* All of it. False: out of memory. */
bool metrics__render(struct metrics *m, enum metrics_text text, struct buf *buf);

/* Series as they were rendered last or will be next; those that were folded. */
size_t metrics__nr_series(const struct metrics *m);
size_t metrics__nr_folded(const struct metrics *m);
/* VMs that are there and have no series of their own. */
size_t metrics__nr_folded_vms(const struct metrics *m);
bool metrics__has_failed(const struct metrics *m);

/* The name of a family of that type: "kvm_exits_total". */
const char *metric__full_name(const struct metric *metric, char *text, size_t size);

#endif
