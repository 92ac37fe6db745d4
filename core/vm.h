/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Processes that are virtual machine monitors, found in procfs. A process is a
 * VM when it holds a KVM VM descriptor (/proc/PID/fd -> anon_inode:kvm-vm),
 * whatever its name is.
 */
#ifndef KVM_WATCHER_VM_H
#define KVM_WATCHER_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "identity.h"

enum { VM_NAME_LEN = 64, VM_ID_LEN = 48 };

struct vm {
	pid_t pid;
	uint64_t start_time;	/* stat field 22, initial time namespace: with pid, an identity */
	char name[VM_NAME_LEN]; /* what the VMM was told to call it, else comm */
	char vmm[24];		/* "qemu", "cloud-hypervisor", "firecracker", ... or comm */
	bool has_args;		/* by its command line, which one that ends has no longer */
	unsigned int nr_vms;	/* kvm-vm descriptors held */
	unsigned int nr_vcpus;	/* kvm-vcpu:N descriptors held */
	uint64_t rss_bytes;	/* VmRSS */
	struct identity who;
};

/*
 * Looks at one process below procfs ("/proc", or a recorded tree in tests).
 * 0: a VM. -ESRCH: no such process. -ENXIO: it holds no KVM VM descriptor.
 * -EACCES: its descriptors can't be read. vm->pid, name, vmm, who and start_time
 * are set whenever the process exists.
 */
int vm__probe(const char *procfs, pid_t pid, struct vm *vm);

/*
 * What tells a process's name, and who may read it: opening takes rights, as does
 * the link of the executable; reading, and making sense of it, takes none.
 */
struct process_files {
	int stat, cmdline, cgroup; /* the latter two may be -1 */
	char exe[4096];		   /* "": not known */
};

/* 0, or -ESRCH, -EACCES... and nothing is open. */
int vm__open_process(const char *procfs, pid_t pid, struct process_files *files);

/* Sets vm->pid, name, vmm, who and start_time, and closes the files. 0, or -ESRCH. */
int vm__name_process(struct process_files *files, pid_t pid, struct vm *vm);

/*
 * The same of a process that is gone, by its main thread's name and the begin of its command
 * line: len bytes, as /proc/PID/cmdline has them, of size at most.
 */
int vm__name_args(const char *comm, const char *data, size_t len, size_t size, struct vm *vm);

/* All VMs, sorted by pid; *vms is to be freed. 0 or -errno. */
int vm__scan(const char *procfs, struct vm **vms, size_t *nr);

/* start time of a task (field 22 of stat) or 0 when there is none. */
uint64_t vm__task_start(const char *procfs, pid_t pid, pid_t tid);

/*
 * What no other VM of this boot has: "PID.START.N", the process, when it
 * started (field 22 of its stat), and which of its VMs it is, from 1 on.
 */
void vm__write_id(char id[VM_ID_LEN], pid_t pid, uint64_t start_time, unsigned int nth);

/* True when name matches the shell pattern, or when pattern is NULL. */
bool vm__match(const char *pattern, const char *name);

#endif
