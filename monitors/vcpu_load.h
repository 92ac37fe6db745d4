/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What vcpu_load.bpf.c records and vcpu_load.c reads. */
#ifndef KVM_WATCHER_VCPU_LOAD_H
#define KVM_WATCHER_VCPU_LOAD_H

#include "../bpf/records.h"

/* Where the time of a vCPU goes. Every moment of its thread is in one of these. */
enum budget {
	IN_UNKNOWN, /* not accounted for */
	IN_GUEST,
	IN_KVM,
	IN_VMM,	    /* outside of KVM_RUN, running or asleep */
	IN_POLL,    /* never a state: taken from IN_KVM when a halt ends */
	IN_HALT,    /* asleep, halted */
	IN_STEAL,   /* ready to run, on no CPU */
	IN_BLOCKED, /* asleep in KVM_RUN, not halted */
	NR_BUDGET,
};

enum { MAX_CPUS = 1024, CPU_WORDS = MAX_CPUS / 64, MAX_WAITERS = 8, COMM_LEN = 16 };

/* The physical CPUs on which the vCPU ran in one epoch, as struct stat_extremes. */
struct cpus_used {
	__u64 epoch;
	__u64 bits[CPU_WORDS];
};

/*
 * Per slot. Written by the vCPU's thread, and by the CPU that switches to or
 * from it, which is never at the same time; woken_ns alone by who wakes it.
 */
struct load_record {
	__u64 seq;	       /* odd while it is being written */
	__u64 vcpu;	       /* whose record this is: struct kvm_vcpu * */
	__u64 task;	       /* struct task_struct * of its thread */
	__u64 first_ns;	       /* begin of the accounts; 0: not in use */
	__u64 ended_ns;	       /* the thread's end; 0: it lives */
	__u64 since_ns;	       /* begin of the present state */
	__u64 ns[NR_BUDGET];   /* up to since_ns */
	__u64 woken_ns;	       /* its thread's last sched_wakeup */
	__u64 polled_ns;       /* KVM's count of polling at the last look */
	__u64 handling_ns;     /* IN_KVM since the last exit: polling is part of it */
	__u64 load_ns;	       /* begin of the present load period; 0: not loaded */
	__u64 loads;	       /* periods that began */
	__u64 migrations;      /* to another physical CPU */
	__u64 node_migrations; /* of them: to another NUMA node */
	__u64 unnamed_ns;      /* what thieves took that found no place; any CPU adds to it */
	union {
		struct {
			__u32 state; /* enum budget: now, or while it was last on a CPU */
			__u32 off; /* on no CPU: IN_HALT, IN_BLOCKED, IN_VMM or IN_STEAL; else 0 */
		};
		__u64 state_and_off; /* both at one look: the state alone while it is on a CPU */
	};
	__u32 tid;
	__u32 in_run; /* inside KVM_RUN */
	__u32 cpu;    /* the physical CPU it is on, or was */
	__u32 pad;
	struct timing load; /* periods that ended */
	struct cpus_used cpus[2];
};

/* A task that ran while the vCPU of that slot waited for the CPU. */
struct thief_key {
	__u32 slot;
	__u32 tid;
};

/*
 * What a task had of a CPU while that vCPU waited for it. Each CPU has a log of them, which its
 * programs alone write, and in which a vCPU and a task have one place until user space has read it.
 * Who reads takes what is in ns; a place in which there is nothing is free to be written anew. A
 * pair is found again by its hash: chains of those that have the same one go through these places.
 */
struct thief {
	__u64 ns;
	struct thief_key key;
	__u32 tgid;
	__u32 vcpu; /* the slot of the vCPU that the task runs; 0: it runs none */
	char comm[COMM_LEN];
	__u32 last;  /* the last one whose hash is this place */
	__u32 older; /* the one of the same hash before this one */
};

/* Places of all CPUs' logs, for each slot; of one CPU's at least and at most, as powers of 2. */
enum { THIEVES_PER_SLOT = 32, LEAST_LOG_BITS = 9, MOST_LOG_BITS = 16 };

/*
 * Per CPU: what runs there, the vCPUs that wait for it, and how far its log of thieves is. Written
 * under the run queue's lock.
 */
struct run_queue {
	__u64 since_ns;		    /* the running task's time is accounted for up to here */
	__u32 waiters[MAX_WAITERS]; /* slots; 0: free */
	__u32 node;		    /* filled in by user space */
	__u32 waiting;		    /* no slot is in waiters while this is 0 */
	__u32 nr_thieves;	    /* in the log; user space begins it anew */
	__u32 pad;
};

#endif
