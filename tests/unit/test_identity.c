// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who a VM is, on the /proc trees of tests/unit/proc: as the VMMs and those who start
 * them write command lines and cgroups, of both versions. Run from the project's root.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../core/filter.h"
#include "../../core/vm.h"

#define PROCFS "tests/unit/proc"
#define CID "3f0d5a8b7c6e4d2f1a0b9c8d7e6f5a4b3c2d1e0f9a8b7c6d5e4f3a2b1c0d9e8f"

static const struct expected {
	pid_t pid;
	const char *name, *vmm;
	struct identity who;
} all[] = {
	/* QEMU of libvirt: a unified hierarchy, the older ones with systemd and without. */
	{ 101,
	  "web-1",
	  "qemu",
	  { .uuid = "8a7d3c1e-52f4-4f0b-9a4e-1f2d3c4b5a69",
	    .libvirt_name = "web-1",
	    .cgroup = "/machine.slice/machine-qemu\\x2d1\\x2dweb\\x2d1.scope/libvirt/emulator" } },
	{ 102,
	  "db_main",
	  "qemu",
	  { .uuid = "0f0e0d0c-0b0a-4908-8706-050403020100",
	    .libvirt_name = "db_main",
	    .vmm_version = "8.2.4",
	    .cgroup = "/machine.slice/machine-qemu\\x2d12\\x2ddb_main.scope/libvirt/emulator" } },
	{ 103,
	  "old",
	  "qemu",
	  { .uuid = "11111111-2222-3333-4444-555555555555",
	    .libvirt_name = "old",
	    .cgroup = "/machine/qemu-3-old.libvirt-qemu/emulator" } },
	/* KubeVirt, with systemd's cgroups and with those of the kubelet. */
	{ 111,
	  "shop_cart-0.eu",
	  "qemu",
	  { .uuid = "5a9fc181-957e-5c32-9e5a-2de5e9673531",
	    .kube_namespace = "shop",
	    .kube_vmi = "cart-0.eu",
	    .pod_uid = "1f6e2c1d-8b8e-4d52-9f5c-0a1b2c3d4e5f",
	    .cgroup = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-"
		      "pod1f6e2c1d_8b8e_4d52_9f5c_0a1b2c3d4e5f.slice/cri-containerd-" CID
		      ".scope" } },
	{ 112,
	  "default_testvm",
	  "qemu",
	  { .uuid = "25b8ee5c-3d2a-5b55-8c7a-66d1f5f21f0c",
	    .kube_namespace = "default",
	    .kube_vmi = "testvm",
	    .pod_uid = "c0ffee00-1234-4abc-8def-0123456789ab",
	    .cgroup = "/kubepods/burstable/podc0ffee00-1234-4abc-8def-0123456789ab/" CID } },
	/* It is called like KubeVirt's, and is none; its UUID is none either. */
	{ 113, "shop_cart", "qemu", { .cgroup = "/user.slice/user-1000.slice/session-3.scope" } },
	/* Firecracker's jailer: all hierarchies, some of them, one. */
	{ 121,
	  "551e7604-e35c-42b3-b825-416853441234",
	  "firecracker",
	  { .cgroup = "/firecracker/551e7604-e35c-42b3-b825-416853441234" } },
	{ 122,
	  "micro-7",
	  "firecracker",
	  { .vmm_version = "1.9.1", .cgroup = "/firecracker-v1.9.1-x86_64/micro-7" } },
	{ 123, "only-sets", "firecracker", { .cgroup = "/firecracker/only-sets" } },
	/* Of Kata, whose pod is known and whose namespace is not; of libvirt. */
	{ 131,
	  "9d1c4a0e",
	  "cloud-hypervisor",
	  { .pod_uid = "5f0c3d2e-6b7a-4c8d-9e0f-112233445566",
	    .cgroup = "/kubepods.slice/kubepods-pod5f0c3d2e_6b7a_4c8d_9e0f_112233445566.slice/"
		      "kata_9d1c4a0e" } },
	{ 132,
	  "DE4B2C54-0F3A-4DB5-8C42-6F0F1A2B3C4D",
	  "cloud-hypervisor",
	  { .uuid = "de4b2c54-0f3a-4db5-8c42-6f0f1a2b3c4d",
	    .vmm_version = "41.0",
	    .libvirt_name = "api",
	    .cgroup = "/machine.slice/machine-ch\\x2d4\\x2dapi.scope/libvirt/emulator" } },
	{ 141,
	  "borealis",
	  "crosvm",
	  { .uuid = "3e8f1f0a-9c2b-4d3e-8f6a-7b5c4d3e2f1a", .cgroup = "/vms/termina" } },
	/* In another cgroup namespace than who looks. */
	{ 151, "tiny", "kvmtool", { .cgroup = "/../../user.slice/user-0.slice/session-c1.scope" } },
	/* Hostile: no part of a line, no UUID with more behind it, escapes as they come. */
	{ 161,
	  "\033[2J_x",
	  "qemu",
	  { .libvirt_name = "\033[2J\\x00\342\200\256\\xzz\\x",
	    .cgroup = "/machine.slice/machine-qemu\\x2d7\\x2d\\x1b\\x5b2J\\x00\\xe2\\x80\\xae"
		      "\\xzz\\x.scope" } },
	/* A name longer than Kubernetes lets one be. */
	{ 163, "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn", "qemu", {} },
};

static void test_trees(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		const struct expected *e = &all[i];
		struct vm vm;

		print_message("%d: %s\n", e->pid, e->vmm);
		assert_int_equal(vm__probe(PROCFS, e->pid, &vm), 0);
		assert_string_equal(vm.name, e->name);
		assert_string_equal(vm.vmm, e->vmm);
		assert_string_equal(vm.who.uuid, e->who.uuid);
		assert_string_equal(vm.who.vmm_version, e->who.vmm_version);
		assert_string_equal(vm.who.cgroup, e->who.cgroup);
		assert_string_equal(vm.who.libvirt_name, e->who.libvirt_name);
		assert_string_equal(vm.who.pod_uid, e->who.pod_uid);
		assert_string_equal(vm.who.kube_namespace, e->who.kube_namespace);
		assert_string_equal(vm.who.kube_vmi, e->who.kube_vmi);
	}
}

/* What is too long is cut, and not within a character. */
static void test_long_cgroup(void **state)
{
	struct vm vm;

	(void)state;
	assert_int_equal(vm__probe(PROCFS, 162, &vm), 0);
	assert_int_equal(strlen(vm.who.cgroup), sizeof(vm.who.cgroup) - 2);
	assert_string_equal(vm.who.pod_uid, "");
	assert_string_equal(vm.who.uuid, "");
}

/* Every prefix of what is there, and every byte made another one: ASan looks. */
static void test_mangled(void **state)
{
	static const char cgroups[] =
		"4:cpu,cpuacct:/machine.slice/machine-qemu\\x2d1\\x2dw.scope\n"
		"0::/kubepods/pod1f6e2c1d-8b8e-4d52-9f5c-0a1b2c3d4e5f\n";
	static const char cmdline[] = "qemu\0-name\0guest=a_b\0-smbios\0type=1,manufacturer="
				      "KubeVirt\0-uuid\0"
				      "8a7d3c1e-52f4-4f0b-9a4e-1f2d3c4b5a69";
	struct identity who;

	(void)state;
	for (size_t len = 0; len < sizeof(cgroups); len++) {
		char *text = strndup(cgroups, len);

		identity__read(&who, "qemu", "", &(struct args){}, text);
		for (size_t i = 0; i < len; i++) {
			text[i] ^= 0x5a;
			identity__read(&who, "qemu", text, &(struct args){}, text);
			text[i] ^= 0x5a;
		}
		free(text);
	}
	for (size_t len = 0; len < sizeof(cmdline); len++) {
		struct args args = { .data = malloc(len + 1), .len = len };

		memcpy(args.data, cmdline, len);
		args.data[len] = '\0';
		identity__read(&who, "qemu", "", &args, "");
		free(args.data);
	}
}

static struct filter filter_by(enum vm_by by, const char *pattern)
{
	struct filter filter = { .vm = pattern, .vm_by = by, .pattern = pattern };

	if (by == VM_BY_UUID)
		assert_true(identity__copy_uuid(filter.uuid, pattern));
	return filter;
}

/* The pids that a filter chooses, one after the other. */
static const char *chosen(enum vm_by by, const char *pattern)
{
	static char text[256];
	struct filter filter = filter_by(by, pattern);
	struct vm *vms;
	size_t nr, used = 0;

	text[0] = '\0';
	assert_int_equal(vm__scan(PROCFS, &vms, &nr), 0);
	assert_int_equal(nr, sizeof(all) / sizeof(*all) + 1);
	for (size_t i = 0; i < nr; i++)
		if (filter__has_vm(&filter, vms[i].pid, vms[i].name, &vms[i].who))
			used += snprintf(text + used, sizeof(text) - used, "%s%d", used ? " " : "",
					 vms[i].pid);
	free(vms);
	return text;
}

static void test_filter(void **state)
{
	(void)state;
	assert_string_equal(chosen(VM_BY_NAME, "web*"), "101");
	assert_string_equal(chosen(VM_BY_UUID, "0F0E0D0C-0B0A-4908-8706-050403020100"), "102");
	assert_string_equal(chosen(VM_BY_UUID, "00000000-0000-0000-0000-000000000000"), "");
	assert_string_equal(chosen(VM_BY_POD, "shop/cart-0.eu"), "111");
	assert_string_equal(chosen(VM_BY_POD, "*/*"), "111 112 131");
	assert_string_equal(chosen(VM_BY_POD, "[ds]*/?*"), "111 112");
	assert_string_equal(chosen(VM_BY_POD, "*/5f0c3d2e-6b7a-4c8d-9e0f-112233445566"), "131");
	assert_string_equal(chosen(VM_BY_POD, "shop/testvm"), "");
	assert_string_equal(chosen(VM_BY_CGROUP, "/machine.slice/machine-qemu\\x2d1\\x2d*"), "101");
	assert_string_equal(chosen(VM_BY_CGROUP, "/machine*"), "101 102 103 132 161");
	assert_string_equal(chosen(VM_BY_CGROUP, "*/user.slice/*"), "113 151");
	assert_string_equal(chosen(VM_BY_CGROUP, "*"),
			    "101 102 103 111 112 113 121 122 123 131 132 141 151 161 162");
}

static void test_uuid(void **state)
{
	static const char *const wrong[] = {
		"",
		"xyz",
		"8a7d3c1e52f44f0b9a4e1f2d3c4b5a69",
		"8a7d3c1e-52f4-4f0b-9a4e-1f2d3c4b5a6",
		"8a7d3c1e-52f4-4f0b-9a4e-1f2d3c4b5a690",
		"8a7d3c1e_52f4_4f0b_9a4e_1f2d3c4b5a69",
		"8a7d3c1g-52f4-4f0b-9a4e-1f2d3c4b5a69",
		"8a7d3c1e-52f4-4f0b-9a4e1-f2d3c4b5a69",
	};
	char uuid[UUID_LEN];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		assert_false(identity__copy_uuid(uuid, wrong[i]));
		assert_string_equal(uuid, "");
	}
	assert_true(identity__copy_uuid(uuid, "8A7D3C1E-52F4-4F0B-9A4E-1F2D3C4B5A69"));
	assert_string_equal(uuid, "8a7d3c1e-52f4-4f0b-9a4e-1f2d3c4b5a69");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trees),	cmocka_unit_test(test_long_cgroup),
		cmocka_unit_test(test_mangled), cmocka_unit_test(test_filter),
		cmocka_unit_test(test_uuid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
