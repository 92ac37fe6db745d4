// SPDX-License-Identifier: GPL-2.0-only
#include "host.h"

#include <cpuid.h>
#include <dirent.h>
#include <errno.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>

#include "other_kernel.h"

/* The inode that the kernel gives its first PID namespace (PROC_PID_INIT_INO). */
#define INITIAL_PID_NAMESPACE 0xEFFFFFFCUL
/* And its first user namespace (PROC_USER_INIT_INO). */
#define INITIAL_USER_NAMESPACE 0xEFFFFFFDUL

static bool has_module(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/module/%s", name);
	return !access(path, F_OK);
}

static const char *const module_names[NR_HOST_MODULES] = { "kvm", "kvm_intel", "kvm_amd" };

const char *host__module_name(enum host_module module)
{
	return module_names[module];
}

/* Sysfs numbers what it makes, and begins anew after 2^32 at the earliest. */
uint64_t host__module_id(enum host_module module)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "/sys/module/%s", module_names[module]);
	return stat(path, &st) ? 0 : st.st_ino;
}

bool host__is_loadable(enum host_module module)
{
	char path[128];

	/* What is built in has no state. */
	snprintf(path, sizeof(path), "/sys/module/%s/initstate", module_names[module]);
	return !access(path, F_OK);
}

/* Both modules are there when both are built in: the CPU tells which one works then. */
static bool cpu_has_svm(void)
{
	unsigned int eax, ebx, ecx = 0, edx;

	return __get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) && ecx & 1 << 2;
}

/* Another host's, of a recording; else NULL. */
static const char *recorded_vendor;

void host__set_vendor(const char *name)
{
	recorded_vendor = name;
}

unsigned int host__vendors(void)
{
	bool vmx = has_module("kvm_intel"), svm = has_module("kvm_amd");

	if (recorded_vendor)
		return !strcmp(recorded_vendor, "kvm_intel") ? VENDOR_VMX :
		       !strcmp(recorded_vendor, "kvm_amd")   ? VENDOR_SVM :
							       0;
	if (vmx && svm)
		return cpu_has_svm() ? VENDOR_SVM : VENDOR_VMX;
	return (vmx ? VENDOR_VMX : 0) | (svm ? VENDOR_SVM : 0);
}

const char *host__vendor_name(void)
{
	static char name[64];
	DIR *dir;

	if (host__vendors() & VENDOR_VMX)
		return "kvm_intel";
	if (host__vendors() & VENDOR_SVM)
		return "kvm_amd";
	if (recorded_vendor)
		return recorded_vendor;
	snprintf(name, sizeof(name), "none");
	dir = opendir("/sys/module");
	if (!dir)
		return name;
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
		if (!strncmp(entry->d_name, "kvm_", 4))
			snprintf(name, sizeof(name), "%.63s", entry->d_name);
	closedir(dir);
	return name;
}

const struct btf *host__kernel_types(void)
{
	static struct btf *btf;

	if (other_kernel__is_open())
		return other_kernel__types();
	if (!btf)
		btf = btf__load_vmlinux_btf();
	return btf;
}

bool host__has_vendor_types(void)
{
	const char *type = host__vendors() & VENDOR_VMX ? "vcpu_vmx" : "vcpu_svm";

	if (host__has_btf(host__vendor_name()))
		return true;
	/* KVM is built in, or its modules have no BTF. */
	return host__kernel_types() &&
	       btf__find_by_name_kind(host__kernel_types(), type, BTF_KIND_STRUCT) > 0;
}

bool host__sees_module_types(void)
{
	static int known = -1;
	__u32 id;

	if (known < 0)
		known = !bpf_btf_get_next_id(0, &id) || errno != EPERM;
	return known;
}

bool host__knows_target(const char *name)
{
	char event[128];

	snprintf(event, sizeof(event), "btf_trace_%s", name);
	return host__kernel_types() &&
	       (btf__find_by_name_kind(host__kernel_types(), name, BTF_KIND_FUNC) > 0 ||
		btf__find_by_name_kind(host__kernel_types(), event, BTF_KIND_TYPEDEF) > 0);
}

bool host__has_kvm(void)
{
	/* On x86 it makes no VM without one of its vendors' modules. */
	return has_module("kvm") &&
	       (host__arch() != ARCH_X86 || strcmp(host__vendor_name(), "none"));
}

const char *host__tracefs(void)
{
	static char path[256];
	struct mntent *entry;
	FILE *mounts;

	if (path[0])
		return path;
	mounts = setmntent("/proc/self/mounts", "r");
	if (!mounts)
		return NULL;
	while ((entry = getmntent(mounts)))
		if (!strcmp(entry->mnt_type, "tracefs")) {
			snprintf(path, sizeof(path), "%s", entry->mnt_dir);
			break;
		}
	endmntent(mounts);
	return path[0] ? path : NULL;
}

bool host__has_kprobes(void)
{
	char path[512];

	/* Where libbpf looks: the kind of perf event, or the file of before Linux 4.17. */
	if (!access("/sys/bus/event_source/devices/kprobe/type", F_OK))
		return true;
	snprintf(path, sizeof(path), "%s/kprobe_events", host__tracefs() ?: "");
	return !access(path, F_OK);
}

int host__parse_format(FILE *file, const char *field)
{
	char line[512], name[64];
	int found = -ENOENT;

	/* "	field:unsigned int exit_reason;	offset:8;	size:4;	signed:0;" */
	while (found < 0 && fgets(line, sizeof(line), file)) {
		char *end = strchr(line, ';'), *start;
		int offset;

		if (!end || !strstr(line, "field:"))
			continue;
		*end = '\0';
		start = strrchr(line, ' ');
		if (!start || sscanf(start + 1, "%63[^[]", name) != 1 || strcmp(name, field))
			continue;
		if (sscanf(end + 1, " offset:%d;", &offset) == 1 && offset >= 0)
			found = offset;
	}
	return found;
}

int host__field_offset(const char *event, const char *field)
{
	const char *tracefs = host__tracefs();
	char path[512];
	FILE *file;
	int offset;

	if (!tracefs)
		return -ENOENT;
	snprintf(path, sizeof(path), "%s/events/%s/format", tracefs, event);
	file = fopen(path, "re");
	if (!file)
		return -ENOENT;
	offset = host__parse_format(file, field);
	fclose(file);
	return offset;
}

bool host__initial_pid_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) || st.st_ino == INITIAL_PID_NAMESPACE;
}

bool host__initial_user_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/user", &st) || st.st_ino == INITIAL_USER_NAMESPACE;
}

static bool has_capability(unsigned int capability)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	return syscall(SYS_capget, &head, data) ||
	       data[CAP_TO_INDEX(capability)].effective & CAP_TO_MASK(capability);
}

const char *host__bpf_refusal(void)
{
	if (!host__initial_user_namespace())
		return "BPF needs the host's root, and this is a user namespace: run it outside";
	if (!has_capability(CAP_BPF) && !has_capability(CAP_SYS_ADMIN))
		return geteuid() ?
			       "BPF needs root here: run it as root" :
			       "root has no CAP_BPF here, as in a container: give it CAP_BPF and "
			       "CAP_PERFMON (docs/privileges.md)";
	if (!host__kernel_types())
		return "this kernel's BTF is missing (/sys/kernel/btf/vmlinux): use a kernel with "
		       "CONFIG_DEBUG_INFO_BTF, or mount the host's /sys/kernel/btf into the "
		       "container";
	return NULL;
}

bool host__has_btf(const char *module)
{
	char path[128];

	if (other_kernel__is_open())
		return other_kernel__has_btf(module);
	snprintf(path, sizeof(path), "/sys/kernel/btf/%s", module);
	return !access(path, R_OK);
}

static bool btf_has_member(const char *type, const char *member)
{
	const struct btf *btf = host__kernel_types();
	const struct btf_type *t;
	bool found = false;
	int id;

	if (!btf)
		return false;
	id = btf__find_by_name_kind(btf, type, BTF_KIND_STRUCT);
	t = id > 0 ? btf__type_by_id(btf, id) : NULL;
	for (int i = 0; t && i < btf_vlen(t) && !found; i++)
		found = !strcmp(btf__name_by_offset(btf, btf_members(t)[i].name_off), member);
	return found;
}

bool host__kretprobes_unlimited(void)
{
	static int known = -1;

	if (known < 0)
		known = btf_has_member("fprobe_hlist", "fp");
	return known;
}

bool host__can_cast(void)
{
	return host__kernel_types() &&
	       btf__find_by_name_kind(host__kernel_types(), "bpf_rdonly_cast", BTF_KIND_FUNC) > 0;
}

bool host__locks_maps(void)
{
	return host__kernel_types() &&
	       btf__find_by_name_kind(host__kernel_types(), "bpf_map_memory", BTF_KIND_STRUCT) > 0;
}

bool host__memslots_in_array(void)
{
	static int known = -1;

	if (known < 0)
		known = btf_has_member("kvm_memslots", "used_slots");
	return known;
}

unsigned int host__arch(void)
{
#if defined(__x86_64__)
	return ARCH_X86;
#elif defined(__aarch64__)
	return ARCH_ARM64;
#else
	return 0;
#endif
}

const char *host__arch_name(void)
{
	return host__arch() == ARCH_X86	  ? "x86" :
	       host__arch() == ARCH_ARM64 ? "arm64" :
					    "this architecture";
}
