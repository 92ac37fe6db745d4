/* SPDX-License-Identifier: GPL-2.0-only */
/* The command line, as one struct. */
#ifndef KVM_WATCHER_OPTIONS_H
#define KVM_WATCHER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../output/output.h"

enum exit_code { EXIT_MEASURED = 0, EXIT_NOT_MEASURED = 1, EXIT_USAGE = 2 };

enum { MAX_VCPU_FILTER = 64 };

struct options {
	uint64_t monitors;    /* bit i: monitors[i] of monitors.c was asked for */
	pid_t pid;	      /* -p; 0: every VM */
	uint64_t time_ns;     /* -t; 0: until a signal */
	uint64_t interval_ns; /* --interval */
	enum format format;
	const char *vm; /* --vm: shell pattern, NULL: every VM */
	uint32_t vcpus[MAX_VCPU_FILTER];
	size_t nr_vcpus;	    /* --vcpu; 0: every vCPU */
	unsigned int hooks;	    /* --hooks: bit mask of enum hook_kind; 0: any */
	uint32_t max_vcpus;	    /* --max-vcpus; 0: as many as the host suggests */
	uint32_t ring_mib;	    /* --ring-size; 0: as the host suggests */
	const char *temp_dir;	    /* --temp-dir; NULL: the default */
	double migration_bandwidth; /* bytes per second; 0: not asked for */
	bool events;		    /* --events */
	bool summary;		    /* --summary: no single events */
	bool self_cost;
	bool verbose;
	bool check;
	bool list;
};

/*
 * Fills opts. Returns -1 to go on, or the code to exit with after a message
 * was printed (usage error: EXIT_USAGE; --help, --usage, --version: 0).
 */
int options__parse(int argc, char **argv, struct options *opts);

/* True when the monitor of that long name was asked for. */
bool options__asks(const struct options *opts, const char *monitor);

/* True when --vcpu was not given or names this vCPU. */
bool options__has_vcpu(const struct options *opts, uint32_t vcpu);

#endif
