// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's types are some hundred thousand. libbpf reads and frees them
 * for each object that it loads, which is most of what a start costs; here
 * they are read once. The linker gives libbpf these functions in the place of
 * its own (--wrap, only where it is linked statically).
 */
#include <bpf/btf.h>

static struct btf *kernel_types;

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker makes these names. */
struct btf *__real_btf__load_vmlinux_btf(void);
struct btf *__wrap_btf__load_vmlinux_btf(void);
void __real_btf__free(struct btf *btf);
void __wrap_btf__free(struct btf *btf);

struct btf *__wrap_btf__load_vmlinux_btf(void)
{
	if (!kernel_types)
		kernel_types = __real_btf__load_vmlinux_btf();
	return kernel_types;
}

void __wrap_btf__free(struct btf *btf)
{
	if (btf != kernel_types)
		__real_btf__free(btf);
}
/* NOLINTEND(bugprone-reserved-identifier) */
