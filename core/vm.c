/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Finding VMs in procfs. Everything read here is written by processes that owe
 * us nothing: names hold any byte, and a process may go away at any moment.
 * Files are opened below a descriptor of /proc/PID, which stays with the
 * process even when its pid is used again.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/kcmp.h>

#include "../output/text.h"
#include "args.h"
#include "clock.h"
#include "vm.h"

enum { MAX_CMDLINE = 256 * 1024, MAX_CGROUPS = 64 * 1024 };

/* Descriptors of KVM that a process holds. */
struct held {
	int *vm_fds;
	size_t nr_vms;
	unsigned int *vcpus;
	size_t nr_vcpus;
};

/* At most max bytes of a file, NUL-terminated, to be freed; NULL: errno says why. */
static char *read_fd(int fd, size_t max, size_t *len)
{
	size_t size = 0, used = 0;
	char *buf = NULL, *bigger;
	ssize_t n;
	int err;

	do {
		if (used == size) {
			size = size ? 2 * size : 4096;
			bigger = realloc(buf, size + 1);
			if (!bigger)
				goto failed;
			buf = bigger;
		}
		n = read(fd, buf + used, size - used);
		if (n < 0)
			goto failed;
		used += n;
	} while (n && used < max);
	buf[used] = '\0';
	*len = used;
	return buf;
failed:
	err = errno;
	free(buf);
	errno = err;
	return NULL;
}

static char *read_file(int dir, const char *name, size_t max, size_t *len)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC), err;
	char *data;

	if (fd < 0)
		return NULL;
	data = read_fd(fd, max, len);
	err = errno;
	close(fd);
	errno = err;
	return data;
}

static bool has_prefix(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* PF_KTHREAD in include/linux/sched.h. */
enum { KERNEL_THREAD = 0x00200000 };

/*
 * stat: "PID (COMM) STATE ..."; COMM may hold spaces, newlines and brackets. in_kernel,
 * which may be NULL: it is a thread of the kernel.
 */
static int read_stat(int fd, char *comm, size_t comm_size, uint64_t *start, bool *in_kernel)
{
	char *data, *open, *close;
	int err, field;
	size_t len;

	data = read_fd(fd, 4096, &len);
	if (!data)
		return -errno;
	err = -ESRCH;
	open = strchr(data, '(');
	close = strrchr(data, ')');
	if (!open || !close || close < open)
		goto cleanup;
	*close = '\0';
	if (comm)
		args__copy(comm, comm_size, open + 1);
	/* The text after ")" is field 3 once its space is passed. */
	for (field = 2, close++; field < 22 && close; field++) {
		close = strchr(close, ' ');
		close = close ? close + 1 : NULL;
		if (in_kernel && close && field == 8)
			*in_kernel = strtoul(close, NULL, 10) & KERNEL_THREAD;
	}
	if (!close)
		goto cleanup;
	*start = strtoull(close, NULL, 10);
	err = 0;
cleanup:
	free(data);
	return err;
}

/* A start time as the initial time namespace has it; a recorded tree is of that one. */
static uint64_t to_initial(const char *procfs, uint64_t start)
{
	enum { NSEC_PER_TICK = 10000000 };

	return strcmp(procfs, "/proc") ? start : start - clock__boot_offset_ns() / NSEC_PER_TICK;
}

/*
 * The name in a control socket's path: "/run/web.sock" is "web". Where all
 * sockets are called alike it's the directory: "/run/vc/vm/ID/clh-api.sock".
 */
static void copy_socket_name(char *dst, size_t size, const char *path)
{
	static const char *const alike[] = {
		"api",	  "ch",	     "clh",	    "clh-api", "ch-api", "cloud-hypervisor",
		"crosvm", "control", "firecracker", "socket",  "vmm",
	};
	char name[PATH_MAX], *dot, *slash;
	size_t i;

	snprintf(name, sizeof(name), "%s", path);
	slash = strrchr(name, '/');
	dot = strrchr(slash ? slash : name, '.');
	if (dot && (!strcmp(dot, ".sock") || !strcmp(dot, ".socket")))
		*dot = '\0';
	for (i = 0; slash && i < sizeof(alike) / sizeof(*alike); i++) {
		if (strcmp(slash + 1, alike[i]))
			continue;
		*slash = '\0';
		/* The system's own directories name no VM. */
		if (strcmp(name, "/tmp") && strcmp(name, "/run") && strcmp(name, "/var/run"))
			args__copy(dst, size, base_name(name));
		return;
	}
	args__copy(dst, size, base_name(name));
}

/* How each VMM is told a name. They leave vm->name alone where there is none. */

/* -name X, -name guest=X,debug-threads=on; libvirt writes the latter. */
static void name_qemu(const struct args *args, struct vm *vm)
{
	const char *value = args__option(args, "-name");

	if (!value)
		value = args__option(args, "--name");
	if (value)
		args__copy_item(vm->name, sizeof(vm->name), value, "guest", "guest");
}

/*
 * It has no option for a name. People tell its VMs apart by the API socket
 * (--api-socket PATH or path=PATH), or by the UUID they set for the guest.
 */
static void name_cloud_hypervisor(const struct args *args, struct vm *vm)
{
	const char *socket = args__option(args, "--api-socket");
	const char *platform = args__option(args, "--platform");
	char path[PATH_MAX] = "";

	if (platform)
		args__copy_item(vm->name, sizeof(vm->name), platform, "uuid", NULL);
	if (socket)
		args__copy_item(path, sizeof(path), socket, "path", "path");
	if (path[0])
		copy_socket_name(vm->name, sizeof(vm->name), path);
}

/* --id X, with and without the jailer, which passes it on. */
static void name_firecracker(const struct args *args, struct vm *vm)
{
	const char *socket = args__option(args, "--api-sock");
	const char *id = args__option(args, "--id");

	if (id)
		args__copy(vm->name, sizeof(vm->name), id);
	else if (socket)
		copy_socket_name(vm->name, sizeof(vm->name), socket);
}

/* --name X, else the control socket: -s PATH, --socket PATH. */
static void name_crosvm(const struct args *args, struct vm *vm)
{
	const char *socket = args__option(args, "--socket");
	const char *name = args__option(args, "--name");

	if (!socket)
		socket = args__option(args, "-s");
	if (name)
		args__copy(vm->name, sizeof(vm->name), name);
	else if (socket)
		copy_socket_name(vm->name, sizeof(vm->name), socket);
}

/* --name X; it calls a VM guest-PID otherwise. (-n is its network, not a name.) */
static void name_kvmtool(const struct args *args, struct vm *vm)
{
	const char *name = args__option(args, "--name");

	if (name)
		args__copy(vm->name, sizeof(vm->name), name);
	else
		snprintf(vm->name, sizeof(vm->name), "guest-%d", vm->pid);
}

static const struct vmm {
	const char *file; /* shell pattern for the name of the executable */
	const char *name;
	void (*read_name)(const struct args *args, struct vm *vm);
} vmms[] = {
	{ "qemu-system-*", "qemu", name_qemu },
	{ "qemu-kvm", "qemu", name_qemu },
	{ "kvm", "qemu", name_qemu },
	{ ".qemu-system-*", "qemu", name_qemu }, /* NixOS wraps it */
	{ "cloud-hypervisor*", "cloud-hypervisor", name_cloud_hypervisor },
	{ "firecracker*", "firecracker", name_firecracker },
	{ "crosvm*", "crosvm", name_crosvm },
	{ "lkvm*", "kvmtool", name_kvmtool },
	{ "kvmtool", "kvmtool", name_kvmtool },
};

static const struct vmm *find_vmm(const char *path)
{
	size_t i;

	for (i = 0; i < sizeof(vmms) / sizeof(*vmms); i++)
		if (!fnmatch(vmms[i].file, base_name(path), 0))
			return &vmms[i];
	return NULL;
}

/* By the executable, else by what it was called. */
static const struct vmm *identify(char *exe, const struct args *args)
{
	static const char deleted[] = " (deleted)";
	const size_t deleted_len = strlen(deleted);
	const struct vmm *vmm = NULL;
	size_t len = strlen(exe);

	if (len > deleted_len && !strcmp(exe + len - deleted_len, deleted))
		exe[len - deleted_len] = '\0';
	if (*exe)
		vmm = find_vmm(exe);
	if (!vmm && args->len)
		vmm = find_vmm(args->data);
	return vmm;
}

/* Where its text is not known it is "". */
static void identify_vm(const char *exe, const struct args *args, const char *cgroups,
			struct vm *vm)
{
	identity__read(&vm->who, vm->vmm, !exe[0] && args->len ? args->data : exe, args,
		       cgroups ? cgroups : "");
}

/* vm->name and vm->vmm. */
static void name_by(char *exe, const struct args *args, const char *comm, struct vm *vm)
{
	const struct vmm *vmm = identify(exe, args);

	vm->has_args = args->len;
	args__copy(vm->vmm, sizeof(vm->vmm), comm);
	args__copy(vm->name, sizeof(vm->name), comm);
	if (vmm) {
		args__copy(vm->vmm, sizeof(vm->vmm), vmm->name);
		if (args->len)
			vmm->read_name(args, vm);
	}
	if (!vm->name[0])
		args__copy(vm->name, sizeof(vm->name), comm);
}

/* vm->name, vm->vmm and vm->who. */
static void read_name(struct process_files *files, const char *comm, struct vm *vm)
{
	struct args args = {};
	char *cgroups = NULL;
	size_t len;

	if (files->cmdline >= 0)
		args.data = read_fd(files->cmdline, MAX_CMDLINE, &args.len);
	if (files->cgroup >= 0)
		cgroups = read_fd(files->cgroup, MAX_CGROUPS, &len);
	name_by(files->exe, &args, comm, vm);
	identify_vm(files->exe, &args, cgroups, vm);
	free(args.data);
	free(cgroups);
}

static uint64_t read_rss(int dir)
{
	uint64_t rss = 0;
	char *data, *line;
	size_t len;

	data = read_file(dir, "status", 65536, &len);
	if (!data)
		return 0;
	line = strstr(data, "\nVmRSS:");
	if (line)
		rss = strtoull(line + strlen("\nVmRSS:"), NULL, 10) * 1024;
	free(data);
	return rss;
}

/*
 * Notes a VM once, however many descriptors of it the process holds, as dup()
 * makes them. The kernel tells the order of two open files (kernel/kcmp.c): 0, they
 * are one; 1, the first is before the second; 2, after it. They are kept in it.
 * Where the kernel won't say, each counts.
 */
static int hold_vm(struct held *held, int fd, pid_t kcmp_pid)
{
	size_t first = 0, end = held->nr_vms;
	int *fds;

	while (kcmp_pid && first < end) {
		size_t middle = first + (end - first) / 2;
		long order =
			syscall(SYS_kcmp, kcmp_pid, kcmp_pid, KCMP_FILE, fd, held->vm_fds[middle]);

		if (!order)
			return 0;
		if (order == 1)
			end = middle;
		else
			first = middle + 1;
	}
	fds = reallocarray(held->vm_fds, held->nr_vms + 1, sizeof(*fds));
	if (!fds)
		return -ENOMEM;
	held->vm_fds = fds;
	memmove(fds + first + 1, fds + first, (held->nr_vms - first) * sizeof(*fds));
	fds[first] = fd;
	held->nr_vms++;
	return 0;
}

static int hold_vcpu(struct held *held, const char *id)
{
	unsigned int *vcpus;

	vcpus = reallocarray(held->vcpus, held->nr_vcpus + 1, sizeof(*vcpus));
	if (!vcpus)
		return -ENOMEM;
	held->vcpus = vcpus;
	vcpus[held->nr_vcpus++] = strtoul(id, NULL, 10);
	return 0;
}

/* Links are "anon_inode:kvm-vm" and "anon_inode:kvm-vcpu:3". */
static int hold_link(struct held *held, const char *link, int fd, pid_t kcmp_pid)
{
	static const char prefix[] = "anon_inode:";

	if (!has_prefix(link, prefix))
		return 0;
	link += strlen(prefix);
	if (*link == '[')
		link++;
	if (!strcmp(link, "kvm-vm") || !strcmp(link, "kvm-vm]"))
		return hold_vm(held, fd, kcmp_pid);
	if (has_prefix(link, "kvm-vcpu:"))
		return hold_vcpu(held, link + strlen("kvm-vcpu:"));
	return 0;
}

static int compare_uint(const void *a, const void *b)
{
	unsigned int x = *(const unsigned int *)a, y = *(const unsigned int *)b;

	return x < y ? -1 : x > y;
}

/*
 * vCPU 3 of two VMs is held twice, and so is a vCPU whose descriptor was
 * duplicated: of each number at most as many count as there are VMs.
 */
static unsigned int count_vcpus(struct held *held)
{
	unsigned int nr = 0;
	size_t i, same = 0;

	if (held->nr_vcpus)
		qsort(held->vcpus, held->nr_vcpus, sizeof(*held->vcpus), compare_uint);
	for (i = 0; i < held->nr_vcpus; i++) {
		same = i && held->vcpus[i] == held->vcpus[i - 1] ? same + 1 : 0;
		nr += same < held->nr_vms;
	}
	return nr;
}

/* Descriptors that vanish while they are looked at are skipped. */
static int read_links(DIR *fds, struct held *held, pid_t kcmp_pid)
{
	struct dirent *entry;
	char link[64];
	ssize_t len;
	int err = 0;

	while (!err && (entry = readdir(fds))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		len = readlinkat(dirfd(fds), entry->d_name, link, sizeof(link) - 1);
		if (len < 0)
			continue;
		link[len] = '\0';
		err = hold_link(held, link, atoi(entry->d_name), kcmp_pid);
	}
	return err;
}

static int count_descriptors(int dir, struct vm *vm, pid_t kcmp_pid)
{
	struct held held = {};
	DIR *fds;
	int fd, err;

	fd = openat(dir, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == EPERM ? -EACCES : errno == ENOENT ? -ESRCH : -errno;
	fds = fdopendir(fd);
	if (!fds) {
		err = -errno;
		close(fd);
		return err;
	}
	err = read_links(fds, &held, kcmp_pid);
	vm->nr_vms = held.nr_vms;
	vm->nr_vcpus = count_vcpus(&held);
	if (!err && !held.nr_vms)
		err = -ENXIO;
	free(held.vm_fds);
	free(held.vcpus);
	closedir(fds);
	return err;
}

/* The thread has a table of descriptors that is not the main thread's. */
static bool has_own_table(pid_t pid, pid_t tid)
{
	return tid != pid && syscall(SYS_kcmp, pid, tid, KCMP_FILES, 0, 0) > 0;
}

/*
 * The main thread has no VM. It may have ended, and then shows nothing any more,
 * or a thread may have unshared its descriptors. dir is closed and that of a
 * thread with a VM takes its place, and *err is 0; else all stays as it is.
 */
static int look_at_threads(int dir, pid_t pid, struct vm *vm, int *err)
{
	int fd = openat(dir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC), found = -1;
	DIR *tasks = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!tasks && fd >= 0)
		close(fd);
	while (tasks && found < 0 && (entry = readdir(tasks))) {
		pid_t tid = atoi(entry->d_name);

		if (!tid || !has_own_table(pid, tid))
			continue;
		found = openat(dirfd(tasks), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (found < 0 || !count_descriptors(found, vm, tid))
			continue;
		close(found);
		found = -1;
	}
	if (tasks)
		closedir(tasks);
	if (found < 0)
		return dir;
	close(dir);
	*err = 0;
	return found;
}

static int open_dir(const char *procfs, pid_t pid)
{
	char path[PATH_MAX];
	int dir;

	snprintf(path, sizeof(path), "%s/%d", procfs, pid);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	return dir;
}

/* False when the thread has ended: then it has neither. */
static bool open_names(int dir, struct process_files *files)
{
	ssize_t len = readlinkat(dir, "exe", files->exe, sizeof(files->exe) - 1);
	bool ended = len < 0 && errno == ENOENT;

	files->exe[len > 0 ? len : 0] = '\0';
	files->cmdline = openat(dir, "cmdline", O_RDONLY | O_CLOEXEC);
	files->cgroup = openat(dir, "cgroup", O_RDONLY | O_CLOEXEC);
	return !ended;
}

static void close_files(struct process_files *files)
{
	if (files->stat >= 0)
		close(files->stat);
	if (files->cmdline >= 0)
		close(files->cmdline);
	if (files->cgroup >= 0)
		close(files->cgroup);
	files->stat = files->cmdline = files->cgroup = -1;
}

static void reopen_names(int dir, struct process_files *files)
{
	if (files->cmdline >= 0)
		close(files->cmdline);
	if (files->cgroup >= 0)
		close(files->cgroup);
	open_names(dir, files);
}

/* The main thread has ended: another one has the names. */
static void open_names_of_thread(int dir, struct process_files *files)
{
	int fd = openat(dir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC), task;
	DIR *tasks = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!tasks && fd >= 0)
		close(fd);
	while (tasks && !files->exe[0] && (entry = readdir(tasks))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		task = openat(dirfd(tasks), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (task < 0)
			continue;
		reopen_names(task, files);
		close(task);
	}
	if (tasks)
		closedir(tasks);
}

static int open_stat(int dir, struct process_files *files)
{
	memset(files, 0, sizeof(*files));
	files->cmdline = files->cgroup = -1;
	files->stat = openat(dir, "stat", O_RDONLY | O_CLOEXEC);
	return files->stat >= 0 ? 0 : errno == ENOENT ? -ESRCH : -errno;
}

static void open_all_names(int dir, struct process_files *files)
{
	if (!open_names(dir, files))
		open_names_of_thread(dir, files);
}

int vm__open_process(const char *procfs, pid_t pid, struct process_files *files)
{
	int dir = open_dir(procfs, pid), err;

	if (dir < 0)
		return dir;
	err = open_stat(dir, files);
	if (!err)
		open_all_names(dir, files);
	close(dir);
	return err;
}

int vm__name_process(struct process_files *files, pid_t pid, struct vm *vm)
{
	char comm[VM_NAME_LEN] = "";
	int err;

	*vm = (struct vm){ .pid = pid };
	err = read_stat(files->stat, comm, sizeof(comm), &vm->start_time, NULL);
	vm->start_time = to_initial("/proc", vm->start_time);
	if (!err)
		read_name(files, comm, vm);
	close_files(files);
	return err;
}

int vm__name_args(const char *comm, const char *data, size_t len, size_t size, struct vm *vm)
{
	struct args args = { .data = malloc(len + 1), .len = len };
	char exe[] = "";

	if (!args.data)
		return -ENOMEM;
	memcpy(args.data, data, len);
	/* Of one that was cut the last argument may be a part. */
	while (len == size && args.len && args.data[args.len - 1])
		args.len--;
	args.data[args.len] = '\0';
	name_by(exe, &args, comm, vm);
	identify_vm(exe, &args, NULL, vm);
	free(args.data);
	return 0;
}

/* Processes that aren't VMs get their name only when it's wanted. */
static int probe(const char *procfs, pid_t pid, struct vm *vm, bool name_any)
{
	pid_t kcmp_pid = strcmp(procfs, "/proc") ? 0 : pid;
	int dir = open_dir(procfs, pid), err;
	char comm[VM_NAME_LEN] = "";
	struct process_files files;
	bool in_kernel = false;

	*vm = (struct vm){ .pid = pid };
	if (dir < 0)
		return dir;
	err = open_stat(dir, &files);
	if (err)
		goto cleanup;
	err = read_stat(files.stat, comm, sizeof(comm), &vm->start_time, &in_kernel);
	/* They hold no descriptors, and are most processes of a small host. */
	if (!err && in_kernel && !name_any)
		err = -ENXIO;
	if (!err) {
		int first = dir;

		open_all_names(dir, &files);
		vm->start_time = to_initial(procfs, vm->start_time);
		err = count_descriptors(dir, vm, kcmp_pid);
		if (err == -ENXIO || err == -ESRCH)
			dir = look_at_threads(dir, pid, vm, &err);
		if (dir != first)
			reopen_names(dir, &files);
		if (!err || name_any)
			read_name(&files, comm, vm);
		if (!err)
			vm->rss_bytes = read_rss(dir);
	}
	close_files(&files);
cleanup:
	close(dir);
	return err;
}

int vm__probe(const char *procfs, pid_t pid, struct vm *vm)
{
	return probe(procfs, pid, vm, true);
}

static int add_vm(struct vm **vms, size_t *nr, const struct vm *vm)
{
	struct vm *bigger = reallocarray(*vms, *nr + 1, sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	*vms = bigger;
	bigger[(*nr)++] = *vm;
	return 0;
}

static int compare_vm(const void *a, const void *b)
{
	const struct vm *x = a, *y = b;

	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

int vm__scan(const char *procfs, struct vm **vms, size_t *nr)
{
	struct dirent *entry;
	struct vm vm;
	int err = 0;
	DIR *dir;

	*vms = NULL;
	*nr = 0;
	dir = opendir(procfs);
	if (!dir)
		return -errno;
	while (!err && (entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		if (!probe(procfs, atoi(entry->d_name), &vm, false))
			err = add_vm(vms, nr, &vm);
	}
	closedir(dir);
	if (err) {
		free(*vms);
		*vms = NULL;
		*nr = 0;
	} else if (*nr) {
		qsort(*vms, *nr, sizeof(**vms), compare_vm);
	}
	return err;
}

uint64_t vm__task_start(const char *procfs, pid_t pid, pid_t tid)
{
	char path[PATH_MAX];
	uint64_t start = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/%d/task/%d/stat", procfs, pid, tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	start = read_stat(fd, NULL, 0, &start, NULL) ? 0 : to_initial(procfs, start);
	close(fd);
	return start;
}

void vm__write_id(char id[VM_ID_LEN], pid_t pid, uint64_t start_time, unsigned int nth)
{
	snprintf(id, VM_ID_LEN, "%d.%" PRIu64 ".%u", pid, start_time, nth);
}

bool vm__match(const char *pattern, const char *name)
{
	return !pattern || !fnmatch(pattern, name, 0);
}
