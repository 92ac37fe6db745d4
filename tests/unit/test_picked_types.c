// SPDX-License-Identifier: GPL-2.0-only
/* The types that are picked are those of this host's kernel, up to what pointers lead to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <bpf/btf.h>

#include "../../compat/host.h"
#include "../../compat/picked_types.h"

static void compare(const struct btf *picked, const struct btf *kernel, const char *name)
{
	int ours = btf__find_by_name_kind(picked, name, BTF_KIND_STRUCT);
	int theirs = btf__find_by_name_kind(kernel, name, BTF_KIND_STRUCT);
	const struct btf_type *a, *b;

	assert_true(theirs > 0);
	assert_true(ours > 0);
	a = btf__type_by_id(picked, ours);
	b = btf__type_by_id(kernel, theirs);
	assert_int_equal(a->size, b->size);
	assert_int_equal(btf_vlen(a), btf_vlen(b));
	for (int i = 0; i < btf_vlen(a); i++) {
		const struct btf_member *m = &btf_members(a)[i], *n = &btf_members(b)[i];

		assert_string_equal(btf__name_by_offset(picked, m->name_off),
				    btf__name_by_offset(kernel, n->name_off));
		assert_int_equal(btf_member_bit_offset(a, i), btf_member_bit_offset(b, i));
		assert_int_equal(btf_member_bitfield_size(a, i), btf_member_bitfield_size(b, i));
		assert_int_equal(btf__resolve_size(picked, m->type),
				 btf__resolve_size(kernel, n->type));
	}
}

/* Of that member of struct type_numbers. */
static int place(const struct btf *picked, const char *name)
{
	int id = btf__find_by_name_kind(picked, "type_numbers", BTF_KIND_STRUCT);
	const struct btf_type *t = btf__type_by_id(picked, id);

	assert_true(id > 0);
	for (int i = 0; i < btf_vlen(t); i++)
		if (!strcmp(btf__name_by_offset(picked, btf_members(t)[i].name_off), name))
			return (int)btf_member_bit_offset(t, i) / 8;
	return -1;
}

static void test_same(void **state)
{
	static const char *const numbered[] = { "hlist_node", "upid" };
	const struct btf *kernel = host__kernel_types();
	const char *path;
	struct btf *picked;

	(void)state;
	if (!kernel)
		skip();
	path = picked_types__path();
	assert_non_null(path);
	assert_ptr_equal(picked_types__path(), path);
	picked = btf__parse(path, NULL);
	assert_non_null(picked);
	assert_true(btf__type_cnt(picked) < btf__type_cnt(kernel) / 5);
	compare(picked, kernel, "task_struct");
	compare(picked, kernel, "file");
	for (size_t i = 0; i < 2; i++) {
		compare(picked, kernel, numbered[i]);
		assert_int_equal(place(picked, numbered[i]),
				 btf__find_by_name_kind(kernel, numbered[i], BTF_KIND_STRUCT));
	}
	btf__free(picked);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_same) };

	return cmocka_run_group_tests_name("picked_types", tests, NULL, NULL);
}
