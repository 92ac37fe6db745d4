// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvm_watcher whose unprivileged process is somebody else's: in place of the loop that watches,
 * with the broker at work, it tries what it must not be able to do. Never installed;
 * tests/cases/privileges.sh runs it. A line for each attempt:
 *
 *	refused NAME (ERROR)      the kernel let it do nothing
 *	REACHED NAME (RESULT)     it did it, or would have with better arguments
 *
 * Arguments are such that an attempt which is not refused does no harm: with --no-sandbox all of
 * them are made with root's rights. VICTIM is a process of root's, PEER one of the unprivileged
 * user.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "../../core/broker.h"
#include "../../core/loop.h"
#include "../../core/monitor.h"
#include "../../core/vm.h"

/* NOLINTNEXTLINE(bugprone-reserved-identifier): the linker's name for it */
int __wrap_loop__watch(struct attach_env *env, const struct watch_options *opts);

static void result(const char *name, long value)
{
	int err = errno;

	/* ENOSYS: the filter's answer to clone3(), whose arguments it can't see. */
	if (value < 0 && (err == EPERM || err == EACCES || err == ENOSYS))
		printf("refused %s (%s)\n", name, strerror(err));
	else
		printf("REACHED %s (%s)\n", name, value < 0 ? strerror(err) : "it works");
	fflush(stdout);
}

/* A descriptor that it should not have got is not kept. */
static void opened(const char *name, int fd)
{
	result(name, fd);
	if (fd >= 0)
		close(fd);
}

#define TRY(_name, ...) result(_name, syscall(__VA_ARGS__))
#define TRY_FD(_name, ...) opened(_name, syscall(__VA_ARGS__))

static pid_t pid_from(const char *variable)
{
	const char *text = getenv(variable);

	return text ? atoi(text) : -1;
}

/* The child of this process. */
static pid_t find_broker(void)
{
	DIR *proc = opendir("/proc");
	pid_t found = -1;

	for (struct dirent *entry; found < 0 && proc && (entry = readdir(proc));) {
		char path[300], line[512] = "";
		char *end;
		int fd;

		snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (read(fd, line, sizeof(line) - 1) > 0 && (end = strrchr(line, ')')) &&
		    atoi(end + 4) == getpid())
			found = atoi(entry->d_name);
		close(fd);
	}
	if (proc)
		closedir(proc);
	return found;
}

/* The first descriptor whose link begins like this; -1: there is none. */
static int find_fd(const char *begin)
{
	for (int fd = 0; fd < 1024; fd++) {
		char path[64], link[128] = "";

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (readlink(path, link, sizeof(link) - 1) > 0 &&
		    !strncmp(link, begin, strlen(begin)))
			return fd;
		/* /proc of a process that is not dumpable is root's. */
		if (!strcmp(begin, "socket:") && !syscall(SYS_fcntl, fd, F_GETFD)) {
			struct stat st;

			if (!fstat(fd, &st) && S_ISSOCK(st.st_mode))
				return fd;
		}
	}
	return -1;
}

static void try_files(void)
{
	const char *dir = getenv("DIR") ?: "/tmp";
	char path[512];

	snprintf(path, sizeof(path), "%s/made", dir);
	TRY_FD("make a file", SYS_openat, AT_FDCWD, path, O_CREAT | O_WRONLY | O_EXCL, 0600);
	TRY_FD("make a file without a name", SYS_openat, AT_FDCWD, dir, O_TMPFILE | O_RDWR, 0600);
	TRY_FD("open a file for writing", SYS_openat, AT_FDCWD, "/etc/passwd", O_WRONLY);
	TRY_FD("open a file for both", SYS_open, "/etc/passwd", O_RDWR);
	TRY_FD("open it by openat2()", SYS_openat2, AT_FDCWD, "/etc/passwd", NULL, 0);
	TRY_FD("empty a file", SYS_openat, AT_FDCWD, path, O_RDONLY | O_TRUNC | O_CREAT);
	TRY_FD("read root's file", SYS_openat, AT_FDCWD, getenv("SECRET") ?: "/etc/shadow",
	       O_RDONLY);
	TRY("change a file's mode", SYS_chmod, "/nowhere/file", 0777);
	TRY("change a file's owner", SYS_chown, "/nowhere/file", 0, 0);
	TRY("rename a file", SYS_rename, "/nowhere/file", "/nowhere/file2");
	TRY("remove a file", SYS_unlink, "/nowhere/file");
	TRY("make a directory", SYS_mkdir, "/nowhere/dir", 0700);
	TRY("make a link", SYS_symlink, "/etc", "/nowhere/link");
	TRY("make a device", SYS_mknod, "/nowhere/device", S_IFBLK | 0600, 0);
	TRY("truncate a file", SYS_truncate, "/nowhere/file", 0);
	TRY("set an attribute", SYS_setxattr, "/nowhere/file", "user.a", "b", 1, 0);
	TRY("mount", SYS_mount, "none", "/nowhere/file", "tmpfs", 0, NULL);
	TRY("change the root", SYS_chroot, "/nowhere/file");
	TRY_FD("make a file in memory", SYS_memfd_create, "code", 0);
}

static void try_processes(pid_t broker)
{
	pid_t victim = pid_from("VICTIM"), peer = pid_from("PEER"), child;
	char byte;
	const struct iovec here = { &byte, 1 }, there = { (void *)&find_broker, 1 };
	char path[64];
	int fd;

	/* SIGCONT does nothing to what runs. */
	TRY("signal the privileged process", SYS_kill, broker, SIGCONT);
	TRY("signal a process of root's", SYS_kill, victim, SIGCONT);
	TRY("signal a process of its user's", SYS_kill, peer, SIGCONT);
	TRY("signal it by tgkill()", SYS_tgkill, peer, peer, SIGCONT);
	TRY("signal it by sigqueue()", SYS_rt_sigqueueinfo, peer, SIGCONT, NULL);
	fd = syscall(SYS_pidfd_open, peer, 0);
	TRY("signal it by its descriptor", SYS_pidfd_send_signal, fd, SIGCONT, NULL, 0);
	TRY_FD("take a descriptor of it", SYS_pidfd_getfd, fd, 0, 0);
	if (fd >= 0)
		close(fd);
	fd = find_fd("socket:");
	TRY("have it signalled about a socket", SYS_fcntl, fd, F_SETOWN, peer);
	TRY("trace the privileged process", SYS_ptrace, PTRACE_SEIZE, broker, NULL, NULL);
	syscall(SYS_ptrace, PTRACE_DETACH, broker, NULL, NULL);
	TRY("trace a process of its user's", SYS_ptrace, PTRACE_SEIZE, peer, NULL, NULL);
	syscall(SYS_ptrace, PTRACE_DETACH, peer, NULL, NULL);
	TRY("read the privileged process' memory", SYS_process_vm_readv, broker, &here, 1, &there,
	    1, 0);
	TRY("write the privileged process' memory", SYS_process_vm_writev, broker, &here, 1, &there,
	    0, 0);
	snprintf(path, sizeof(path), "/proc/%d/mem", broker);
	TRY_FD("open its memory", SYS_openat, AT_FDCWD, path, O_RDONLY);
	snprintf(path, sizeof(path), "/proc/%d/environ", broker);
	TRY_FD("open its environment", SYS_openat, AT_FDCWD, path, O_RDONLY);
	snprintf(path, sizeof(path), "/proc/%d/fd/2", broker);
	TRY_FD("open its descriptors", SYS_openat, AT_FDCWD, path, O_RDONLY);
	TRY_FD("enter its namespaces", SYS_setns, broker, 0);
	TRY("change its limits", SYS_prlimit64, broker, 7, &here, NULL);
	TRY("change the scheduling of its user's process", SYS_sched_setscheduler, peer,
	    SCHED_BATCH, &(struct sched_param){});
	TRY("... its CPUs", SYS_sched_setaffinity, peer, 0, NULL);
	child = syscall(SYS_fork);
	if (!child)
		_exit(0);
	result("fork", child);
	child = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (!child)
		_exit(0);
	result("clone a process", child);
	child = syscall(SYS_clone3, &(struct clone_args){ .exit_signal = SIGCHLD },
			sizeof(struct clone_args));
	if (!child)
		_exit(0);
	result("clone it by clone3()", child);
	TRY("execute", SYS_execve, "/nowhere/file", NULL, NULL);
	TRY("execute a descriptor", SYS_execveat, -1, "", NULL, NULL, 0x1000);
}

static void try_rights(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {};
	void *code, *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				 -1, 0);

	TRY("become root", SYS_setuid, 0);
	TRY("become another group", SYS_setgid, 0);
	TRY("take groups", SYS_setgroups, 0, NULL);
	TRY("take capabilities", SYS_capset, &head, data);
	TRY("be dumpable", SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
	TRY("unshare a user namespace", SYS_unshare, -1);
	TRY("replace the filter", SYS_seccomp, 1, 0, NULL);
	TRY("make code", SYS_mprotect, page, 4096, PROT_READ | PROT_EXEC);
	code = mmap(NULL, 4096, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	result("map code", code == MAP_FAILED ? -1 : 0);
	if (code != MAP_FAILED)
		munmap(code, 4096);
	if (page != MAP_FAILED)
		munmap(page, 4096);
}

static void try_sockets(void)
{
	const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "/nowhere/socket" };
	int fd = find_fd("socket:"), pair[2];

	TRY_FD("a socket of this host", SYS_socket, AF_UNIX, SOCK_STREAM, 0);
	TRY_FD("a socket of the network", SYS_socket, AF_INET, SOCK_STREAM, 0);
	TRY_FD("a raw socket", SYS_socket, AF_PACKET, SOCK_RAW, 0);
	TRY_FD("a socket to the kernel", SYS_socket, AF_NETLINK, SOCK_RAW, 0);
	TRY("a pair of sockets", SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, pair);
	TRY("connect the socket it has", SYS_connect, fd, &address, sizeof(address));
	TRY("bind it", SYS_bind, fd, &address, sizeof(address));
	TRY("listen", SYS_listen, fd, 1);
	TRY_FD("accept", SYS_accept4, -1, NULL, NULL, 0);
}

static void try_bpf(void)
{
	const struct bpf_insn exit_0[] = { { .code = BPF_ALU64 | BPF_MOV | BPF_K },
					   { .code = BPF_JMP | BPF_EXIT } };
	union bpf_attr map = {
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1
	};
	union bpf_attr prog = { .prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
				.insn_cnt = 2,
				.insns = (uintptr_t)exit_0,
				.license = (uintptr_t) "GPL" };
	union bpf_attr kprobe = { .prog_type = BPF_PROG_TYPE_KPROBE,
				  .insn_cnt = 2,
				  .insns = (uintptr_t)exit_0,
				  .license = (uintptr_t) "GPL" };
	union bpf_attr none = {};
	static const struct {
		int command;
		const char *name;
	} commands[] = {
		{ BPF_OBJ_PIN, "pin an object" },
		{ BPF_OBJ_GET, "open a pinned object" },
		{ BPF_PROG_ATTACH, "attach a program" },
		{ BPF_PROG_GET_FD_BY_ID, "open another's program" },
		{ BPF_MAP_GET_FD_BY_ID, "open another's map" },
		{ BPF_LINK_GET_FD_BY_ID, "open another's link" },
		{ BPF_RAW_TRACEPOINT_OPEN, "attach to a tracepoint" },
		{ BPF_BTF_LOAD, "load types" },
		{ BPF_LINK_CREATE, "attach by a link" },
		{ BPF_LINK_UPDATE, "change a link" },
		{ BPF_LINK_DETACH, "detach a link" },
		{ BPF_TASK_FD_QUERY, "ask about another's perf events" },
		{ BPF_ENABLE_STATS, "switch statistics on" },
		{ BPF_MAP_FREEZE, "freeze a map" },
	};
	struct perf_event_attr event = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(event) };

	TRY_FD("make a BPF map", SYS_bpf, BPF_MAP_CREATE, &map, sizeof(map));
	TRY_FD("load a BPF program", SYS_bpf, BPF_PROG_LOAD, &prog, sizeof(prog));
	TRY_FD("load one that traces", SYS_bpf, BPF_PROG_LOAD, &kprobe, sizeof(kprobe));
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		union bpf_attr attr = none;

		/* Nothing of what is really there. */
		memset(&attr, 0xff, 16);
		TRY_FD(commands[i].name, SYS_bpf, commands[i].command, &attr, 16);
	}
	TRY_FD("open a perf event", SYS_perf_event_open, &event, 1, -1, -1, 0);
}

static void try_kernel(void)
{
	int kvm = open("/dev/kvm", O_RDONLY | O_CLOEXEC);

	if (kvm >= 0) {
		TRY_FD("make a VM", SYS_ioctl, kvm, 0xae01, 0);
		close(kvm);
	}
	TRY("type into a terminal", SYS_ioctl, 0, TIOCSTI, "x");
	TRY("set the clock", SYS_clock_settime, 99, NULL);
	TRY("load a module", SYS_init_module, NULL, 0, "");
	TRY("load one from a file", SYS_finit_module, -1, "", 0);
	TRY("remove a module", SYS_delete_module, "nowhere", 0);
	TRY("load a kernel", SYS_kexec_load, 0, 17, NULL, 0);
	TRY("restart the host", SYS_reboot, 0, 0, 0, NULL);
	TRY("read the kernel's log", SYS_syslog, 10, NULL, 0);
	TRY("switch swap off", SYS_swapoff, "/nowhere/file");
	TRY("set the host's name", SYS_sethostname, NULL, -1);
	TRY("take ports", SYS_iopl, 4);
	TRY_FD("io_uring", SYS_io_uring_setup, 0, NULL);
	TRY_FD("userfaultfd", SYS_userfaultfd, -1);
	TRY("keys", SYS_keyctl, -1, 0, 0, 0, 0);
	TRY_FD("watch files", SYS_inotify_init1, -1);
	TRY_FD("watch the whole host's files", SYS_fanotify_init, -1, 0);
	TRY_FD("open a file by its handle", SYS_open_by_handle_at, -1, NULL, 0);
}

/* What the privileged process is asked: it does what it is there for, and not more. */
static void try_questions(const struct attach_env *env, const struct watch_options *opts)
{
	const struct chosen *c = opts->chosen;
	struct handed handed;
	struct process_files files;
	int fd = find_fd("socket:"), err;
	struct {
		uint32_t question, index;
		int32_t number;
	} request = { 1000, 0, 0 };

	if (send(fd, &request, sizeof(request), MSG_NOSIGNAL) != sizeof(request) ||
	    recv(fd, &handed, sizeof(handed), 0) != sizeof(handed))
		handed.err = 0;
	errno = handed.err == -EINVAL ? EPERM : 0;
	result("broker: a question that there is not", errno ? -1 : 0);
	for (request.question = 2; request.question < 10; request.question++) {
		request.index = opts->nr_chosen + 7;
		if (send(fd, &request, sizeof(request), MSG_NOSIGNAL) != sizeof(request) ||
		    recv(fd, &handed, sizeof(handed), 0) != sizeof(handed) || handed.err != -EINVAL)
			break;
	}
	errno = EPERM;
	result("broker: a monitor that there is not", request.question == 10 ? -1 : 0);
	err = broker__new_recording(env->broker, 0, files.exe, sizeof(files.exe));
	errno = EPERM;
	result("broker: a recording that nobody may begin", err < 0 ? -1 : 0);
	err = broker__open_process(env->broker, -1, &files);
	errno = EPERM;
	result("broker: a process that there is not", err ? -1 : 0);
	err = broker__reattach(env->broker, c, UINT32_MAX, &handed);
	handed__close(&handed);
	errno = EPERM;
	result("broker: hooks of a monitor that is not loaded", err ? -1 : 0);
	err = broker__attach(env->broker, c, &handed);
	handed__close(&handed);
	errno = EPERM;
	result("broker: attaching one that is not loaded", err ? -1 : 0);
}

/* In its place. The last thing that it does may end it. */
/* NOLINTNEXTLINE(bugprone-reserved-identifier) */
int __wrap_loop__watch(struct attach_env *env, const struct watch_options *opts)
{
	pid_t broker = find_broker();

	printf("the privileged process is %d, the socket %d\n", broker, find_fd("socket:"));
	try_files();
	try_processes(broker);
	try_sockets();
	try_bpf();
	try_kernel();
	try_questions(env, opts);
	try_rights();
	printf("all is tried\n");
	fflush(stdout);
#ifdef __x86_64__
	if (getenv("OLD_CALLS")) {
		long ret;

		/* getpid() as a 32-bit program calls it, which the filter knows nothing of. */
		__asm__ volatile("int $0x80"
				 : "=a"(ret)
				 : "a"(20L)
				 : "memory", "r8", "r9", "r10", "r11");
		printf("REACHED a call of 32-bit programs (%ld)\n", ret);
		fflush(stdout);
	}
#endif
	return 0;
}
