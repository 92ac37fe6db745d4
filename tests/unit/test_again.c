// SPDX-License-Identifier: GPL-2.0-only
/*
 * Monitors come and go in a run: each is attached and detached several times while
 * another one runs. Each counts what happens while it is attached, the other one counts
 * everything, and nothing of those that have gone is left in the kernel. Needs root and KVM.
 */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <cmocka.h>
#include <json-c/json.h>

#include "../../core/attach.h"
#include "../../core/broker.h"
#include "../../core/filter.h"
#include "../../core/monitor.h"
#include "../../core/report.h"
#include "../../core/vcpus.h"
#include "../../monitors/monitors.h"
#include "guest.h"

enum { EXITS = 200, ROUNDS = 3 };

/* Of this test alone: others may run here, by the hundred. */
static char guest[64], guest_name[16];

struct run {
	struct filter filter;
	struct sink sink;
	struct attach_env env;
	struct attachment stays, comes;
	struct attachments attached;
	struct monitor_config configs[MAX_MONITORS];
	struct chosen chosen[MAX_MONITORS];
	struct broker_options privileged;
	char *text;
	size_t size;
	FILE *stream;
};

static bool open_run(struct run *run)
{
	run->filter = (struct filter){ .vm = guest_name, .pattern = guest_name };
	run->env = (struct attach_env){
		.sinks = &run->sink,
		.nr_sinks = 1,
		.filter = &run->filter,
	};
	for (size_t i = 0; i < nr_monitors; i++)
		run->chosen[i] = (struct chosen){ monitors[i], &run->configs[i] };
	run->privileged = (struct broker_options){
		.env = &run->env,
		.chosen = run->chosen,
		.nr_chosen = nr_monitors,
	};
	run->stream = open_memstream(&run->text, &run->size);
	run->sink.out = output__new(FORMAT_JSON, run->stream, 0);
	run->env.broker = broker__start(&run->privileged);
	if (!run->env.broker || vcpus__open(&run->filter, run->env.broker, &run->env.vcpus))
		return false;
	/* Other VMs of this host would have the iterator opened, which is kept, some time. */
	vcpus__find_vm(run->env.vcpus, 1, 0);
	return true;
}

static void close_run(struct run *run)
{
	output__free(run->sink.out);
	if (run->stream)
		fclose(run->stream);
	free(run->text);
	vcpus__close(run->env.vcpus);
	broker__close(run->env.broker);
}

/* Beside what is attached already. False: this host does not have it. */
static bool begin(struct run *run, struct attachment *at, size_t monitor)
{
	int err = attach__load(&run->env, &run->chosen[monitor], at);

	if (!err)
		err = attach__attach(at);
	if (err) {
		assert_int_equal(err, -EOPNOTSUPP);
		return false;
	}
	report__begin(&run->env, &(struct attachments){ .list = { at }, .nr = 1 });
	run->attached.list[run->attached.nr++] = at;
	return true;
}

/* Of the last one: shows what it counted. */
static void end(struct run *run)
{
	uint64_t now_ns = report__look(&run->env, &run->attached);
	struct attachment *at = run->attached.list[--run->attached.nr];

	report__totals(&run->env, &(struct attachments){ .list = { at }, .nr = 1 }, 1, 0, now_ns);
	output__flush(run->sink.out);
	attach__close(at);
}

static uint64_t number_of(struct json_object *row, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(row, key, &value) ? json_object_get_uint64(value) : 0;
}

static bool is(struct json_object *row, const char *key, const char *text)
{
	struct json_object *value;

	return json_object_object_get_ex(row, key, &value) &&
	       !strcmp(json_object_get_string(value), text);
}

/* The count of a monitor's rows whose key is text, in what was written from there on. */
static uint64_t count(const struct run *run, size_t from, const char *monitor, const char *key,
		      const char *text)
{
	char *copy = strdup(run->text + from), *save = NULL;
	uint64_t sum = 0;

	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		struct json_object *row = json_tokener_parse(line);

		assert_non_null(row);
		if (is(row, "monitor", monitor) && is(row, key, text))
			sum += number_of(row, "count");
		json_object_put(row);
	}
	free(copy);
	return sum;
}

static size_t count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t nr = 0;

	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr;
}

/* The kernel's numbers of what is loaded for the needs. */
static size_t program_ids(const struct attachment *at, uint32_t ids[MAX_NEEDS])
{
	size_t nr = 0;

	for (size_t i = 0; i < at->nr_needs; i++) {
		struct bpf_prog_info info = {};
		__u32 size = sizeof(info);

		if (at->progs[i] < 0)
			continue;
		assert_int_equal(bpf_obj_get_info_by_fd(at->progs[i], &info, &size), 0);
		ids[nr++] = info.id;
	}
	return nr;
}

static bool is_loaded(uint32_t id)
{
	int fd = bpf_prog_get_fd_by_id(id);

	if (fd >= 0)
		close(fd);
	return fd >= 0 || errno != ENOENT;
}

/* The kernel frees what is detached after a grace period. */
static void all_gone(const uint32_t *ids, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		for (int tries = 0; tries < 500 && is_loaded(ids[i]); tries++)
			usleep(10000);
		assert_false(is_loaded(ids[i]));
	}
}

static size_t index_of(const char *name)
{
	for (size_t i = 0; i < nr_monitors; i++)
		if (!strcmp(monitors[i]->name, name))
			return i;
	fail_msg("there is no monitor %s", name);
	return 0;
}

static bool one_round(struct run *run, size_t monitor)
{
	const char *name = monitors[monitor]->name;
	uint32_t ids[MAX_NEEDS];
	size_t nr, from = run->size;

	if (!begin(run, &run->comes, monitor))
		return false;
	run_guest_at(guest, EXITS);
	nr = program_ids(&run->comes, ids);
	end(run);
	/* The generator does one more for its end. */
	assert_int_equal(count(run, from, "vm_exit", "reason", "IO"),
			 strcmp(name, "vm_exit") ? 0 : EXITS + 1);
	assert_int_equal(count(run, from, "kvm_ioctl", "name", "KVM_RUN"),
			 strcmp(name, "kvm_ioctl") ? 0 : EXITS + 1);
	all_gone(ids, nr);
	return true;
}

/* All monitors beside -e that stays, and -e itself in a run of its own. */
static void test_again(void **state)
{
	struct run *run = calloc(1, sizeof(*run)), *other = calloc(1, sizeof(*other));
	bool works = !geteuid() && !access("/dev/kvm", R_OK | W_OK) && !access(GUEST, X_OK);
	const size_t exits = index_of("vm_exit");
	/* make soak wants more of them. */
	const char *asked = getenv("AGAIN_ROUNDS");
	int rounds = asked && atoi(asked) > ROUNDS ? atoi(asked) : ROUNDS;
	size_t nr = 0, fds = 0;

	(void)state;
	works = works && open_run(run) && open_run(other) && begin(run, &run->stays, exits);
	for (int round = 0; works && round < rounds; round++) {
		for (size_t i = 0; i < nr_monitors; i++)
			nr += one_round(i == exits ? other : run, i);
		/* The first round may have opened what is kept. */
		if (round == 1)
			fds = count_fds();
		else if (round)
			assert_int_equal(count_fds(), fds);
	}
	if (works) {
		size_t from = run->size;

		assert_true(nr >= (size_t)rounds);
		end(run);
		assert_int_equal(count(run, from, "vm_exit", "reason", "IO"), nr * (EXITS + 1));
	}
	close_run(other);
	close_run(run);
	free(other);
	free(run);
	if (!works)
		skip();
}

/* A name for the guest that no other VM has. */
static int link_guest(void **state)
{
	char dir[] = "/tmp/test_again.XXXXXX", *program = realpath(GUEST, NULL);
	int err;

	(void)state;
	snprintf(guest_name, sizeof(guest_name), "again%d", getpid());
	if (!program || !mkdtemp(dir))
		return 0;
	snprintf(guest, sizeof(guest), "%s/%s", dir, guest_name);
	err = symlink(program, guest);
	free(program);
	return err;
}

static int unlink_guest(void **state)
{
	(void)state;
	if (!*guest)
		return 0;
	unlink(guest);
	*strrchr(guest, '/') = '\0';
	return rmdir(guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_again) };

	return cmocka_run_group_tests(tests, link_guest, unlink_guest);
}
