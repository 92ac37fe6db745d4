// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two runs in one process: each attaches -e for itself, with two sinks, while a
 * guest exits. Both see every exit once, whatever their intervals. Skipped where
 * this process may not use BPF, or there is no KVM.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "../../core/attach.h"
#include "../../core/clock.h"
#include "../../core/broker.h"
#include "../../core/filter.h"
#include "../../core/monitor.h"
#include "../../core/report.h"
#include "../../core/vcpus.h"
#include "../../monitors/monitors.h"
#include "guest.h"

enum { SINKS = 2, RUNS = 2, EXITS = 300, TIMES = 3 };

struct run {
	struct filter filter;
	struct sink sinks[SINKS];
	struct attach_env env;
	struct attachment at;
	struct chosen chosen;
	struct broker_options privileged;
	struct attachments attached;
	char *text[SINKS];
	size_t size[SINKS];
	FILE *stream[SINKS];
	uint64_t start_ns;
};

static bool open_run(struct run *run)
{

	run->env = (struct attach_env){
		.sinks = run->sinks,
		.nr_sinks = SINKS,
		.filter = &run->filter,
	};
	run->chosen.monitor = monitors[0];
	run->privileged = (struct broker_options){
		.env = &run->env,
		.chosen = &run->chosen,
		.nr_chosen = 1,
	};
	run->env.broker = broker__start(&run->privileged);
	if (!run->env.broker || vcpus__open(&run->filter, run->env.broker, &run->env.vcpus))
		return false;
	for (int i = 0; i < SINKS; i++) {
		run->stream[i] = open_memstream(&run->text[i], &run->size[i]);
		run->sinks[i].out = output__new(FORMAT_JSON, run->stream[i], 0);
		run->sinks[i].interval_ns = NSEC_PER_SEC;
	}
	if (attach__load(&run->env, &run->chosen, &run->at) || attach__attach(&run->at))
		return false;
	run->attached.list[run->attached.nr++] = &run->at;
	run->start_ns = report__begin(&run->env, &run->attached);
	for (int i = 0; i < SINKS; i++)
		run->sinks[i].since_ns = run->start_ns;
	return true;
}

static void close_run(struct run *run)
{
	attach__close(&run->at);
	for (int i = 0; i < SINKS; i++) {
		output__free(run->sinks[i].out);
		if (run->stream[i])
			fclose(run->stream[i]);
		free(run->text[i]);
	}
	vcpus__close(run->env.vcpus);
	broker__close(run->env.broker);
}

/* Exits IO to user space of these processes in what a sink was shown. */
static uint64_t count_exits(const char *text, const char *scope, const pid_t *pids)
{
	struct json_object *row, *value;
	uint64_t count = 0;
	char *copy = strdup(text), *save = NULL;

	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		row = json_tokener_parse(line);
		assert_non_null(row);
		for (int i = 0; i < TIMES; i++)
			if (json_object_object_get_ex(row, "pid", &value) &&
			    json_object_get_int(value) == pids[i] &&
			    json_object_object_get_ex(row, "scope", &value) &&
			    !strcmp(json_object_get_string(value), scope) &&
			    json_object_object_get_ex(row, "reason", &value) &&
			    !strcmp(json_object_get_string(value), "IO") &&
			    json_object_object_get_ex(row, "count", &value))
				count += json_object_get_uint64(value);
		json_object_put(row);
	}
	free(copy);
	return count;
}

static void test_two_runs(void **state)
{
	struct run runs[RUNS] = {};
	pid_t pids[TIMES];
	bool works = !geteuid() && !access("/dev/kvm", R_OK | W_OK) && !access(GUEST, X_OK);

	(void)state;
	for (int i = 0; works && i < RUNS; i++)
		works = open_run(&runs[i]);
	if (!works) {
		for (int i = 0; i < RUNS; i++)
			close_run(&runs[i]);
		skip();
	}
	/* The first sink is shown each of three intervals, the second one all of them at once. */
	for (int t = 0; t < TIMES; t++) {
		pids[t] = run_guest(EXITS);
		for (int i = 0; i < RUNS; i++) {
			uint64_t now_ns = report__look(&runs[i].env, &runs[i].attached);

			report__intervals(&runs[i].env, &runs[i].attached, 1 << 0, now_ns, 0);
			if (t == TIMES - 1)
				report__intervals(&runs[i].env, &runs[i].attached, 1 << 1, now_ns,
						  0);
			report__totals(&runs[i].env, &runs[i].attached, 1 << 0, runs[i].start_ns,
				       now_ns);
		}
	}
	for (int i = 0; i < RUNS; i++) {
		for (int j = 0; j < SINKS; j++) {
			output__flush(runs[i].sinks[j].out);
			/* The generator does one more for its end. */
			assert_int_equal(count_exits(runs[i].text[j], "interval", pids),
					 TIMES * (EXITS + 1));
		}
		/* Totals were asked for three times: 1, 1 + 2 and 1 + 2 + 3 guests. */
		assert_int_equal(count_exits(runs[i].text[0], "total", pids), 6 * (EXITS + 1));
		close_run(&runs[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
