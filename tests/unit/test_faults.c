/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Allocations, opens and reads fail, one call site after the other, in what needs no kernel: a
 * recording is shown in all formats, processes are named. Nothing crashes and nothing leaks.
 * tests/cases/faults.sh does the same with the whole program.
 */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <sanitizer/lsan_interface.h>

#include <cmocka.h>

#include "../../core/filter.h"
#include "../../core/replay.h"
#include "../../core/vm.h"
#include "../../monitors/monitors.h"
#include "../../output/output.h"
#include "../faults/seam.h"

static void show(enum format format, int width)
{
	static const struct filter all;
	static const struct selection by_vm = { .by = BY_VM, .histogram = true };
	const char *path = "tests/golden/recording.zst";
	const struct replay_options options = { .filter = &all, .events = true };
	struct sink sink = { .selection = format == FORMAT_TABLE ? &by_vm : NULL };
	struct replay *r = replay__open(&path, 1, monitors, nr_monitors);
	FILE *stream = fopen("/dev/null", "we");

	if (r && stream)
		sink.out = output__new(format, stream, width);
	if (sink.out)
		replay__run(r, &options, &sink);
	output__free(sink.out);
	if (stream)
		fclose(stream);
	replay__close(r);
}

static void show_table(void)
{
	show(FORMAT_TABLE, 100);
}

static void show_json(void)
{
	show(FORMAT_JSON, 0);
}

static void show_csv(void)
{
	show(FORMAT_CSV, 0);
}

static void show_html(void)
{
	show(FORMAT_HTML, 0);
}

static void show_perfetto(void)
{
	show(FORMAT_PERFETTO, 0);
}

static void show_folded(void)
{
	show(FORMAT_FOLDED, 0);
}

static void scan(void)
{
	struct vm *vms = NULL;
	size_t nr = 0;

	if (!vm__scan("tests/unit/proc", &vms, &nr))
		free(vms);
}

static const struct job {
	const char *name;
	void (*run)(void);
	unsigned int least; /* call sites */
	unsigned int
		step; /* every so many of them fails: the reader's are the same for all formats */
} jobs[] = {
	{ "table", show_table, 15, 1 },
	{ "JSON", show_json, 15, 3 },
	{ "CSV", show_csv, 15, 3 },
	{ "HTML", show_html, 15, 2 },
	{ "Perfetto", show_perfetto, 15, 3 },
	{ "folded", show_folded, 15, 3 },
	{ "scan", scan, 5, 1 },
};

/* Its messages are of no interest here; a sanitizer's are. */
static void run_silent(const struct job *job, unsigned int number)
{
	int err = dup(STDERR_FILENO), none = open("/dev/null", O_WRONLY | O_CLOEXEC);

	dup2(none, STDERR_FILENO);
	close(none);
	faults__arm(number);
	job->run();
	dup2(err, STDERR_FILENO);
	close(err);
}

static void test_each_site(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(jobs) / sizeof(*jobs); i++) {
		unsigned int number, sites;

		run_silent(&jobs[i], 0);
		sites = faults__sites();
		assert_true(sites >= jobs[i].least);
		for (number = 1; number <= sites; number += jobs[i].step) {
			run_silent(&jobs[i], number);
			assert_true(faults__struck());
		}
		/* It stops all threads, which takes too long for each site. */
		faults__arm(0);
		assert_int_equal(__lsan_do_recoverable_leak_check(), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_site),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
