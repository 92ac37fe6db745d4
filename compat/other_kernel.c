// SPDX-License-Identifier: GPL-2.0-only
#include "other_kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <gelf.h>
#include <libelf.h>

#include "host.h"

enum { MAX_PARTS = 8, NAME_LEN = 32, MAX_PATH_LEN = 4096 };

/* vmlinux, or a module. */
struct part {
	char name[NAME_LEN];
	struct btf *btf; /* NULL: its file has none */
	int fd;
	Elf *elf;	   /* with symbols, else NULL */
	Elf_Data *symbols; /* its table */
	size_t nr_symbols, names;
};

static struct {
	struct part parts[MAX_PARTS];
	size_t nr;
} other;

static const char *const part_names[] = { "vmlinux", "kvm", "kvm_intel", "kvm_amd" };

bool other_kernel__is_open(void)
{
	return other.nr;
}

static const struct part *find_part(const char *name)
{
	for (size_t i = 0; i < other.nr; i++)
		if (!strcmp(other.parts[i].name, name))
			return &other.parts[i];
	return NULL;
}

const struct btf *other_kernel__types(void)
{
	return other.nr ? other.parts[0].btf : NULL;
}

bool other_kernel__has_btf(const char *name)
{
	const struct part *part = find_part(name);

	return part && part->btf;
}

/* "/tmp/kvm-intel.ko" is kvm_intel's; the first one is the kernel's, whatever it is called. */
static void name_part(struct part *part, const char *path, bool first)
{
	const char *slash = strrchr(path, '/');

	snprintf(part->name, sizeof(part->name), "%s",
		 first ? part_names[0] :
		 slash ? slash + 1 :
			 path);
	part->name[strcspn(part->name, ".")] = '\0';
	for (char *c = part->name; *c; c++)
		if (*c == '-')
			*c = '_';
}

/* The table of symbols, where the file is an ELF file that has one. */
static void open_symbols(struct part *part, const char *path)
{
	Elf_Scn *section = NULL;
	GElf_Shdr head;

	part->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (part->fd < 0 || elf_version(EV_CURRENT) == EV_NONE)
		return;
	part->elf = elf_begin(part->fd, ELF_C_READ, NULL);
	while (part->elf && (section = elf_nextscn(part->elf, section))) {
		if (!gelf_getshdr(section, &head) || head.sh_type != SHT_SYMTAB || !head.sh_entsize)
			continue;
		part->symbols = elf_getdata(section, NULL);
		part->nr_symbols = head.sh_size / head.sh_entsize;
		part->names = head.sh_link;
		break;
	}
}

static bool has_symbol(const struct part *part, const char *prefix, const char *name)
{
	size_t len = strlen(prefix);

	for (size_t i = 0; i < part->nr_symbols; i++) {
		const char *known;
		GElf_Sym symbol;

		if (!gelf_getsym(part->symbols, (int)i, &symbol) || symbol.st_shndx == SHN_UNDEF)
			continue;
		known = elf_strptr(part->elf, part->names, symbol.st_name);
		if (known && !strncmp(known, prefix, len) && !strcmp(known + len, name))
			return true;
	}
	return false;
}

/* The first one is the kernel's own, and the others' types go on where its end. */
static int open_part(const char *path, char *wrong, size_t size)
{
	struct part *part = &other.parts[other.nr];
	bool first = !other.nr;
	struct stat st;
	int err;

	if (other.nr == MAX_PARTS) {
		snprintf(wrong, size,
			 "more than %d files; give those of vmlinux, kvm, kvm_intel "
			 "and kvm_amd",
			 MAX_PARTS);
		return -E2BIG;
	}
	memset(part, 0, sizeof(*part));
	part->fd = -1;
	if (stat(path, &st) || access(path, R_OK)) {
		err = -errno;
		snprintf(wrong, size, "%s can't be read: %s", path, strerror(-err));
		return err;
	}
	if (!S_ISREG(st.st_mode)) {
		snprintf(wrong, size, "%s is not a file", path);
		return -EINVAL;
	}
	part->btf = btf__parse_split(path, first ? NULL : other.parts[0].btf);
	err = part->btf ? 0 : -errno;
	open_symbols(part, path);
	/* A module of a kernel that has no types of modules still has its symbols. */
	if (!part->btf && (first || !part->symbols)) {
		snprintf(wrong, size,
			 first ? "%s has no BTF; give that kernel's /sys/kernel/btf/vmlinux, or "
				 "its vmlinux" :
				 "%s has no symbols, and no BTF that fits the first file; give "
				 "that kernel's /sys/kernel/btf/kvm, or its kvm.ko unpacked",
			 path);
		elf_end(part->elf);
		if (part->fd >= 0)
			close(part->fd);
		return err;
	}
	name_part(part, path, first);
	other.nr++;
	return 0;
}

/* As /sys/kernel/btf calls them, or as they were copied from there or from a package. */
static int open_directory(const char *dir, char *wrong, size_t size)
{
	static const char *const ends[] = { "", ".btf", ".ko", ".elf" };
	char path[MAX_PATH_LEN];
	int err = 0;

	for (size_t i = 0; i < sizeof(part_names) / sizeof(*part_names) && !err; i++) {
		bool found = false;

		for (size_t j = 0; j < 2 * sizeof(ends) / sizeof(*ends) && !found; j++) {
			int len = snprintf(path, sizeof(path), "%s/%s%s", dir, part_names[i],
					   ends[j / 2]);

			/* kvm-intel.ko */
			for (char *c = strrchr(path, '/'); j % 2 && *c; c++)
				if (*c == '_')
					*c = '-';
			found = len < (int)sizeof(path) && !access(path, F_OK);
		}
		if (found) {
			err = open_part(path, wrong, size);
		} else if (!i) {
			snprintf(wrong, size, "%s has no file vmlinux", dir);
			err = -ENOENT;
		}
	}
	return err;
}

int other_kernel__open(const char *files, char *wrong, size_t size)
{
	char path[MAX_PATH_LEN];
	struct stat st;
	int err = 0;
	size_t len;

	if (!stat(files, &st) && S_ISDIR(st.st_mode)) {
		err = open_directory(files, wrong, size);
	} else {
		for (const char *s = files;; s += len + 1) {
			len = strcspn(s, ",");
			snprintf(path, sizeof(path), "%.*s", (int)len, s);
			err = len < sizeof(path) ? open_part(path, wrong, size) : -ENAMETOOLONG;
			if (err == -ENAMETOOLONG)
				snprintf(wrong, size, "a name is too long");
			if (err || !s[len])
				break;
		}
	}
	if (err)
		other_kernel__close();
	return err;
}

void other_kernel__close(void)
{
	/* The first one's types last: others lean on them. */
	while (other.nr) {
		struct part *part = &other.parts[--other.nr];

		elf_end(part->elf);
		if (part->fd >= 0)
			close(part->fd);
		btf__free(part->btf);
	}
}

/* Among its own types: a module's go on where the kernel's end. */
static bool part_has_type(const struct part *part, const char *name, uint32_t kind)
{
	bool first = part == other.parts;
	uint32_t nr = part->btf ? btf__type_cnt(part->btf) : 0;

	for (uint32_t id = first ? 1 : btf__type_cnt(other.parts[0].btf); id < nr; id++) {
		const struct btf_type *t = btf__type_by_id(part->btf, id);
		const char *known;

		if (btf_kind(t) != kind)
			continue;
		known = btf__name_by_offset(part->btf, t->name_off);
		if (known && !strcmp(known, name))
			return true;
	}
	return false;
}

static bool has_type(const char *name, uint32_t kind)
{
	for (size_t i = 0; i < other.nr; i++)
		if (part_has_type(&other.parts[i], name, kind))
			return true;
	return false;
}

/* Its file is there, or KVM is a part of vmlinux. */
static bool is_given(const char *module)
{
	return find_part(module) || part_has_type(&other.parts[0], "kvm_vcpu_ioctl", BTF_KIND_FUNC);
}

unsigned int other_kernel__vendors(void)
{
	bool vmx = find_part("kvm_intel"), svm = find_part("kvm_amd");

	/* Built in: both are, and the CPU tells which one works. */
	if (!vmx && !svm && is_given("kvm")) {
		vmx = has_type("vcpu_vmx", BTF_KIND_STRUCT);
		svm = has_type("vcpu_svm", BTF_KIND_STRUCT);
	}
	return (vmx ? VENDOR_VMX : 0) | (svm ? VENDOR_SVM : 0);
}

bool other_kernel__has_kvm(void)
{
	return is_given("kvm") && (!find_part("kvm") || other_kernel__vendors());
}

/* Is that what the kernel makes programs' hooks of: a system call's two events are no others'. */
static bool has_event(const char *name)
{
	char type[128];

	if (!strncmp(name, "sys_enter_", strlen("sys_enter_")) ||
	    !strncmp(name, "sys_exit_", strlen("sys_exit_")))
		return has_type("syscall_trace_enter", BTF_KIND_STRUCT);
	snprintf(type, sizeof(type), "btf_trace_%s", name);
	if (has_type(type, BTF_KIND_TYPEDEF))
		return true;
	for (size_t i = 0; i < other.nr; i++)
		if (has_symbol(&other.parts[i], "__tracepoint_", name))
			return true;
	return false;
}

/* A file with symbols has that function, or one without has it among its types. */
static bool has_function(const char *name, bool among_types)
{
	for (size_t i = 0; i < other.nr; i++) {
		const struct part *part = &other.parts[i];
		bool typed = part_has_type(part, name, BTF_KIND_FUNC);

		if (part->symbols ? has_symbol(part, "", name) && (typed || !among_types) : typed)
			return true;
	}
	return false;
}

static bool has_target(enum hook_kind kind, const char *target)
{
	char name[128];

	switch (kind) {
	case HOOK_RAW_TP:
	case HOOK_TRACEPOINT:
		return has_event(target);
	case HOOK_TP_BTF:
		snprintf(name, sizeof(name), "btf_trace_%s", target);
		return has_type(name, BTF_KIND_TYPEDEF);
	case HOOK_FENTRY:
		return has_function(target, true);
	case HOOK_KPROBE:
		return has_function(target, false);
	case HOOK_ITER:
	case NR_HOOK_KINDS:
		break;
	}
	snprintf(name, sizeof(name), "bpf_iter_%s", target);
	return has_type(name, BTF_KIND_FUNC);
}

/* Some part of KVM has no types, or no symbols. */
static bool lacks(bool types)
{
	for (size_t i = 1; i < other.nr; i++)
		if (types ? !other.parts[i].btf : !other.parts[i].symbols)
			return true;
	/* KVM is a part of vmlinux. */
	return !types && other.nr == 1 && !other.parts[0].symbols;
}

enum knowledge other_kernel__has(enum hook_kind kind, const char *target, const char **why)
{
	bool typed = kind == HOOK_TP_BTF || kind == HOOK_FENTRY;

	*why = "that kernel does not have it";
	if (!other_kernel__has_kind(kind)) {
		*why = "that kernel does not support it";
		return IS_NOT_THERE;
	}
	if (has_target(kind, target))
		return IS_THERE;
	if (kind == HOOK_ITER)
		return IS_NOT_THERE;
	if (!other_kernel__has_kvm()) {
		*why = "unknown without the BTF of kvm and its vendor module";
		return IS_NOT_KNOWN;
	}
	/* BTF leaves functions out whose arguments the compiler has changed. */
	if (kind == HOOK_KPROBE && lacks(false)) {
		*why = "unknown from BTF alone: a module file (kvm.ko) also has symbols";
		return IS_NOT_KNOWN;
	}
	if (typed && lacks(true))
		*why = "that kernel has no BTF for KVM's modules";
	return IS_NOT_THERE;
}

bool other_kernel__has_kind(enum hook_kind kind)
{
	switch (kind) {
	case HOOK_RAW_TP:
	case HOOK_TP_BTF:
	case HOOK_TRACEPOINT:
		/* include/trace/bpf_probe.h has these types for BPF's sake. */
		return has_type("btf_trace_sched_switch", BTF_KIND_TYPEDEF);
	case HOOK_FENTRY:
		return has_type("bpf_trampoline_link_prog", BTF_KIND_FUNC);
	case HOOK_KPROBE:
		return has_type("trace_kprobe", BTF_KIND_STRUCT);
	case HOOK_ITER:
	case NR_HOOK_KINDS:
		break;
	}
	return has_type("bpf_iter_reg_target", BTF_KIND_FUNC);
}

const char *other_kernel__lacks(void)
{
	if (!has_type("bpf_ringbuf", BTF_KIND_STRUCT))
		return "that kernel has no BPF ring buffer";
	if (!has_type("array_map_mmap", BTF_KIND_FUNC))
		return "that kernel can't mmap BPF arrays";
	if (!has_type("bpf_iter_task_file", BTF_KIND_FUNC))
		return "that kernel has no BPF iterator over files";
	if (!has_type("bpf_prog_test_run_raw_tp", BTF_KIND_FUNC))
		return "that kernel can't run BPF programs on demand";
	return NULL;
}
