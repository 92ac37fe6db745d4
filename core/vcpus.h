/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The user-space half of the vCPU directory (bpf/vcpus.bpf.h): which slot is
 * which vCPU of which VM, who has ended, and the maps that monitors share.
 */
#ifndef KVM_WATCHER_VCPUS_H
#define KVM_WATCHER_VCPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../bpf/records.h"
#include "../output/column.h"
#include "vm.h"

struct bpf_map;
struct bpf_object;
struct broker;
struct filter;
struct skeleton;
struct vcpus;

/* A VM that was seen. It is there as long as somebody refers to it, and some time longer. */
struct vm_ref {
	struct vm_ref *next;
	uint32_t tgid;
	uint64_t start_ns;
	uint64_t kvm;
	uint64_t leader;    /* the process's task_struct *; 0: not known */
	uint32_t creator;   /* the thread that has made it, as KVM has it; 0: not known */
	uint64_t nr;	    /* no other VM's in this run */
	uint64_t told_ns;   /* when the first sink was told who it is; 0: none was */
	unsigned int users; /* who refers to it */
	unsigned int nth;   /* of its process */
	struct past_vcpu {
		uint64_t vcpu, exits;
		uint32_t birth;
	} * past; /* by number: vCPUs that have ended */
	size_t nr_past;
	bool chosen;   /* by -p and --vm */
	char name[64]; /* of the process: all its VMs have it */
	char id[VM_ID_LEN];
	char vmm[24]; /* "": not known */
	struct identity who;
	const char *confidential; /* core/confidential.h */
	char label[72];		  /* the same, "#2" etc. behind it for a process's further VMs */
};

struct vcpu_ref {
	const struct vm_ref *vm;
	struct vcpu_info info;
	bool known;
	bool ended;  /* its descriptor is gone, or its thread: nothing more will come */
	bool chosen; /* by -p, --vm and --vcpu */
};

/*
 * In the broker: loads the shared maps, with room for max_vcpus, or for as many as the
 * host suggests (0). What it makes is for vcpus__share(). 0 or -errno; says what is
 * wrong itself.
 */
int vcpus__load(const struct filter *filter, uint32_t max_vcpus, struct vcpus **vcpus);
struct skeleton *vcpus__skeleton(const struct vcpus *vcpus);
/* What it runs by hand, for vcpus__open(); -1 where the kernel refused it. */
enum { NR_VCPUS_PROGS = 3 };
void vcpus__progs(const struct vcpus *vcpus, int progs[NR_VCPUS_PROGS]);

/* A descriptor of the BPF iterator over vCPUs, or -errno. */
int vcpus__open_lister(void);

/* The directory of what the broker has loaded. 0 or -errno; says what is wrong itself. */
int vcpus__open(const struct filter *filter, struct broker *broker, struct vcpus **vcpus);
void vcpus__close(struct vcpus *vcpus);

/* Before obj is loaded: it gets the shared maps and the filter. 0 or -errno. */
int vcpus__share(const struct vcpus *vcpus, struct bpf_object *obj);
/* That map of an object is one of these. */
bool vcpus__has_map(const struct vcpus *vcpus, const struct bpf_map *map);

/* A descriptor to poll: readable when a vCPU appeared. */
int vcpus__fd(const struct vcpus *vcpus);

/* Takes in the vCPUs that were announced: cheap, before every batch of events. */
void vcpus__learn(struct vcpus *vcpus);

/*
 * Looks for new and for ended vCPUs, also those that no announcement told of.
 * True when some have ended: vcpus__release_ended() makes room.
 */
bool vcpus__refresh(struct vcpus *vcpus);

/* True when little room is left for new ones, or none at all. */
bool vcpus__is_crowded(const struct vcpus *vcpus);
bool vcpus__is_full(const struct vcpus *vcpus);

/* After all monitors have let go of the ended ones: their slots are free again. */
void vcpus__release_ended(struct vcpus *vcpus);

/* Slots are 1 .. vcpus__max(); NULL for a slot that is not in use. */
size_t vcpus__max(const struct vcpus *vcpus);
const struct vcpu_ref *vcpus__get(const struct vcpus *vcpus, uint32_t slot);
/* The first slot from this one on that has been given to a vCPU, known or not; or end. */
size_t vcpus__next(const struct vcpus *vcpus, size_t slot, size_t end);
/* Of the vCPUs that are known one has ended. */
bool vcpus__any_ended(const struct vcpus *vcpus);
/* For a single event: its vCPU may have come since the last look. */
const struct vcpu_ref *vcpus__get_new(struct vcpus *vcpus, uint32_t slot);

/*
 * The VM with that struct kvm * that this thread has made (kvm->userspace_pid; 0: any), for
 * events that carry no vCPU; looks through all descriptors when it is not known yet. NULL:
 * there is none.
 */
const struct vm_ref *vcpus__find_vm(struct vcpus *vcpus, uint64_t kvm, uint32_t creator);
/* What takes longest of that, a second on slow hosts: not to be done while the window begins. */
void vcpus__prepare_finding(struct vcpus *vcpus);

/*
 * The VM of info's kvm, tgid and start_ns; added when it is not known yet, for
 * VMs that have no vCPU so far. With kvm == 0 it is the process itself, named
 * like its first VM. NULL when out of memory.
 */
const struct vm_ref *vcpus__add_vm(struct vcpus *vcpus, const struct vcpu_info *info);
/* The same of a VM that is known to be another one than all before it. */
struct vm_ref *vcpus__new_vm(struct vcpus *vcpus, const struct vcpu_info *info);

/* The process is named: what the kernel has kept of its command line makes room for others'. */
void vcpus__forget_args(const struct vcpus *vcpus, const struct vcpu_info *info);

/*
 * Processes that were asked about in one look, by their ids' last bits: many
 * records are of few processes. Begins with zeros.
 */
struct ended_asked {
	struct {
		uint32_t tgid; /* 0: none */
		bool ended;
	} list[256];
};

/*
 * True when the process has ended: as the kernel says of VMs, in whatever PID
 * namespace. False where it is not known.
 */
bool vcpus__process_ended(const struct vcpus *vcpus, struct ended_asked *asked, uint32_t tgid);

/*
 * Calls tell() once for each VM that -p and --vm choose and that came after the first
 * *told of this run, and moves *told on. Cheap where none came.
 */
void vcpus__tell_new(const struct vcpus *vcpus, uint64_t *told,
		     void (*tell)(void *ctx, const struct vm_ref *vm), void *ctx);

/*
 * Calls tell() for each VM that -p and --vm choose and that has not ended: it has a vCPU, or,
 * without any, is among those that processes hold. Returns how many vCPUs are known.
 */
size_t vcpus__tell_alive(struct vcpus *vcpus, void (*tell)(void *ctx, const struct vm_ref *vm),
			 void *ctx);

/*
 * The first VM of a process, or the process itself; of processes with that number the one
 * whose VM came last. NULL: it is not known and has ended.
 */
const struct vm_ref *vcpus__vm_of_process(struct vcpus *vcpus, uint32_t tgid);

/* Who keeps such a pointer beyond a look says so, and when it does no longer; NULL is accepted. */
const struct vm_ref *vcpus__get_vm(const struct vm_ref *vm);
void vcpus__put_vm(const struct vm_ref *vm);

/* Fills the head of a row; the second one of a VM's, which may be NULL: not known. */
void vcpu_ref__row(const struct vcpu_ref *ref, uint64_t ts_ns, struct row *row);
void vm_ref__row(const struct vm_ref *vm, uint64_t ts_ns, struct row *row);

/*
 * The vCPUs and VMs that exist now, by the BPF iterator, in the order of their
 * descriptors: of the process whose they are, whoever else holds them.
 * *entries is to be freed. 0 or -errno.
 */
int vcpus__list(struct vcpu_entry **entries, size_t *nr);

/* The same while watching. */
int vcpus__entries(struct vcpus *vcpus, struct vcpu_entry **entries, size_t *nr);

#endif
