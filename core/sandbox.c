// SPDX-License-Identifier: GPL-2.0-only
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "log.h"

enum { NOBODY = 65534, LAST_CAPABILITY = 63 };

static const char user[] = "kvm_watcher";

struct caps {
	uint64_t effective, permitted;
};

static int get_caps(struct caps *caps)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data))
		return -errno;
	caps->effective = data[0].effective | (uint64_t)data[1].effective << 32;
	caps->permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	return 0;
}

static int set_caps(const struct caps *caps)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const struct __user_cap_data_struct data[2] = {
		{ caps->effective, caps->permitted, 0 },
		{ caps->effective >> 32, caps->permitted >> 32, 0 },
	};

	return syscall(SYS_capset, &head, data) ? -errno : 0;
}

/*
 * Asks the kernel, without any capability, about a map that cannot be there. Until
 * Linux 5.19 unprivileged_bpf_disabled refuses all of bpf(), since then what makes things.
 */
static int maps_need_cap(const struct caps *caps, bool *need)
{
	const struct caps idle = { .permitted = caps->permitted };
	uint32_t key = 0, value;
	int err = set_caps(&idle);

	if (err)
		return err;
	*need = bpf_map_lookup_elem(-1, &key, &value) && errno == EPERM;
	return set_caps(caps);
}

/* Our user's numbers in /etc/passwd: "NAME:x:UID:GID:...". A static program has no NSS to ask. */
static void find_user(uid_t *uid, gid_t *gid)
{
	FILE *f = fopen("/etc/passwd", "re");
	unsigned int u, g;
	char line[1024];

	*uid = *gid = NOBODY;
	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, user, strlen(user)) || line[strlen(user)] != ':')
			continue;
		if (sscanf(line + strlen(user), ":%*[^:]:%u:%u:", &u, &g) == 2 && u && g) {
			*uid = u;
			*gid = g;
		}
		break;
	}
	if (f)
		fclose(f);
}

static int become(uid_t uid, gid_t gid)
{
	if (prctl(PR_SET_KEEPCAPS, 1) || setgroups(0, NULL) || setresgid(gid, gid, gid) ||
	    setresuid(uid, uid, uid))
		return -errno;
	return 0;
}

/* Without CAP_SETPCAP the bounding set stays: no_new_privs makes it meaningless. */
static void drop_bounds(uint64_t keep)
{
	for (int cap = 0; cap <= LAST_CAPABILITY; cap++)
		if (!(keep >> cap & 1))
			prctl(PR_CAPBSET_DROP, cap);
}

static int drop_caps(uint64_t keep)
{
	const struct caps kept = { keep, keep };

	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return set_caps(&kept);
}

/* What takes no object but those that are open, and what only reads. */
static const int allowed[] = {
	SCMP_SYS(access),
	SCMP_SYS(arch_prctl),
	SCMP_SYS(brk),
	SCMP_SYS(clock_getres),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(close),
	SCMP_SYS(dup),
	SCMP_SYS(dup3),
	SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(eventfd2),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2),
	SCMP_SYS(fadvise64),
	SCMP_SYS(fdatasync),
	SCMP_SYS(fstat),
	SCMP_SYS(fsync),
	SCMP_SYS(ftruncate),
	SCMP_SYS(futex),
	SCMP_SYS(getcpu),
	SCMP_SYS(getdents64),
	SCMP_SYS(getegid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getpid),
	SCMP_SYS(getppid),
	SCMP_SYS(getrandom),
	SCMP_SYS(getrlimit),
	SCMP_SYS(getrusage),
	SCMP_SYS(gettid),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(getuid),
	SCMP_SYS(lseek),
	SCMP_SYS(lstat),
	SCMP_SYS(madvise),
	SCMP_SYS(membarrier),
	SCMP_SYS(mremap),
	SCMP_SYS(munmap),
	SCMP_SYS(nanosleep),
	SCMP_SYS(newfstatat),
	SCMP_SYS(pidfd_open),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(pread64),
	SCMP_SYS(read),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(readv),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(rseq),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sched_getparam),
	SCMP_SYS(sched_getscheduler),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sendmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(set_tid_address),
	SCMP_SYS(shutdown),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(signalfd4),
	SCMP_SYS(stat),
	SCMP_SYS(statx),
	SCMP_SYS(sync_file_range),
	SCMP_SYS(sysinfo),
	SCMP_SYS(time),
	SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_gettime),
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(uname),
	SCMP_SYS(wait4),
	SCMP_SYS(write),
	SCMP_SYS(writev),
};

/* Of the others, only with these arguments: "argument & mask == value". */
static const struct {
	int call;
	unsigned int arg;
	uint64_t mask, value;
} allowed_if[] = {
	/* Files are read; none is made or written. */
	{ SCMP_SYS(open), 1, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY },
	{ SCMP_SYS(openat), 2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY },
	/* Threads, no processes. */
	{ SCMP_SYS(clone), 0, CLONE_THREAD, CLONE_THREAD },
	/* Whether a process or thread is there; no signal. */
	{ SCMP_SYS(kill), 1, UINT32_MAX, 0 },
	{ SCMP_SYS(tkill), 1, UINT32_MAX, 0 },
	{ SCMP_SYS(tgkill), 2, UINT32_MAX, 0 },
	{ SCMP_SYS(tgkill), 2, UINT32_MAX, SIGABRT },
	/* No F_SETOWN, F_SETSIG: with them whoever holds a socket has signals sent. */
	{ SCMP_SYS(fcntl), 1, UINT32_MAX, F_GETFD },
	{ SCMP_SYS(fcntl), 1, UINT32_MAX, F_SETFD },
	{ SCMP_SYS(fcntl), 1, UINT32_MAX, F_GETFL },
	{ SCMP_SYS(fcntl), 1, UINT32_MAX, F_DUPFD },
	{ SCMP_SYS(fcntl), 1, UINT32_MAX, F_DUPFD_CLOEXEC },
	/* Its own thread: others of this user have theirs. */
	{ SCMP_SYS(sched_setscheduler), 0, UINT32_MAX, 0 },
	/* Data; all code is there. */
	{ SCMP_SYS(mmap), 2, PROT_EXEC, 0 },
	{ SCMP_SYS(mprotect), 2, PROT_EXEC, 0 },
	/* How large the terminal is, and that it is one. */
	{ SCMP_SYS(ioctl), 1, UINT32_MAX, TCGETS },
	{ SCMP_SYS(ioctl), 1, UINT32_MAX, TIOCGWINSZ },
	/* Limits are read. */
	{ SCMP_SYS(prlimit64), 2, UINT64_MAX, 0 },
	/* What is there already: maps, iterators, programs that are run by hand. */
	{ SCMP_SYS(bpf), 0, UINT32_MAX, BPF_MAP_LOOKUP_ELEM },
	{ SCMP_SYS(bpf), 0, UINT32_MAX, BPF_MAP_UPDATE_ELEM },
	{ SCMP_SYS(bpf), 0, UINT32_MAX, BPF_MAP_DELETE_ELEM },
	{ SCMP_SYS(bpf), 0, UINT32_MAX, BPF_MAP_DELETE_BATCH },
	{ SCMP_SYS(bpf), 0, UINT32_MAX, BPF_MAP_GET_NEXT_KEY },
	{ SCMP_SYS(bpf), 0, UINT32_MAX, BPF_MAP_LOOKUP_BATCH },
	{ SCMP_SYS(bpf), 0, UINT32_MAX, BPF_OBJ_GET_INFO_BY_FD },
	{ SCMP_SYS(bpf), 0, UINT32_MAX, BPF_ITER_CREATE },
	{ SCMP_SYS(bpf), 0, UINT32_MAX, BPF_PROG_TEST_RUN },
};

static bool is_screen;

void sandbox__allow_screen(void)
{
	is_screen = true;
}

/* Line by line or key by key; and to stop and to crash as others do. */
static int add_screen_rules(scmp_filter_ctx filter)
{
	static const unsigned int requests[] = { TCSETS, TCSETSW, TCSETSF };
	int err = 0;

	for (size_t i = 0; !err && i < sizeof(requests) / sizeof(*requests); i++)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
				       SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, requests[i]));
	if (!err)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
				       SCMP_A0(SCMP_CMP_EQ, getpid()));
	return err;
}

/* Something listens: what is accepted is read and written like any descriptor. */
static bool is_server;

void sandbox__accept_connections(void)
{
	is_server = true;
}

static int add_rules(scmp_filter_ctx filter)
{
	int err = 0;

	if (is_server)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(accept4), 0);
	for (size_t i = 0; !err && i < sizeof(allowed) / sizeof(*allowed); i++)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
	for (size_t i = 0; !err && i < sizeof(allowed_if) / sizeof(*allowed_if); i++) {
		const struct scmp_arg_cmp compare =
			SCMP_CMP(allowed_if[i].arg, SCMP_CMP_MASKED_EQ, allowed_if[i].mask,
				 allowed_if[i].value);

		err = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, allowed_if[i].call, 1,
					     &compare);
	}
	/* Its arguments are out of a filter's sight: libc then calls clone(). */
	if (!err)
		err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	return !err && is_screen ? add_screen_rules(filter) : err;
}

static int load_filter(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int err = filter ? add_rules(filter) : -ENOMEM;

	/* Calls of 32-bit programs: by default they end one thread alone, and the others go on. */
	if (!err)
		err = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (!err)
		err = seccomp_load(filter);
	seccomp_release(filter);
	return err;
}

/* For core/map.c, where the user may not have a real-time priority. */
static void allow_real_time(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_RTPRIO, &limit) || limit.rlim_cur >= 1)
		return;
	limit.rlim_cur = 1;
	if (limit.rlim_max < 1)
		limit.rlim_max = 1;
	setrlimit(RLIMIT_RTPRIO, &limit);
}

static int refuse(const char *what, int err)
{
	say("%s (%s): --no-sandbox runs with full privileges instead", what, strerror(-err));
	return err;
}

int sandbox__enter(char *text, size_t size)
{
	uid_t uid = getuid();
	gid_t gid = getgid();
	bool need_cap = false;
	struct caps caps = {};
	uint64_t keep;
	int err;

	allow_real_time();
	err = get_caps(&caps);
	if (!err)
		err = maps_need_cap(&caps, &need_cap);
	/* CAP_SYS_ADMIN would do as well; it is not to be kept. */
	if (!err && need_cap && !(caps.permitted >> CAP_BPF & 1)) {
		say("this kernel requires CAP_BPF for each use of a map "
		    "(kernel.unprivileged_bpf_disabled): start kvm_watcher with that capability");
		return -EPERM;
	}
	keep = need_cap ? 1ULL << CAP_BPF : 0;
	/* While there is the right to. */
	drop_bounds(keep);
	if (!err && !geteuid()) {
		find_user(&uid, &gid);
		err = become(uid, gid);
	}
	if (err)
		return refuse("the process can't drop its user's privileges", err);
	err = drop_caps(keep);
	if (!err && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_DUMPABLE, 0)))
		err = -errno;
	if (err)
		return refuse("the process can't drop its capabilities", err);
	err = load_filter();
	if (err)
		return refuse("the process can't restrict its system calls", err);
	snprintf(text, size, "runs as uid %u with %s, no_new_privs and a seccomp filter",
		 (unsigned int)uid, need_cap ? "CAP_BPF alone" : "no capability");
	return 0;
}
