/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A sink that keeps what is measured in a file: samples with their histograms, single events,
 * the lists and the summary of a run. JSON Lines in zstd frames, one frame per interval, each
 * readable without those behind it. docs/recordings.md has the format; core/recording.h reads it.
 */
#ifndef KVM_WATCHER_RECORD_H
#define KVM_WATCHER_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct attach_env;
struct chosen;
struct sink;

/*
 * Of the format. Within one, members are added; a reader ignores those that it does not know, and
 * takes what is not there as the file's list of columns says.
 */
enum { RECORDING_VERSION = 1, RECORDING_SEGMENTS = 4 };

struct record_options {
	const char *path; /* stays */
	const int *fds;	  /* these are written to, instead of what is opened by the path; or NULL */
	uint64_t limit;	  /* bytes of all segments; 0: one file without an end */
	bool mask;	  /* names of VMs and processes become numbers */
	bool force;	  /* a file that is there is overwritten */
	bool alone;	  /* nobody else is shown anything: when it fails, the run is over */
	const struct chosen *chosen;
	size_t nr_chosen;
	const struct attach_env *env;
};

enum { LEAST_RECORD_LIMIT = 1 << 20 };

/*
 * Opens the file, or all segments (PATH, PATH.1, ...), with mode 0600; nothing is opened after
 * that. The sink gets an output; its selection and its interval are the caller's. 0, or -errno
 * after a message. When writing fails, the file is cut after its last whole frame, a sentence
 * says so, and the program's exit code will be 1.
 */
int record__open(const struct record_options *options, struct sink *sink);
/* Files that options have: 1, or RECORDING_SEGMENTS. */
size_t record__nr_files(uint64_t limit);

/*
 * Makes a file of a recording that has no name yet, in the directory that the program was started
 * in, with the rights of the user who started it: segment 0 is given a name by the time, others
 * have it in name. A descriptor, or -errno.
 */
int record__create(int segment, char *name, size_t size);

#endif
