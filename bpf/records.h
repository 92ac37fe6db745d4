/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The record shapes that BPF programs write and user space reads, each
 * written once. All counters are cumulative; user space computes deltas.
 */
#ifndef KVM_WATCHER_RECORDS_H
#define KVM_WATCHER_RECORDS_H

#include <linux/types.h>

#include "../compat/fd_kind.h"

/* Time histogram: log2 with 4 sub-buckets from 64 ns to 2^38 ns (275 s). */
enum {
	STAT_MIN_SHIFT = 6,
	STAT_SUB_BITS = 2,
	STAT_BUCKETS = 128,
};

/*
 * Epochs are the intervals of user space. What belongs to one is in that half
 * of two which the epoch's last bit tells; user space advances the epoch and
 * then reads the half that is no longer written. The last bit stands so high
 * that it is the half's place, in bytes.
 */
enum { EPOCH_STEP = sizeof(__u64) };
#define EPOCH_HALF(epoch) ((epoch) / EPOCH_STEP & 1)

/* Least and greatest value of an epoch; user space clears the half that it has read. */
struct stat_extremes {
	__u64 end_ns[2]; /* the greatest and 1; 0: there was none */
	__u64 min_ns[2];
};

/*
 * How long something took. The number of timed events is the sum of hist, whose counters begin
 * anew after 2^32: user space looks often enough to notice that (core/times.h).
 */
struct timing {
	__u64 total_ns;
	struct stat_extremes extremes;
	__u32 hist[STAT_BUCKETS];
};

/* One vCPU and the thread that runs it; the index in the array is its slot. */
struct vcpu_info {
	__u64 vcpu;	/* struct kvm_vcpu *, an identity only together with tid */
	__u64 kvm;	/* struct kvm * */
	__u64 start_ns; /* task start_boottime of the VMM's process */
	__u32 tgid;
	__u32 tid;
	__u32 vcpu_id;
	__u32 state;	    /* enum vcpu_state; written last */
	__u64 exits;	    /* KVM's own count when last seen: one that falls means a new vCPU */
	char comm[16];	    /* of the VMM's process: a name when /proc is too late */
	__u64 file;	    /* struct file * of the vCPU's descriptor; 0: not seen yet */
	__u64 thread;	    /* struct task_struct * */
	__u64 leader;	    /* the process's */
	__u64 since_ns;	    /* start_boottime of the thread */
	__u32 confidential; /* compat/confidential.h, of its VM */
	__u32 birth;	    /* the last one at its place when it was new (slot_place) */
	__u8 told[8];	    /* of it, at the begin of KVM_RUN: by the place of who was */
	__u64 to_tell;	    /* the same of who is to be, while they are */
	__u64 run_ns;	    /* the last begin of which somebody asked for the time */
	__u64 first_exits;  /* KVM's own count when the slot was given out */
	__u32 creator;	    /* the thread that has made its VM, as KVM has it */
	__u32 kept_args;    /* with it the kernel kept the process's command line */
} __attribute__((aligned(64)));

/* Slots that find_end looks at in one run; the verifier follows each round. */
enum { END_ROUND = 256 };

enum vcpu_state {
	VCPU_NONE,
	VCPU_RUNS,  /* the slot is in use */
	VCPU_ENDED, /* nothing more will come: its descriptor is gone, or its thread */
};

/* In place of vcpu_info.exits: the vCPU has ended, and what has its address is another one. */
#define EXITS_ENDED (~0ULL)

/* Slots at most, slot 0 included. User space chooses no more; arrays by slot count on it. */
enum { MAX_VCPU_SLOTS = 1 << 14 };

/* Size of the direct-mapped cache from a vCPU's address to its slot; a test has only one place. */
#ifndef SLOT_CACHE_BITS
#define SLOT_CACHE_BITS 16
#endif

/* The number of its page: a vCPU is larger than one, so neighbours have places of their own. */
static inline __attribute__((always_inline)) __u32 slot_cache__index(__u64 vcpu)
{
	return (vcpu >> 12) & ((1 << SLOT_CACHE_BITS) - 1);
}

/*
 * What stands there: the slot of one of these vCPUs, and the last birth among them, where
 * births are told: which vCPU it was of, as far as the place does not say it, and a number.
 */
struct slot_place {
	__u32 slot;
	__u32 birth;
};
enum { BIRTH_NUMBER_BITS = 12 };

static inline __attribute__((always_inline)) __u32 birth__of(__u64 vcpu)
{
	return vcpu >> (12 + SLOT_CACHE_BITS) << BIRTH_NUMBER_BITS;
}

static inline __attribute__((always_inline)) int birth__is_of(__u32 birth, __u64 vcpu)
{
	return birth && birth >> BIRTH_NUMBER_BITS == birth__of(vcpu) >> BIRTH_NUMBER_BITS;
}

/* The next birth at that place, which is vcpu's. */
static inline __attribute__((always_inline)) __u32 birth__next(__u32 last, __u64 vcpu)
{
	__u32 number = (last + 1) & ((1 << BIRTH_NUMBER_BITS) - 1);

	return birth__of(vcpu) | (number ? number : 1);
}

/* The same for a thread's number. */
enum { THREAD_CACHE_BITS = 16 };

static inline __attribute__((always_inline)) __u32 thread_cache__index(__u32 tid)
{
	return tid & ((1 << THREAD_CACHE_BITS) - 1);
}

/* What stands there: the thread, and the slot of the vCPU that it runs. */
static inline __attribute__((always_inline)) __u64 thread_cache__word(__u32 tid, __u32 slot)
{
	return (__u64)tid << 32 | slot;
}

/* In place of one that is not true any more: there was one. */
enum { THREAD_CACHE_SPOILT = 1 };

/* Monitors at most that wait for entries: a bit each of a vCPU's address, which has none so low. */
enum { MAX_AT_ENTRY = 3, ALL_AT_ENTRY = (1 << MAX_AT_ENTRY) - 1 };

/* Monitors at most that do something at each exit, or at each entry, and are called. */
enum { MAX_AT_EACH = 3 };

/*
 * Direct-mapped by the vCPU's address: a vCPU, and the monitors that wait for its
 * entry. Only a vCPU's own thread writes what stands here of it; so what is found
 * is true, and what another vCPU has displaced costs a look. A new vCPU at an old
 * address has nothing that waits either.
 */
struct waited_vcpus {
	__u64 vcpus[1 << SLOT_CACHE_BITS];
};

/*
 * Monitors at most that are told of each vCPU at the begin of a KVM_RUN: a byte each of
 * vcpu_info.told, so that nobody changes what is another's. The last byte is nobody's: when
 * it is 0, somebody asks for the time.
 */
enum { MAX_AT_RUN = 7, BITS_AT_RUN = 8, TOLD_TIME = MAX_AT_RUN };

/* Slot 0 means "none". */
struct vcpu_key {
	__u64 vcpu;
	__u32 tid;
	__u32 pad;
};

/* A process, whoever has its number later. */
struct process_key {
	__u64 start_ns; /* task start_boottime of its main thread */
	__u32 tgid;
	__u32 pad;
};

/* The begin of a process's command line, for a name when /proc is too late. */
struct process_args {
	__u32 len; /* 0: it could not be read */
	char text[1020];
};

/* Everything that was not measured as it should, one counter each. */
enum lost {
	LOST_VCPUS_FULL,     /* events of vCPUs that found no slot */
	LOST_RECORDS_FULL,   /* events that found no record */
	LOST_EXITS_UNTIMED,  /* exits whose following entry was not traced: counted, no time */
	LOST_EXITS_UNTRACED, /* entries without an exit: KVM re-entered before its kvm_exit */
	LOST_THREAD_UNKNOWN, /* events in a thread whose vCPU is not known */
	LOST_PAGES_FULL,     /* dirty pages that found no counter of their own */
	LOST_SKIPPED,	     /* program runs that the kernel skipped; user space reads them */
	LOST_EVENTS,	     /* events that found no room in a ring; counters have them */
	LOST_HOOKS_GONE,     /* hooks that went with a module; user space counts them */
	NR_LOST,
};

/* A process that has lost something. */
struct loser {
	__u32 tgid;
	__u32 what; /* enum lost */
};

/*
 * What is taken of a table that VMs share: by whom, and by all. Processes have
 * places, by a hash that nobody can foresee; two in one place share its limit.
 */
enum { SHARE_BITS = 12, SHARE_PLACES = (1 << SHARE_BITS) + 1 };

struct share {
	__u32 taken; /* by the processes of this place; in the first one: by all */
	__u32 taker; /* the place that has this record; in the first one: how many there are */
};

/* A taker of records that are limited by other means. */
#define TAKEN_UNCOUNTED (~0U)

/* How every event in a ring begins. */
struct event {
	__u64 ts_ns; /* CLOCK_MONOTONIC */
	__u32 slot;  /* the vCPU; 0: of no vCPU */
	__u32 tgid;  /* the task in which it happened */
	__u32 tid;
	__u32 pad;
	char comm[16];
};

/* vcpu_entry.vcpu_id of a VM's own entry. */
#define ENTRY_OF_VM 0xffffffffU

/* What the iterator over descriptors tells of a vCPU, or of a VM, which may have none. */
struct vcpu_entry {
	__u64 kvm;
	__u64 start_ns;	 /* task start_boottime of the process */
	__u64 exits;	 /* KVM's own counter */
	__u64 mem_pages; /* of the VM's memory slots; 0: not known */
	__u32 tgid;
	__u32 tid; /* the thread that last ran it, 0: none yet */
	__u32 vcpu_id;
	__u32 nth;	    /* user space's: in the order of the iterator */
	__u32 confidential; /* compat/confidential.h, of the VM */
	__u32 creator;	    /* the thread that has made the VM, as KVM has it */
};

#endif
