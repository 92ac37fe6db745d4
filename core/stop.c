// SPDX-License-Identifier: GPL-2.0-only
#include "stop.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

enum { EXIT_GIVEN_UP = 1, EXIT_OF_SIGNAL = 128 };

/* So long at most, whatever it computes. */
#define MOST_NS (60ULL * NSEC_PER_SEC)

enum { WAIT_SIGNAL, WAIT_DEADLINE, WAIT_CLOSE, NR_WAITS };

/* There is one process to end, and so one of these. */
static struct {
	bool open;
	pthread_t thread;
	sigset_t old;
	int fds[NR_WAITS];
	int wanted_fd;
	bool safe;	     /* nothing can be lost any more */
	bool wanted;	     /* written by the thread */
	uint64_t due_ns;     /* 0: not known */
	uint64_t due_cpu_ns; /* the process's CPU time then; 0: it is not due yet */
	pthread_mutex_t words_lock;
	void (*write)(void *ctx, char *text, size_t size);
	void *ctx;
} stop = {
	.fds = { -1, -1, -1 },
	.wanted_fd = -1,
	.words_lock = PTHREAD_MUTEX_INITIALIZER,
};

static sigset_t signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	return set;
}

/* Not through stdio: whoever hangs may hold its lock. And not where stderr stalls as well. */
static void write_words(const char *text, size_t len)
{
	struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };

	if (poll(&out, 1, 0) == 1 && !(out.revents & (POLLERR | POLLNVAL)))
		(void)!write(STDERR_FILENO, text, len);
}

static uint64_t cpu_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * NSEC_PER_SEC + used.tv_nsec;
}

/*
 * How long it has not computed since the end was due: it waited for a reader or
 * the kernel. On a slow machine, what the end takes it computes.
 */
static uint64_t waited_ns(void)
{
	uint64_t due_cpu_ns = __atomic_load_n(&stop.due_cpu_ns, __ATOMIC_ACQUIRE);
	uint64_t since_ns, used_ns;

	if (!due_cpu_ns)
		return 0;
	since_ns = clock__ns() - stop.due_ns;
	used_ns = cpu_ns() - due_cpu_ns;
	if (since_ns > MOST_NS)
		return since_ns;
	return since_ns > used_ns ? since_ns - used_ns : 0;
}

_Noreturn static void give_up(void)
{
	static const char head[] =
		"kvm_watcher: gave up: the output is blocked, or the kernel does not respond";
	size_t len = strlen(head);
	char text[PIPE_BUF];

	memcpy(text, head, sizeof(head));
	/* Who sets the words may hang with the lock. */
	if (!pthread_mutex_trylock(&stop.words_lock) && stop.write)
		stop.write(stop.ctx, text + len, sizeof(text) - len - 1);
	len = strlen(text);
	text[len] = '\n';
	write_words(text, len + 1);
	_exit(EXIT_GIVEN_UP);
}

/* It is due now, or the grace may be over. */
static void on_deadline(void)
{
	uint64_t expired, waited, grace_ns = (uint64_t)STOP_GRACE_MS * NSEC_PER_MSEC;

	/* Set anew meanwhile. */
	if (read(stop.fds[WAIT_DEADLINE], &expired, sizeof(expired)) != sizeof(expired))
		return;
	if (__atomic_load_n(&stop.safe, __ATOMIC_ACQUIRE))
		return;
	if (!stop.due_cpu_ns)
		__atomic_store_n(&stop.due_cpu_ns, cpu_ns(), __ATOMIC_RELEASE);
	waited = waited_ns();
	if (waited >= grace_ns)
		give_up();
	clock__set_timer(stop.fds[WAIT_DEADLINE], clock__ns() + grace_ns - waited);
}

static void on_signal(void)
{
	const uint64_t one = 1;
	struct signalfd_siginfo info;

	if (read(stop.fds[WAIT_SIGNAL], &info, sizeof(info)) != sizeof(info))
		return;
	if (stop.wanted)
		_exit(EXIT_OF_SIGNAL + info.ssi_signo);
	stop__due(clock__ns());
	__atomic_store_n(&stop.wanted, true, __ATOMIC_SEQ_CST);
	(void)!write(stop.wanted_fd, &one, sizeof(one));
}

static void *wait_for_end(void *unused)
{
	struct pollfd waits[NR_WAITS];

	for (int i = 0; i < NR_WAITS; i++)
		waits[i] = (struct pollfd){ .fd = stop.fds[i], .events = POLLIN };
	for (;;) {
		if (poll(waits, NR_WAITS, -1) < 0)
			continue;
		if (waits[WAIT_CLOSE].revents)
			return unused;
		if (waits[WAIT_SIGNAL].revents)
			on_signal();
		else if (waits[WAIT_DEADLINE].revents)
			on_deadline();
	}
}

/* With a stack of its own size, whatever others have. */
static int start_thread(void)
{
	enum { STACK_SIZE = 256 << 10 };
	pthread_attr_t attr;
	int err = pthread_attr_init(&attr);

	if (err)
		return err;
	err = pthread_attr_setstacksize(&attr, STACK_SIZE);
	if (!err)
		err = pthread_create(&stop.thread, &attr, wait_for_end, NULL);
	pthread_attr_destroy(&attr);
	return err;
}

int stop__open(void)
{
	const sigset_t set = signals();
	int err;

	/* A reader that is gone shows as an error of the write. */
	signal(SIGPIPE, SIG_IGN);
	pthread_sigmask(SIG_BLOCK, &set, &stop.old);
	stop.open = true;
	stop.wanted = stop.safe = false;
	stop.due_ns = stop.due_cpu_ns = 0;
	stop.fds[WAIT_SIGNAL] = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	stop.fds[WAIT_DEADLINE] = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	stop.fds[WAIT_CLOSE] = eventfd(0, EFD_CLOEXEC);
	stop.wanted_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = -errno;
	if (stop.fds[WAIT_SIGNAL] >= 0 && stop.fds[WAIT_DEADLINE] >= 0 &&
	    stop.fds[WAIT_CLOSE] >= 0 && stop.wanted_fd >= 0)
		err = -start_thread();
	if (!err)
		return 0;
	stop.thread = 0;
	stop__close();
	return err;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void stop__close(void)
{
	const uint64_t one = 1;

	if (!stop.open)
		return;
	if (stop.thread && write(stop.fds[WAIT_CLOSE], &one, sizeof(one)) == sizeof(one))
		pthread_join(stop.thread, NULL);
	for (int i = 0; i < NR_WAITS; i++)
		close_fd(&stop.fds[i]);
	close_fd(&stop.wanted_fd);
	stop__set_last_words(NULL, NULL);
	pthread_sigmask(SIG_SETMASK, &stop.old, NULL);
	stop.thread = 0;
	stop.open = false;
}

int stop__fd(void)
{
	return stop.wanted_fd;
}

bool stop__is_wanted(void)
{
	return __atomic_load_n(&stop.wanted, __ATOMIC_SEQ_CST);
}

void stop__due(uint64_t at_ns)
{
	uint64_t due_ns = __atomic_load_n(&stop.due_ns, __ATOMIC_RELAXED);

	/* The first reason to end is the one that counts. */
	if (due_ns && due_ns <= at_ns)
		return;
	__atomic_store_n(&stop.due_ns, at_ns, __ATOMIC_RELAXED);
	clock__set_timer(stop.fds[WAIT_DEADLINE], at_ns);
}

bool stop__goes_on(void)
{
	if (!__atomic_load_n(&stop.due_cpu_ns, __ATOMIC_ACQUIRE))
		return false;
	__atomic_store_n(&stop.due_cpu_ns, cpu_ns(), __ATOMIC_RELEASE);
	__atomic_store_n(&stop.due_ns, clock__ns(), __ATOMIC_RELEASE);
	clock__set_timer(stop.fds[WAIT_DEADLINE],
			 clock__ns() + (uint64_t)STOP_GRACE_MS * NSEC_PER_MSEC);
	return true;
}

bool stop__is_late(void)
{
	return waited_ns() > (uint64_t)STOP_GRACE_MS / 2 * NSEC_PER_MSEC;
}

void stop__is_safe(void)
{
	__atomic_store_n(&stop.safe, true, __ATOMIC_RELEASE);
}

void stop__set_last_words(void (*write)(void *ctx, char *text, size_t size), void *ctx)
{
	pthread_mutex_lock(&stop.words_lock);
	stop.write = write;
	stop.ctx = ctx;
	pthread_mutex_unlock(&stop.words_lock);
}
