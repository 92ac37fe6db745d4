// SPDX-License-Identifier: GPL-2.0-only
#include "limits.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../compat/host.h"
#include "log.h"

/* What all monitors together take in one process, and as much again. */
enum { NEED_FILES = 512 };
#define NEED_STACK (1024UL << 10)
/* The kernel's types are read whole to load an object: twice some MiB. */
#define NEED_MEMORY (48UL << 20)

static bool always(void)
{
	return true;
}

/* Nothing but that limit forbids maps. */
static bool locks_maps(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	return host__locks_maps() && !syscall(SYS_capget, &head, data) &&
	       (data[0].effective >> CAP_SYS_ADMIN & 1 || data[1].effective >> (CAP_BPF - 32) & 1);
}

static const struct limit {
	int err;
	int resource;
	const char *option; /* ulimit's */
	rlim_t unit;	    /* of that option */
	bool (*applies)(void);
} limits[] = {
	{ EMFILE, RLIMIT_NOFILE, "-n", 1, always },
	{ ENOMEM, RLIMIT_AS, "-v", 1024, always },
	{ ENOMEM, RLIMIT_DATA, "-d", 1024, always },
	{ EFBIG, RLIMIT_FSIZE, "-f", 1024, always },
	{ EAGAIN, RLIMIT_NPROC, "-u", 1, always },
	/* Before Linux 5.11 maps are locked memory. */
	{ EPERM, RLIMIT_MEMLOCK, "-l", 1024, locks_maps },
};
enum { NR_LIMITS = sizeof(limits) / sizeof(*limits) };

static int raise_to(int resource, rlim_t need)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit))
		return -errno;
	if (limit.rlim_cur >= need)
		return 0;
	limit.rlim_cur = need;
	if (limit.rlim_max < need)
		limit.rlim_max = need;
	return setrlimit(resource, &limit) ? -errno : 0;
}

/* As say() would, but for what that takes of a stack. */
static void say_stack(void)
{
	static const char text[] =
		"kvm_watcher: the stack is too small: raise ulimit -s to 1024 or "
		"more\n";

	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
}

int limits__raise(void)
{
	int err = raise_to(RLIMIT_STACK, NEED_STACK);

	signal(SIGXFSZ, SIG_IGN);
	if (err) {
		say_stack();
		return err;
	}
	err = raise_to(RLIMIT_NOFILE, NEED_FILES);
	if (err)
		say("the limit on open files is too low: raise ulimit -n to %d or more",
		    NEED_FILES);
	return err;
}

int limits__check_memory(void)
{
	void *room = mmap(NULL, NEED_MEMORY, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (room == MAP_FAILED)
		return -ENOMEM;
	munmap(room, NEED_MEMORY);
	return 0;
}

/* The limit has a value, and may be why something was refused with that errno. */
static bool is_cause(const struct limit *l, int err, struct rlimit *is)
{
	return l->err == -err && !getrlimit(l->resource, is) && is->rlim_cur != RLIM_INFINITY &&
	       l->applies();
}

bool limits__is_shortage(int err)
{
	struct rlimit is;

	if (err == -EPERM)
		return is_cause(&limits[NR_LIMITS - 1], err, &is);
	return err == -ENOMEM || err == -EMFILE || err == -ENFILE;
}

const char *limits__reason(int err)
{
	static char text[512];
	size_t len;

	/* A thread that finds no room for its stack is refused with EAGAIN, too. */
	if (err == -EAGAIN && limits__check_memory())
		err = -ENOMEM;
	len = snprintf(text, sizeof(text), "%s", strerror(-err));

	for (size_t i = 0; i < NR_LIMITS; i++) {
		const struct limit *l = &limits[i];
		struct rlimit is;

		if (is_cause(l, err, &is) && len < sizeof(text))
			len += snprintf(text + len, sizeof(text) - len,
					": ulimit %s is %" PRIu64 ", raise it", l->option,
					(uint64_t)(is.rlim_cur / l->unit));
	}
	return text;
}
