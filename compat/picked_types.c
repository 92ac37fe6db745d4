// SPDX-License-Identifier: GPL-2.0-only
#include "picked_types.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/btf.h>

#include "core_types.h"
#include "host.h"

/* compat.bpf.h's struct type_numbers. */
static const char *const numbered[] = { "hlist_node", "upid" };

enum {
	NR_NAMES = sizeof(core_types) / sizeof(core_types[0]),
	NR_NUMBERED = sizeof(numbered) / sizeof(numbered[0]),
	NR_BEGINS = 4096,
};

struct pick {
	struct btf *to;
	const struct btf *from;
	int *copies; /* by the number in from; 0: not there yet */
	bool has[NR_NAMES];
	int err; /* the first */
};

/* A name up to a flavour: "kvm_vcpu___old" is another kvm_vcpu. */
static size_t essential_length(const char *name)
{
	const char *flavour = strstr(name, "___");

	return flavour && flavour != name ? (size_t)(flavour - name) : strlen(name);
}

static int compare_name(const void *key, const void *element)
{
	const char *name = key, *known = *(const char *const *)element;
	size_t length = essential_length(name);
	int order = strncmp(name, known, length);

	return order ? order : -(known[length] != '\0');
}

/* Names differ early: most of the kernel's begin like none that is wanted. */
static unsigned int begin_of(const char *name)
{
	unsigned int begin = 0;

	for (int i = 0; i < 4 && name[i]; i++)
		begin = begin * 31 + (unsigned char)name[i];
	return begin % NR_BEGINS;
}

/* Which of core_types[]; -1: none of them. */
static int wanted(const char *name)
{
	static bool begins[NR_BEGINS], known;
	const char *const *found;

	for (int i = 0; !known && i < NR_NAMES; i++)
		begins[begin_of(core_types[i])] = true;
	known = true;
	if (!begins[begin_of(name)])
		return -1;
	found = bsearch(name, core_types, NR_NAMES, sizeof(core_types[0]), compare_name);
	return found ? (int)(found - core_types) : -1;
}

static int copy(struct pick *p, int id);

/* The id of what was added, or 0. */
static int added(struct pick *p, int id)
{
	if (id > 0)
		return id;
	if (!p->err)
		p->err = id ? id : -EINVAL;
	return 0;
}

static int copy_array(struct pick *p, const struct btf_type *t)
{
	const struct btf_array *array = btf_array(t);
	int index = copy(p, array->index_type), element = copy(p, array->type);

	return btf__add_array(p->to, index, element, array->nelems);
}

/* The types of its members first: pointers lead nowhere, so this ends. */
static int copy_composite(struct pick *p, const struct btf_type *t, const char *name)
{
	const struct btf_member *members = btf_members(t);
	int id;

	for (int i = 0; i < btf_vlen(t); i++)
		copy(p, members[i].type);
	id = btf_is_struct(t) ? btf__add_struct(p->to, name, t->size) :
				btf__add_union(p->to, name, t->size);
	for (int i = 0; id > 0 && i < btf_vlen(t); i++) {
		int err = btf__add_field(p->to, btf__name_by_offset(p->from, members[i].name_off),
					 copy(p, members[i].type), btf_member_bit_offset(t, i),
					 btf_member_bitfield_size(t, i));

		if (err)
			return err;
	}
	return id;
}

static int copy_enum(struct pick *p, const struct btf_type *t, const char *name)
{
	bool wide = btf_is_enum64(t);
	int id = wide ? btf__add_enum64(p->to, name, t->size, btf_kflag(t)) :
			btf__add_enum(p->to, name, t->size);

	for (int i = 0; id > 0 && i < btf_vlen(t); i++) {
		int err =
			wide ? btf__add_enum64_value(
				       p->to,
				       btf__name_by_offset(p->from, btf_enum64(t)[i].name_off),
				       btf_enum64_value(&btf_enum64(t)[i])) :
			       btf__add_enum_value(
				       p->to, btf__name_by_offset(p->from, btf_enum(t)[i].name_off),
				       btf_enum(t)[i].val);

		if (err)
			return err;
	}
	return id;
}

static int copy_type(struct pick *p, const struct btf_type *t)
{
	const char *name = btf__name_by_offset(p->from, t->name_off);

	switch (btf_kind(t)) {
	case BTF_KIND_INT:
		return btf__add_int(p->to, name, t->size, btf_int_encoding(t));
	case BTF_KIND_FLOAT:
		return btf__add_float(p->to, name, t->size);
	case BTF_KIND_PTR:
		return btf__add_ptr(p->to, 0);
	case BTF_KIND_ARRAY:
		return copy_array(p, t);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return copy_composite(p, t, name);
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		return copy_enum(p, t, name);
	case BTF_KIND_FWD:
		return btf__add_fwd(p->to, name, btf_kflag(t) ? BTF_FWD_UNION : BTF_FWD_STRUCT);
	case BTF_KIND_TYPEDEF:
		return btf__add_typedef(p->to, name, copy(p, t->type));
	case BTF_KIND_VOLATILE:
		return btf__add_volatile(p->to, copy(p, t->type));
	case BTF_KIND_CONST:
		return btf__add_const(p->to, copy(p, t->type));
	case BTF_KIND_RESTRICT:
		return btf__add_restrict(p->to, copy(p, t->type));
	case BTF_KIND_TYPE_TAG:
		return copy(p, t->type);
	default: /* Functions stand behind pointers. */
		return -EINVAL;
	}
}

/* The number that type id of from has in to: 0 is void, or an error. */
static int copy(struct pick *p, int id)
{
	if (id && !p->copies[id] && !p->err)
		p->copies[id] = added(p, copy_type(p, btf__type_by_id(p->from, id)));
	return p->copies[id];
}

static bool can_be_named(const struct btf_type *t)
{
	return btf_is_composite(t) || btf_is_any_enum(t) || btf_is_typedef(t);
}

/* Those of core_types[] among the types of p->from from first on, but those that p->has. */
static void pick_from(struct pick *p, int first)
{
	int nr = (int)btf__type_cnt(p->from);
	bool has[NR_NAMES];

	memcpy(has, p->has, sizeof(has));
	for (int id = first; id < nr && !p->err; id++) {
		const struct btf_type *t = btf__type_by_id(p->from, id);
		int i = can_be_named(t) ? wanted(btf__name_by_offset(p->from, t->name_off)) : -1;

		if (i < 0 || p->has[i])
			continue;
		copy(p, id);
		has[i] = true;
	}
	memcpy(p->has, has, sizeof(has));
}

/*
 * The kernel's own numbers of types, which those that are picked do not keep: the member of that
 * name has the number as its place in struct type_numbers, which is what a program asks for.
 */
static void add_numbers(struct pick *p)
{
	enum { BITS = 8 };
	int byte = added(p, btf__add_int(p->to, "char", 1, 0));

	if (!added(p, btf__add_struct(p->to, "type_numbers", btf__type_cnt(p->from))))
		return;
	for (size_t i = 0; i < NR_NUMBERED; i++) {
		int id = btf__find_by_name_kind(p->from, numbered[i], BTF_KIND_STRUCT);
		int err = id > 0 ? btf__add_field(p->to, numbered[i], byte, BITS * id, 0) : 0;

		if (err && !p->err)
			p->err = err;
	}
}

/* Module's types, which begin where those of the kernel end. */
static void pick_from_module(struct pick *p, const struct btf *kernel, const char *module)
{
	int nr_kernel = (int)btf__type_cnt(kernel), nr;
	struct btf *btf = btf__load_module_btf(module, (struct btf *)kernel);
	int *copies;

	if (!btf)
		return;
	nr = (int)btf__type_cnt(btf);
	copies = realloc(p->copies, nr * sizeof(*copies));
	if (copies) {
		memset(copies + nr_kernel, 0, (nr - nr_kernel) * sizeof(*copies));
		p->copies = copies;
		p->from = btf;
		pick_from(p, nr_kernel);
	} else {
		p->err = -ENOMEM;
	}
	btf__free(btf);
}

/* The types that are picked; NULL and errno. */
static struct btf *pick(void)
{
	const struct btf *kernel = host__kernel_types();
	struct pick p = { .from = kernel };

	if (!kernel) {
		errno = ENOENT;
		return NULL;
	}
	p.to = btf__new_empty();
	p.copies = calloc(btf__type_cnt(kernel), sizeof(*p.copies));
	if (p.to && p.copies) {
		add_numbers(&p);
		pick_from(&p, 1);
		for (int i = 0; i < NR_HOST_MODULES && !p.err; i++)
			if (host__has_btf(host__module_name(i)))
				pick_from_module(&p, kernel, host__module_name(i));
	} else {
		p.err = -ENOMEM;
	}
	free(p.copies);
	if (!p.err)
		return p.to;
	btf__free(p.to);
	errno = -p.err;
	return NULL;
}

/* A descriptor of a file with it; -1 and errno. */
static int write_types(const struct btf *btf)
{
	unsigned int size;
	const void *data = btf__raw_data(btf, &size);
	int fd = data ? memfd_create("kvm_watcher-types", MFD_CLOEXEC) : -1;

	if (fd >= 0 && write(fd, data, size) != (ssize_t)size) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static bool are_picked;

bool picked_types__can_cast(void)
{
	return are_picked && host__can_cast();
}

/* Instead of a file that can't be made. */
static const char *whole(void)
{
	are_picked = false;
	return host__sees_module_types() ? NULL : "/sys/kernel/btf/vmlinux";
}

const char *picked_types__path(void)
{
	static unsigned int picked_with = ~0U;
	static char path[sizeof("/proc/self/fd/2147483647")];
	static int fd = -1;
	unsigned int there = 0;
	struct btf *btf;

	for (int i = 0; i < NR_HOST_MODULES; i++)
		there |= (unsigned int)host__has_btf(host__module_name(i)) << i;
	if (fd >= 0 && picked_with == there)
		return path;
	btf = pick();
	if (!btf)
		return whole();
	if (fd >= 0)
		close(fd);
	fd = write_types(btf);
	btf__free(btf);
	picked_with = there;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	are_picked = fd >= 0;
	return are_picked ? path : whole();
}
