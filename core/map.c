// SPDX-License-Identifier: GPL-2.0-only
#include "map.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "../bpf/fill.h"
#include "../compat/host.h"
#include "fill.skel.h"

void *map__mmap(const struct bpf_map *map, size_t *size)
{
	size_t page = sysconf(_SC_PAGESIZE), bytes;
	void *at;

	/* The kernel rounds the elements of an array up to 8 bytes. */
	bytes = ((bpf_map__value_size(map) + 7) & ~7UL) * bpf_map__max_entries(map);
	bytes = (bytes + page - 1) & ~(page - 1);
	at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
	if (at == MAP_FAILED)
		return NULL;
	*size = bytes;
	return at;
}

/* In the kernel. 0 or -errno; a kernel that refuses the program refuses it at once. */
static int fill_by_program(int fd, uint32_t last)
{
	struct fill_bpf *skel = fill_bpf__open();
	uint64_t index = last;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &index, .ctx_size_in = sizeof(index));
	int err;

	if (!skel)
		return -errno;
	err = bpf_map__reuse_fd(skel->maps.indices, fd);
	if (!err)
		err = fill_bpf__load(skel);
	for (; !err && index && index <= last; index -= FILL_ROUND) {
		err = bpf_prog_test_run_opts(bpf_program__fd(skel->progs.fill), &opts);
		if (!err && opts.retval)
			err = -E2BIG;
	}
	fill_bpf__destroy(skel);
	return err;
}

int map__fill(const struct bpf_map *stack)
{
	uint32_t last = bpf_map__max_entries(stack) - 1;
	int fd = bpf_map__fd(stack), err;

	if (last > FILL_LEAST) {
		err = fill_by_program(fd, last);
		if (!err || err == -E2BIG)
			return err;
	}
	for (uint32_t i = last; i; i--)
		if (bpf_map_update_elem(fd, NULL, &i, BPF_ANY))
			return -errno;
	return 0;
}

/* A real-time section, for nothing that makes events to preempt it: how it was before. */
struct rt_section {
	struct sched_param param;
	int policy;
};

static struct rt_section rt_section__begin(void)
{
	const struct sched_param least = { .sched_priority = 1 };
	struct rt_section section = { .policy = sched_getscheduler(0) };

	if (sched_getparam(0, &section.param) || section.policy == SCHED_FIFO ||
	    section.policy == SCHED_RR || sched_setscheduler(0, SCHED_FIFO, &least))
		section.policy = -1;
	return section;
}

static void rt_section__end(const struct rt_section *section)
{
	if (section->policy >= 0)
		sched_setscheduler(0, section->policy, &section->param);
}

int map__lookup(const struct bpf_map *map, const void *key, void *value)
{
	struct rt_section section = rt_section__begin();
	int err = bpf_map_lookup_elem(bpf_map__fd(map), key, value);

	rt_section__end(&section);
	return err;
}

int map__update(const struct bpf_map *map, const void *key, const void *value)
{
	struct rt_section section = rt_section__begin();
	int err = bpf_map_update_elem(bpf_map__fd(map), key, value, BPF_ANY);

	rt_section__end(&section);
	return err;
}

int map__delete(const struct bpf_map *map, const void *key)
{
	struct rt_section section = rt_section__begin();
	int err = bpf_map_delete_elem(bpf_map__fd(map), key);

	rt_section__end(&section);
	return err;
}

void map__forget(const struct bpf_map *map, const void *key, uint32_t value)
{
	struct rt_section section = rt_section__begin();
	int fd = bpf_map__fd(map);
	uint32_t known;

	if (!bpf_map_lookup_elem(fd, key, &known) && known == value)
		bpf_map_delete_elem(fd, key);
	rt_section__end(&section);
}

void map__give_back(const struct bpf_map *stack, uint32_t index)
{
	struct rt_section section = rt_section__begin();
	int tries = 100;

	/* Its lock is given up when another CPU has it for long (queue_stack_map_push_elem()). */
	while (bpf_map_update_elem(bpf_map__fd(stack), NULL, &index, BPF_ANY) && errno == EBUSY &&
	       tries--)
		;
	rt_section__end(&section);
}

/* The compiler makes further sections, such as .rodata.cst16. */
static bool is_section(const struct bpf_map *map, const char *section)
{
	const char *name = bpf_map__name(map);
	size_t len = strlen(name), end = strlen(section);

	return bpf_map__is_internal(map) && len >= end && !strcmp(name + len - end, section);
}

long map__find_variable(const struct bpf_object *obj, const char *section, const char *variable,
			struct bpf_map **map)
{
	const struct btf *btf = bpf_object__btf(obj);
	const struct btf_var_secinfo *var;
	const struct btf_type *datasec;
	struct bpf_map *each;
	int id;

	*map = NULL;
	bpf_object__for_each_map(each, obj) if (is_section(each, section)) *map = each;
	id = btf__find_by_name_kind(btf, section, BTF_KIND_DATASEC);
	if (id < 0 || !*map)
		return -ENOENT;
	datasec = btf__type_by_id(btf, id);
	var = btf_var_secinfos(datasec);
	for (int i = 0; i < btf_vlen(datasec); i++, var++) {
		const struct btf_type *t = btf__type_by_id(btf, var->type);

		if (!strcmp(btf__name_by_offset(btf, t->name_off), variable))
			return var->offset;
	}
	return -ENOENT;
}

static int set_const(const struct bpf_object *obj, const char *variable, const void *value,
		     size_t value_size)
{
	struct bpf_map *map;
	long offset = map__find_variable(obj, ".rodata", variable, &map);
	char *initial;
	size_t size;

	if (offset < 0)
		return offset;
	initial = (char *)bpf_map__initial_value(map, &size);
	if (!initial || (size_t)offset + value_size > size)
		return -ERANGE;
	memcpy(initial + offset, value, value_size);
	return 0;
}

int map__set_const(const struct bpf_object *obj, const char *variable, uint32_t value)
{
	return set_const(obj, variable, &value, sizeof(value));
}

int map__set_const64(const struct bpf_object *obj, const char *variable, uint64_t value)
{
	return set_const(obj, variable, &value, sizeof(value));
}

void map__set_offset(uint32_t *constant, const char *event, const char *field)
{
	int at = host__field_offset(event, field);

	if (at > 0)
		*constant = at;
}
