/* SPDX-License-Identifier: GPL-2.0-only */
/* For tests on real BPF: a VM that makes exits to user space. After cmocka.h. */
#ifndef KVM_WATCHER_TEST_GUEST_H
#define KVM_WATCHER_TEST_GUEST_H

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define GUEST "build/tests/kvm_guest"

/*
 * Runs one with so many exits, and the one that ends it: the program at path, whose last part
 * names the VM. Returns its process, which has ended.
 */
static inline pid_t run_guest_at(const char *path, int exits)
{
	char ops[32];
	int status;
	pid_t pid;

	snprintf(ops, sizeof(ops), "out=%d", exits);
	pid = fork();
	if (!pid) {
		if (!freopen("/dev/null", "w", stdout))
			_exit(1);
		execl(path, path, ops, NULL);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return pid;
}

static inline pid_t run_guest(int exits)
{
	return run_guest_at(GUEST, exits);
}

#endif
