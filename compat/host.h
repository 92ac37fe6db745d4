/* SPDX-License-Identifier: GPL-2.0-only */
/* What this host is: asked of the kernel, never of its version number. */
#ifndef KVM_WATCHER_HOST_H
#define KVM_WATCHER_HOST_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct btf;

/* What hooks and monitors are for; 0: for all of them. */
enum host_arch { ARCH_X86 = 1 << 0, ARCH_ARM64 = 1 << 1 };

/* The one that this program was compiled for. */
unsigned int host__arch(void);
const char *host__arch_name(void);

/* True when something that is for these runs here. */
static inline bool host__is_one_of(unsigned int archs)
{
	return !archs || (archs & host__arch());
}

enum hook_vendor { VENDOR_VMX = 1 << 0, VENDOR_SVM = 1 << 1 };

/* Vendors (enum hook_vendor) whose module is there; 0: none that has VMX or SVM. */
unsigned int host__vendors(void);

/* "kvm_intel", "kvm_amd", another kvm_* module's name, or "none". */
const char *host__vendor_name(void);

/* From now on the vendor is this one: what is shown was measured on another host. */
void host__set_vendor(const char *name);

/*
 * True when the kernel's or the vendor module's BTF has the vendor's vCPU
 * structure (vcpu_vmx, vcpu_svm).
 */
bool host__has_vendor_types(void);

/* True when KVM is in this kernel (built in, or its module is loaded). */
bool host__has_kvm(void);

/* False where no kprobe can be made, whatever it is for. */
bool host__has_kprobes(void);

/* Where tracefs is mounted, or NULL. */
const char *host__tracefs(void);

/*
 * Offset of a field in the record of an event ("kvm/kvm_exit"), from its
 * format file in tracefs. -ENOENT when event, field or tracefs are not there.
 */
int host__field_offset(const char *event, const char *field);
/* The same of a format file that is open; bytes from the record's begin, never less than 0. */
int host__parse_format(FILE *file, const char *field);

/* True in the PID namespace whose numbers the kernel's events carry. */
bool host__initial_pid_namespace(void);

/* True in the user namespace whose root has the host's capabilities. */
bool host__initial_user_namespace(void);

/* Why BPF refuses whoever runs this, with the remedy; NULL where nothing here explains it. */
const char *host__bpf_refusal(void);

/*
 * True where kretprobe.multi remembers its calls on the task's shadow stack
 * (Linux 6.14, fprobe on function graph): no call is missed because others wait.
 */
bool host__kretprobes_unlimited(void);

/* True where BPF programs have bpf_rdonly_cast(): since 6.2. */
bool host__can_cast(void);

/* KVM's modules. */
enum host_module { MODULE_KVM, MODULE_KVM_INTEL, MODULE_KVM_AMD, NR_HOST_MODULES };
const char *host__module_name(enum host_module module);
/*
 * A number that it has as long as it is loaded, and not again when it is loaded again; 0:
 * it is not there. What is built in has one, too. Cheap.
 */
uint64_t host__module_id(enum host_module module);
/* It can be unloaded. */
bool host__is_loadable(enum host_module module);

/* True where the memory of BPF maps counts as locked (RLIMIT_MEMLOCK): until 5.10. */
bool host__locks_maps(void);

/* True where KVM keeps memory slots in a sorted array (struct kvm_memslots until 5.16). */
bool host__memslots_in_array(void);

/*
 * True when the kernel lets us see the types of its modules. It does so for
 * CAP_SYS_ADMIN alone (bpf_obj_get_next_id() in kernel/bpf/syscall.c).
 */
bool host__sees_module_types(void);

/* True when the kernel's own types, without those of modules, have that function or event. */
bool host__knows_target(const char *name);

/* The kernel's own types, read once; NULL when it has none. */
const struct btf *host__kernel_types(void);

/* True when the kernel has BTF of itself, or of a module. */
bool host__has_btf(const char *module);

#endif
