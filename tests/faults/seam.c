// SPDX-License-Identifier: GPL-2.0-only
/*
 * In a whole program the environment arms it: FAULT=N, of the kinds in FAULT_KINDS (letters, all
 * without it): m memory, j objects of json-c, k the kernel's objects, b BPF, f files. FAULT_LOG
 * names a file that gets a line: how many sites there were, and the kind and address of the one
 * that failed.
 */
#include "seam.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <json-c/json.h>

enum { MOST_SITES = 1 << 14 };

/* All processes of a run have it. */
static struct shared {
	atomic_flag busy;
	unsigned int armed, nr;
	char kind;
	uintptr_t struck, begin;
	uintptr_t sites[MOST_SITES];
} * shared;

static const char *kinds;
static pid_t owner;
static int log_fd = -1;

/* NOLINTNEXTLINE(bugprone-reserved-identifier): the linker makes it */
extern const char __executable_start;

static void open_shared(void)
{
	void *at = (void *)syscall(SYS_mmap, NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		_exit(99);
	shared = at;
	shared->begin = (uintptr_t)&__executable_start;
}

void faults__arm(unsigned int number)
{
	if (!shared)
		open_shared();
	memset(shared->sites, 0, sizeof(shared->sites));
	shared->nr = 0;
	shared->struck = 0;
	shared->armed = number;
}

unsigned int faults__sites(void)
{
	return shared->nr;
}

bool faults__struck(void)
{
	return shared->struck;
}

__attribute__((constructor)) static void arm_by_environment(void)
{
	const char *number = getenv("FAULT"), *path = getenv("FAULT_LOG");

	if (!number)
		return;
	kinds = getenv("FAULT_KINDS");
	if (path)
		log_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	owner = getpid();
	faults__arm(atoi(number));
}

__attribute__((destructor)) static void tell(void)
{
	char line[128];
	int len;

	if (!shared || log_fd < 0 || getpid() != owner)
		return;
	len = snprintf(line, sizeof(line), "%u %c %#lx\n", shared->nr, shared->kind ?: '-',
		       shared->struck ? (unsigned long)(shared->struck - shared->begin) : 0UL);
	syscall(SYS_write, log_fd, line, len);
}

/* The call from there is to fail. */
static bool strikes(char kind, const void *from)
{
	uintptr_t site = (uintptr_t)from;
	size_t at = site * 0x9e3779b97f4a7c15ULL >> 50;
	bool is_new = false, hit;

	if (!shared || (kinds && !strchr(kinds, kind)))
		return false;
	while (atomic_flag_test_and_set(&shared->busy))
		;
	while (shared->sites[at] && shared->sites[at] != site)
		at = (at + 1) % MOST_SITES;
	if (!shared->sites[at] && shared->nr < MOST_SITES / 2) {
		shared->sites[at] = site;
		shared->nr++;
		is_new = true;
	}
	hit = is_new && shared->nr == shared->armed;
	if (hit) {
		shared->struck = site;
		shared->kind = kind;
	}
	atomic_flag_clear(&shared->busy);
	return hit;
}

#define STRIKES(_kind) strikes(_kind, __builtin_return_address(0))

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker makes these names. */
#define SEAM(_kind, _type, _name, _failed, _errno, _parameters, ...) \
	_type __real_##_name _parameters;                            \
	_type __wrap_##_name _parameters;                            \
	_type __wrap_##_name _parameters                             \
	{                                                            \
		if (STRIKES(_kind)) {                                \
			errno = _errno;                              \
			return _failed;                              \
		}                                                    \
		return __real_##_name(__VA_ARGS__);                  \
	}

SEAM('m', void *, malloc, NULL, ENOMEM, (size_t size), size)
SEAM('m', void *, calloc, NULL, ENOMEM, (size_t nr, size_t size), nr, size)
SEAM('m', void *, realloc, NULL, ENOMEM, (void *old, size_t size), old, size)
SEAM('m', void *, reallocarray, NULL, ENOMEM, (void *old, size_t nr, size_t size), old, nr, size)
SEAM('m', char *, strdup, NULL, ENOMEM, (const char *text), text)
#define SEAM_OF_JSON(_of, _parameters, ...)                                               \
	SEAM('j', struct json_object *, json_object_new_##_of, NULL, ENOMEM, _parameters, \
	     __VA_ARGS__)
SEAM_OF_JSON(object, (void), )
SEAM_OF_JSON(array, (void), )
SEAM_OF_JSON(string, (const char *text), text)
SEAM_OF_JSON(boolean, (json_bool value), value)
SEAM_OF_JSON(double, (double value), value)
SEAM_OF_JSON(int, (int32_t value), value)
SEAM_OF_JSON(int64, (int64_t value), value)
SEAM_OF_JSON(uint64, (uint64_t value), value)
SEAM('f', FILE *, fopen, NULL, EMFILE, (const char *path, const char *mode), path, mode)
SEAM('f', FILE *, fdopen, NULL, ENOMEM, (int fd, const char *mode), fd, mode)
SEAM('f', DIR *, fdopendir, NULL, ENOMEM, (int fd), fd)
SEAM('f', ssize_t, read, -1, EIO, (int fd, void *to, size_t size), fd, to, size)
SEAM('f', ssize_t, write, -1, ENOSPC, (int fd, const void *from, size_t size), fd, from, size)
SEAM('k', int, epoll_create1, -1, EMFILE, (int flags), flags)
SEAM('k', int, eventfd, -1, EMFILE, (unsigned int value, int flags), value, flags)
SEAM('k', int, timerfd_create, -1, EMFILE, (int clock, int flags), clock, flags)
SEAM('k', int, socketpair, -1, EMFILE, (int domain, int type, int protocol, int pair[2]), domain,
     type, protocol, pair)
SEAM('k', pid_t, fork, -1, EAGAIN, (void), )
SEAM('k', void *, mmap, MAP_FAILED, ENOMEM,
     (void *at, size_t size, int prot, int flags, int fd, off_t offset), at, size, prot, flags, fd,
     offset)

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
			  void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
			  void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
			  void *arg)
{
	return STRIKES('k') ? EAGAIN : __real_pthread_create(thread, attr, run, arg);
}

/* Arguments are passed on that may not be there. */
#define UNCHECKED __attribute__((no_sanitize_address))

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
UNCHECKED int __wrap_open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	if (STRIKES('f')) {
		errno = EMFILE;
		return -1;
	}
	va_start(args, flags);
	mode = va_arg(args, int);
	va_end(args);
	return __real_open(path, flags, mode);
}

int __real_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
UNCHECKED int __wrap_openat(int dir, const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	if (STRIKES('f')) {
		errno = EMFILE;
		return -1;
	}
	va_start(args, flags);
	mode = va_arg(args, int);
	va_end(args);
	return __real_openat(dir, path, flags, mode);
}

long __real_syscall(long nr, ...);
long __wrap_syscall(long nr, ...);
/* libbpf has one site for bpf(): its commands are sites of their own. */
UNCHECKED long __wrap_syscall(long nr, ...)
{
	const char *from = __builtin_return_address(0);
	va_list args;
	long a[6];

	va_start(args, nr);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (nr == SYS_bpf && strikes('b', from + a[0] * 0x100000)) {
		errno = EPERM;
		return -1;
	}
	return __real_syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}
/* NOLINTEND(bugprone-reserved-identifier) */
