/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Names and descriptors, on /proc trees made for the test. Dangling links read
 * like the kernel's.
 */
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../core/vm.h"

static char procfs[64];

static void write_file(const char *path, const void *data, size_t len)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, len, file), len);
	fclose(file);
}

static const char *at(pid_t pid, const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%d/%s", procfs, pid, name);
	return path;
}

static void make_stat(const char *path, pid_t pid, const char *comm, unsigned long long start)
{
	char text[4096];

	snprintf(text, sizeof(text),
		 "%d (%s) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 "
		 "%llu 19 20 21\n",
		 pid, comm, start);
	write_file(path, text, strlen(text));
}

static void add_fd(pid_t pid, int fd, const char *link)
{
	char name[32];

	snprintf(name, sizeof(name), "fd/%d", fd);
	assert_int_equal(symlink(link, at(pid, name)), 0);
}

/* A process without descriptors of KVM. */
static void make_process(pid_t pid, const char *comm, const char *exe, const void *cmdline,
			 size_t len)
{
	mkdir(at(pid, ""), 0755);
	mkdir(at(pid, "fd"), 0755);
	make_stat(at(pid, "stat"), pid, comm, 1000 + pid);
	write_file(at(pid, "cmdline"), cmdline, len);
	write_file(at(pid, "status"), "Name:\tx\nVmRSS:\t  2048 kB\n", 25);
	if (exe)
		assert_int_equal(symlink(exe, at(pid, "exe")), 0);
	add_fd(pid, 0, "/dev/null");
	add_fd(pid, 3, "socket:[1234]");
}

static void make_vm(pid_t pid, const char *comm, const char *exe, const void *cmdline, size_t len)
{
	make_process(pid, comm, exe, cmdline, len);
	add_fd(pid, 10, "anon_inode:kvm-vm");
	add_fd(pid, 11, "anon_inode:kvm-vcpu:0");
	add_fd(pid, 12, "anon_inode:kvm-vcpu:1");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int setup(void **state)
{
	(void)state;
	strcpy(procfs, "/tmp/kvm_watcher.XXXXXX");
	return mkdtemp(procfs) && !chmod(procfs, 0755) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return nftw(procfs, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* The command line's NULs are written as such; the last one is C's. */
#define CASE(_comm, _exe, _cmdline, _vmm, _name)                     \
	{                                                            \
		_comm, _exe, _cmdline, sizeof(_cmdline), _vmm, _name \
	}

static const struct naming {
	const char *comm;
	const char *exe;
	const char *cmdline;
	size_t len;
	const char *vmm;
	const char *name;
} namings[] = {
	CASE("qemu-system-x86", "/usr/bin/qemu-system-x86_64",
	     "qemu-system-x86_64\0-m\0"
	     "1G\0-name\0web",
	     "qemu", "web"),
	CASE("qemu-system-x86", "/usr/bin/qemu-system-x86_64",
	     "/usr/bin/qemu-system-x86_64\0-name\0guest=db,debug-threads=on\0-S", "qemu", "db"),
	CASE("qemu-kvm", "/usr/libexec/qemu-kvm",
	     "/usr/libexec/qemu-kvm\0-name\0debug-threads=on,guest=x", "qemu", "x"),
	CASE("qemu-system-x86", "/usr/bin/qemu-system-x86_64",
	     "qemu-system-x86_64\0--name\0a,,b,process=p", "qemu", "a,b"),
	CASE("qemu-system-x86", "/usr/bin/qemu-system-x86_64",
	     "qemu-system-x86_64\0-name\0guest=a,,,debug-threads=on", "qemu", "a,"),
	CASE("qemu-system-x86", "/usr/bin/qemu-system-x86_64 (deleted)", "qemu\0-name\0old", "qemu",
	     "old"),
	CASE("qemu-system-x86", "/nix/store/x/bin/.qemu-system-x86_64-wrapped", "qemu\0-name\0nix",
	     "qemu", "nix"),
	CASE("qemu-system-x86", NULL, "qemu-system-x86_64\0-name\0unreadable", "qemu",
	     "unreadable"),
	CASE("qemu-system-x86", "/usr/bin/qemu-system-x86_64", "qemu-system-x86_64\0-nodefaults",
	     "qemu", "qemu-system-x86"),
	CASE("qemu-system-x86", "/usr/bin/qemu-system-x86_64", "qemu-system-x86_64\0-name", "qemu",
	     "qemu-system-x86"),
	CASE("qemu-system-x86", "/usr/bin/qemu-system-x86_64", "qemu-system-x86_64\0-name\0",
	     "qemu", "qemu-system-x86"),
	CASE("qemu-system-x86", "/usr/bin/qemu-system-x86_64",
	     "qemu-system-x86_64\0-name\0guest=,debug-threads=on", "qemu", "qemu-system-x86"),
	CASE("qemu-system-x86", "/usr/bin/qemu-system-x86_64",
	     "qemu-system-x86_64\0-name\0debug-threads=on", "qemu", "qemu-system-x86"),
	CASE("cloud-hyperviso", "/usr/bin/cloud-hypervisor",
	     "cloud-hypervisor\0--api-socket\0/run/vms/web.sock\0--cpus\0boot=1",
	     "cloud-hypervisor", "web"),
	CASE("cloud-hyperviso", "/usr/bin/cloud-hypervisor-static",
	     "cloud-hypervisor\0--api-socket=path=/run/db.socket", "cloud-hypervisor", "db"),
	CASE("cloud-hyperviso", "/opt/kata/bin/cloud-hypervisor",
	     "cloud-hypervisor\0--api-socket\0/run/vc/vm/0123abcd/clh-api.sock", "cloud-hypervisor",
	     "0123abcd"),
	CASE("cloud-hyperviso", "/usr/bin/cloud-hypervisor",
	     "cloud-hypervisor\0--api-socket\0/tmp/ch.sock", "cloud-hypervisor", "cloud-hyperviso"),
	CASE("cloud-hyperviso", "/usr/bin/cloud-hypervisor",
	     "cloud-hypervisor\0--api-socket\0fd=3\0--platform\0num_pci_segments=1,uuid=12-34",
	     "cloud-hypervisor", "12-34"),
	CASE("firecracker", "/usr/bin/firecracker",
	     "firecracker\0--api-sock\0/tmp/fc.socket\0--id\0micro-1", "firecracker", "micro-1"),
	CASE("firecracker", "/firecracker-v1.9", "firecracker-v1.9\0--id=jailed\0--start-time-us=1",
	     "firecracker", "jailed"),
	CASE("firecracker", "/usr/bin/firecracker", "firecracker\0--api-sock\0/tmp/fc1.socket",
	     "firecracker", "fc1"),
	CASE("firecracker", "/usr/bin/firecracker", "firecracker\0--no-api", "firecracker",
	     "firecracker"),
	CASE("crosvm", "/usr/bin/crosvm", "crosvm\0run\0--name\0borealis\0--socket\0/run/x.sock",
	     "crosvm", "borealis"),
	CASE("crosvm", "/usr/bin/crosvm", "crosvm\0run\0-s\0/run/vm/termina.sock", "crosvm",
	     "termina"),
	CASE("crosvm", "/usr/bin/crosvm", "crosvm\0run\0vmlinux", "crosvm", "crosvm"),
	CASE("lkvm", "/usr/bin/lkvm", "lkvm\0run\0--name\0tiny\0-k\0bzImage", "kvmtool", "tiny"),
	CASE("lkvm", "/usr/bin/lkvm-static", "lkvm\0run\0-n\0mode=user", "kvmtool", "guest-77"),
	CASE("mygenerator", "/root/tests/guest", "./guest\0-name\0no", "mygenerator",
	     "mygenerator"),
	CASE("a-very-long-comm-of-a-thread", NULL, "x", "a-very-long-comm-of-a-t",
	     "a-very-long-comm-of-a-thread"),
	CASE("x) R 1 (y", NULL, "x", "x) R 1 (y", "x) R 1 (y"),
	CASE("new\nline", NULL, "x", "new\nline", "new\nline"),
	CASE("qemu-system-x86", "/usr/bin/qemu-system-x86_64", "qemu\0-name\0\xff\xfe\n", "qemu",
	     "\xff\xfe\n"),
	CASE("qemu-system-x86", "/usr/bin/qemu-system-x86_64",
	     "qemu\0-name\0"
	     "0123456789012345678901234567890123456789012345678901234567890123456789",
	     "qemu", "012345678901234567890123456789012345678901234567890123456789012"),
	/* An e with an accent does not fit in half. */
	CASE("qemu-system-x86", "/usr/bin/qemu-system-x86_64",
	     "qemu\0-name\0"
	     "01234567890123456789012345678901234567890123456789012345678901\xc3\xa9",
	     "qemu", "01234567890123456789012345678901234567890123456789012345678901"),
};

static void test_names(void **state)
{
	struct vm vm;
	size_t i;

	for (i = 0; i < sizeof(namings) / sizeof(*namings); i++) {
		const struct naming *n = &namings[i];

		setup(state);
		make_vm(77, n->comm, n->exe, n->cmdline, n->len);
		assert_int_equal(vm__probe(procfs, 77, &vm), 0);
		assert_string_equal(vm.name, n->name);
		assert_string_equal(vm.vmm, n->vmm);
		assert_int_equal(vm.pid, 77);
		assert_int_equal(vm.start_time, 1077);
		assert_int_equal(vm.nr_vms, 1);
		assert_int_equal(vm.nr_vcpus, 2);
		assert_int_equal(vm.rss_bytes, 2048 * 1024);
		teardown(state);
	}
}

/* Of a process that is gone its command line is left, which the kernel may have cut. */
static void test_late_names(void **state)
{
	static const char line[] = "/usr/bin/qemu-system-x86_64\0-name\0guest=web,debug-threads=on";
	struct vm vm = { .pid = 7 };
	size_t len = sizeof(line);

	(void)state;
	assert_int_equal(vm__name_args("qemu-system-x86", line, len, 1020, &vm), 0);
	assert_string_equal(vm.name, "web");
	assert_string_equal(vm.vmm, "qemu");
	assert_int_equal(vm.pid, 7);
	/* All of the last argument is there, by chance. */
	assert_int_equal(vm__name_args("qemu-system-x86", line, len, len, &vm), 0);
	assert_string_equal(vm.name, "web");
	/* What is cut is no name. */
	for (size_t cut = 1; cut < len; cut++) {
		assert_int_equal(vm__name_args("qemu-system-x86", line, cut, cut, &vm), 0);
		assert_string_equal(vm.name, "qemu-system-x86");
	}
	assert_int_equal(vm__name_args("CPU 0/KVM", "", 0, 1020, &vm), 0);
	assert_string_equal(vm.name, "CPU 0/KVM");
	assert_string_equal(vm.vmm, "CPU 0/KVM");
}

static void test_long_cmdline(void **state)
{
	size_t len = 4 << 20;
	char *cmdline = malloc(len);
	struct vm vm;

	(void)state;
	memset(cmdline, 'x', len);
	memcpy(cmdline, "qemu-kvm\0-name\0early", 21);
	make_vm(5, "qemu-kvm", NULL, cmdline, len);
	assert_int_equal(vm__probe(procfs, 5, &vm), 0);
	assert_string_equal(vm.name, "early");
	free(cmdline);
}

static void test_no_vm(void **state)
{
	struct vm vm;

	(void)state;
	make_process(5, "bash", "/bin/bash", "bash", 5);
	make_process(6, "qemu-system-x86", "/usr/bin/qemu-system-x86_64", "qemu\0-name\0tcg", 14);
	add_fd(6, 9, "anon_inode:kvm-vm-stats");
	add_fd(6, 10, "/tmp/anon_inode:kvm-vm");
	add_fd(6, 11, "anon_inode:[eventfd]");
	assert_int_equal(vm__probe(procfs, 5, &vm), -ENXIO);
	assert_string_equal(vm.name, "bash");
	assert_string_equal(vm.vmm, "bash");
	assert_int_equal(vm.start_time, 1005);
	assert_int_equal(vm__probe(procfs, 6, &vm), -ENXIO);
	assert_string_equal(vm.name, "tcg");
	assert_int_equal(vm__probe(procfs, 7, &vm), -ESRCH);
}

/* A zombie: an empty command line and no descriptors. */
static void test_zombie(void **state)
{
	struct vm vm;

	(void)state;
	mkdir(at(8, ""), 0755);
	make_stat(at(8, "stat"), 8, "qemu-kvm", 9);
	write_file(at(8, "cmdline"), "", 0);
	mkdir(at(8, "fd"), 0755);
	assert_int_equal(vm__probe(procfs, 8, &vm), -ENXIO);
	assert_string_equal(vm.name, "qemu-kvm");
	assert_int_equal(vm.start_time, 9);
}

/* What is there of a process that is about to go. */
static void test_vanishing(void **state)
{
	struct vm *vms, vm;
	size_t nr;

	(void)state;
	mkdir(at(1, ""), 0755);
	mkdir(at(2, ""), 0755);
	write_file(at(2, "stat"), "", 0);
	mkdir(at(3, ""), 0755);
	write_file(at(3, "stat"), "3 (x) S 1 2 3", 13);
	mkdir(at(4, ""), 0755);
	make_stat(at(4, "stat"), 4, "x", 1);
	assert_int_equal(vm__probe(procfs, 1, &vm), -ESRCH);
	assert_int_equal(vm__probe(procfs, 2, &vm), -ESRCH);
	assert_int_equal(vm__probe(procfs, 3, &vm), -ESRCH);
	assert_int_equal(vm__probe(procfs, 4, &vm), -ESRCH);
	make_vm(5, "qemu-kvm", NULL, "", 0);
	assert_int_equal(unlink(at(5, "cmdline")), 0);
	assert_int_equal(unlink(at(5, "status")), 0);
	assert_int_equal(vm__probe(procfs, 5, &vm), 0);
	assert_string_equal(vm.name, "qemu-kvm");
	assert_int_equal(vm.rss_bytes, 0);
	assert_int_equal(vm__scan(procfs, &vms, &nr), 0);
	assert_int_equal(nr, 1);
	free(vms);
}

static void test_unreadable(void **state)
{
	struct vm vm;
	int err;

	(void)state;
	make_vm(5, "qemu-kvm", NULL, "qemu-kvm\0-name\0secret", 22);
	assert_int_equal(chmod(at(5, "fd"), 0), 0);
	if (geteuid() == 0)
		assert_int_equal(seteuid(65534), 0);
	err = vm__probe(procfs, 5, &vm);
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
	chmod(at(5, "fd"), 0755);
	assert_int_equal(err, -EACCES);
	assert_string_equal(vm.name, "secret");
	assert_int_equal(vm.start_time, 1005);
}

static void test_counts(void **state)
{
	struct vm vm;
	int i;

	(void)state;
	make_process(5, "one", NULL, "", 0);
	add_fd(5, 10, "anon_inode:kvm-vm");
	for (i = 0; i < 20; i++)
		add_fd(5, 20 + i, i % 2 ? "anon_inode:kvm-vcpu:1" : "anon_inode:kvm-vcpu:0");
	assert_int_equal(vm__probe(procfs, 5, &vm), 0);
	assert_int_equal(vm.nr_vms, 1);
	assert_int_equal(vm.nr_vcpus, 2);

	make_vm(6, "two", NULL, "", 0);
	add_fd(6, 20, "anon_inode:kvm-vm");
	add_fd(6, 21, "anon_inode:kvm-vcpu:0");
	assert_int_equal(vm__probe(procfs, 6, &vm), 0);
	assert_int_equal(vm.nr_vms, 2);
	assert_int_equal(vm.nr_vcpus, 3);

	make_process(7, "brackets", NULL, "", 0);
	add_fd(7, 10, "anon_inode:[kvm-vm]");
	add_fd(7, 11, "anon_inode:[kvm-vcpu:12]");
	assert_int_equal(vm__probe(procfs, 7, &vm), 0);
	assert_int_equal(vm.nr_vms, 1);
	assert_int_equal(vm.nr_vcpus, 1);

	make_process(8, "no vCPU yet", NULL, "", 0);
	add_fd(8, 10, "anon_inode:kvm-vm");
	assert_int_equal(vm__probe(procfs, 8, &vm), 0);
	assert_int_equal(vm.nr_vcpus, 0);
}

static void test_scan(void **state)
{
	struct vm *vms;
	char name[16];
	size_t nr, i;

	(void)state;
	assert_int_equal(vm__scan(procfs, &vms, &nr), 0);
	assert_int_equal(nr, 0);
	free(vms);
	mkdir(at(1, ""), 0755);
	mkdir(at(1, "../self"), 0755);
	write_file(at(1, "../uptime"), "1", 1);
	for (i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "vm%zu", i);
		make_vm((i * 7) % 40 + 100, name, NULL, "", 0);
		make_process(1000 + i, "bash", NULL, "", 0);
	}
	assert_int_equal(vm__scan(procfs, &vms, &nr), 0);
	assert_int_equal(nr, 40);
	for (i = 0; i < nr; i++)
		assert_int_equal(vms[i].pid, 100 + i);
	assert_string_equal(vms[7].name, "vm1");
	free(vms);
	assert_int_equal(vm__scan("/nonexistent", &vms, &nr), -ENOENT);
	assert_null(vms);
}

/* The real thing: we are no VM, and our threads have start times. */
static void test_self(void **state)
{
	struct vm *vms, vm;
	size_t nr;

	(void)state;
	assert_int_equal(vm__probe("/proc", getpid(), &vm), -ENXIO);
	assert_true(vm.start_time > 0);
	assert_int_equal(vm__task_start("/proc", getpid(), getpid()), vm.start_time);
	assert_int_equal(vm__scan("/proc", &vms, &nr), 0);
	free(vms);
}

static void test_task_start(void **state)
{
	(void)state;
	make_vm(5, "qemu-kvm", NULL, "", 0);
	mkdir(at(5, "task"), 0755);
	mkdir(at(5, "task/6"), 0755);
	make_stat(at(5, "task/6/stat"), 6, "CPU 0/KVM) (", 18446744073709551ull);
	assert_int_equal(vm__task_start(procfs, 5, 6), 18446744073709551ull);
	assert_int_equal(vm__task_start(procfs, 5, 7), 0);
	assert_int_equal(vm__task_start(procfs, 6, 6), 0);
}

static void test_match(void **state)
{
	(void)state;
	assert_true(vm__match(NULL, "anything"));
	assert_true(vm__match("web*", "web-1"));
	assert_true(vm__match("[ab]?", "b1"));
	assert_true(vm__match("*", "a/b"));
	assert_false(vm__match("web", "web-1"));
	assert_false(vm__match("?", ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_late_names),
		cmocka_unit_test_setup_teardown(test_long_cmdline, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_vm, setup, teardown),
		cmocka_unit_test_setup_teardown(test_zombie, setup, teardown),
		cmocka_unit_test_setup_teardown(test_vanishing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unreadable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_scan, setup, teardown),
		cmocka_unit_test(test_self),
		cmocka_unit_test_setup_teardown(test_task_start, setup, teardown),
		cmocka_unit_test(test_match),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
