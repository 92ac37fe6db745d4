// SPDX-License-Identifier: GPL-2.0-only
/*
 * A driver changes what is measured while it runs, with real BPF: each exit is counted by what was
 * attached when it happened, and by nobody else. Needs root and /dev/kvm.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <json-c/json.h>

#include "../../core/attach.h"
#include "../../core/broker.h"
#include "../../core/clock.h"
#include "../../core/filter.h"
#include "../../core/loop.h"
#include "../../core/monitor.h"
#include "../../core/report.h"
#include "../../core/sink.h"
#include "../../core/stop.h"
#include "../../core/vcpus.h"
#include "../../monitors/monitors.h"
#include "guest.h"

enum { EXITS = 300, HOUR = 3600 };
enum { PLAIN, DETAIL, LOAD, NR_CHOSEN };
enum { SINK, NR_SINKS };

#define ONLY(_what) (1U << (_what))

static struct monitor_config config;

struct test {
	unsigned int step;
	int nr_guests;
	pid_t pids[8];
	unsigned int nr_reported;
	uint32_t measured[8]; /* after each step */
	uint64_t lost;
};

static const struct monitor *find(const char *name)
{
	for (size_t i = 0; i < nr_monitors; i++)
		if (!strcmp(monitors[i]->name, name))
			return monitors[i];
	return NULL;
}

static int ready(void *ctx, struct run *run)
{
	struct test *t = ctx;
	uint64_t lost[NR_LOST];
	int err = 0;

	switch (t->step) {
	case 0:
		break;
	case 1:
		err = run__measure(run, ONLY(DETAIL));
		break;
	case 2:
		err = run__measure(run, ONLY(LOAD));
		break;
	case 3:
		err = run__measure(run, ONLY(PLAIN) | ONLY(LOAD));
		break;
	case 4:
		err = run__restart(run, ONLY(PLAIN));
		break;
	default:
		run__losses(run, lost);
		for (int i = 0; i < NR_LOST; i++)
			t->lost += lost[i];
		return RUN_END;
	}
	if (err)
		return err;
	t->measured[t->step++] = run__measured(run);
	t->pids[t->nr_guests++] = run_guest(EXITS);
	run__look(run);
	return 0;
}

static int reported(void *ctx, struct run *run)
{
	(void)run;
	((struct test *)ctx)->nr_reported++;
	return 0;
}

/* Exits IO to user space of the guests from first to last, in rows of that scope. */
static uint64_t count_exits(const char *text, const char *scope, const struct test *t, int first,
			    int last)
{
	struct json_object *row, *value;
	uint64_t count = 0;
	char *copy = strdup(text), *save = NULL;

	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		row = json_tokener_parse(line);
		assert_non_null(row);
		for (int i = first; i <= last; i++)
			if (json_object_object_get_ex(row, "pid", &value) &&
			    json_object_get_int(value) == t->pids[i] &&
			    json_object_object_get_ex(row, "scope", &value) &&
			    !strcmp(json_object_get_string(value), scope) &&
			    json_object_object_get_ex(row, "table", &value) &&
			    !strcmp(json_object_get_string(value), "KVM_USERSPACE_EXIT") &&
			    json_object_object_get_ex(row, "reason", &value) &&
			    !strcmp(json_object_get_string(value), "IO") &&
			    json_object_object_get_ex(row, "count", &value))
				count += json_object_get_uint64(value);
		json_object_put(row);
	}
	free(copy);
	return count;
}

static void test_what_is_measured_changes(void **state)
{
	struct test test = {};
	const struct driver driver = {
		.ctx = &test,
		.fd = eventfd(1, EFD_CLOEXEC),
		.ready = ready,
		.reported = reported,
	};
	struct filter filter = {};
	char *text = NULL, *options[] = { NULL };
	size_t size;
	FILE *stream = open_memstream(&text, &size);
	struct sink sinks[NR_SINKS] = {
		[SINK] = {
			.out = output__new(FORMAT_JSON, stream, 0),
			.interval_ns = (uint64_t)HOUR * NSEC_PER_SEC,
		},
	};
	struct attach_env env = {
		.sinks = sinks,
		.nr_sinks = NR_SINKS,
		.filter = &filter,
		.summary = true,
	};
	const struct monitor *vm_exit = find("vm_exit");
	struct chosen chosen[NR_CHOSEN] = {
		[PLAIN] = { .monitor = vm_exit, .config = &(struct monitor_config){} },
		[DETAIL] = { .monitor = vm_exit, .config = &config },
		[LOAD] = { .monitor = find("vcpu_load"), .config = &(struct monitor_config){} },
	};
	const struct broker_options privileged = {
		.env = &env,
		.chosen = chosen,
		.nr_chosen = NR_CHOSEN,
	};
	const struct watch_options opts = {
		.chosen = chosen,
		.nr_chosen = NR_CHOSEN,
		.measured = ONLY(PLAIN),
		.driver = &driver,
		.about = { "test", options },
		.quiet = true,
	};

	(void)state;
	if (geteuid() || access("/dev/kvm", R_OK | W_OK) || access(GUEST, X_OK)) {
		output__free(sinks[SINK].out);
		fclose(stream);
		free(text);
		close(driver.fd);
		skip();
	}
	for (const struct monitor_option *o = vm_exit->options; o->name; o++)
		if (!strcmp(o->name, "detail"))
			o->set(&config, NULL);
	env.broker = broker__start(&privileged);
	assert_non_null(env.broker);
	assert_int_equal(stop__open(), 0);
	assert_int_equal(vcpus__open(&filter, env.broker, &env.vcpus), 0);
	assert_int_equal(loop__watch(&env, &opts), 0);
	stop__close();
	output__flush(sinks[SINK].out);

	assert_int_equal(test.nr_guests, 5);
	assert_int_equal(test.measured[0], ONLY(PLAIN));
	assert_int_equal(test.measured[1], ONLY(DETAIL));
	assert_int_equal(test.measured[2], ONLY(LOAD));
	assert_int_equal(test.measured[3], ONLY(PLAIN) | ONLY(LOAD));
	assert_int_equal(test.measured[4], ONLY(PLAIN));
	assert_int_equal(test.lost, 0);
	/* The generator does one more for its end. */
	for (int i = 0; i < test.nr_guests; i++)
		assert_int_equal(count_exits(text, "interval", &test, i, i),
				 i == 2 ? 0 : EXITS + 1);
	/* The total begins with the restart. */
	assert_int_equal(count_exits(text, "total", &test, 0, 3), 0);
	assert_int_equal(count_exits(text, "total", &test, 4, 4), EXITS + 1);
	/* Nobody's interval was over. */
	assert_int_equal(test.nr_reported, 0);

	output__free(sinks[SINK].out);
	fclose(stream);
	free(text);
	vcpus__close(env.vcpus);
	broker__close(env.broker);
	close(driver.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_measured_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
