// SPDX-License-Identifier: GPL-2.0-only
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "../core/clock.h"
#include "../core/log.h"

enum {
	STACK_SIZE = 1 << 20,
	MOST_CAUGHT = 1 << 16,
	SETTLE_MS = 150, /* what passes by sooner is not measured */
};

enum { WAIT_KEYS, WAIT_WAKE, WAIT_SIGNALS, WAIT_MESSAGES, NR_WAITS };

struct top {
	struct top_options opts;
	struct ui *ui;
	pthread_t thread;
	int wake, changed, signals;
	bool stops; /* by others: the end is wanted */

	pthread_mutex_t lock; /* of these */
	struct ui_requests requests;
	struct ui_status status;
	bool has_status;

	struct wanted wanted; /* as it was last asked for */
	uint64_t wanted_ns;   /* since when it is another one; 0: it is not */
	uint64_t tick_ns;
};

/* There is one stderr. */
static struct {
	int real, fd;
	char text[MOST_CAUGHT];
	size_t len, told;
} caught = { .real = -1, .fd = -1 };

/* Messages */

int top__catch_messages(void)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	caught.real = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	if (caught.real < 0 || dup3(fds[1], STDERR_FILENO, 0) < 0) {
		int err = -errno;

		close(fds[0]);
		close(fds[1]);
		return err;
	}
	close(fds[1]);
	caught.fd = fds[0];
	return 0;
}

static void read_messages(void)
{
	ssize_t len;

	while (caught.fd >= 0 && caught.len < sizeof(caught.text)) {
		len = read(caught.fd, caught.text + caught.len, sizeof(caught.text) - caught.len);
		if (len <= 0)
			return;
		caught.len += len;
	}
}

void top__release_messages(void)
{
	if (caught.fd < 0)
		return;
	fflush(stderr);
	read_messages();
	dup3(caught.real, STDERR_FILENO, 0);
	close(caught.real);
	close(caught.fd);
	caught.real = caught.fd = -1;
	(void)!write(STDERR_FILENO, caught.text, caught.len);
	caught.len = caught.told = 0;
}

/* Whole lines, without the program's name. */
static void tell_messages(struct top *top)
{
	static const char lead[] = "kvm_watcher: ";
	char line[512];

	read_messages();
	for (;;) {
		const char *begin = caught.text + caught.told,
			   *end = memchr(begin, '\n', caught.len - caught.told);
		size_t len;

		if (!end)
			return;
		len = end - begin;
		caught.told += len + 1;
		if (len >= sizeof(lead) - 1 && !strncmp(begin, lead, sizeof(lead) - 1)) {
			begin += sizeof(lead) - 1;
			len -= sizeof(lead) - 1;
		}
		snprintf(line, sizeof(line), "%.*s", (int)len, begin);
		ui__say(top->ui, line);
	}
}

/* Signals */

static sigset_t signals_of(bool all)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	sigaddset(&set, SIGTSTP);
	sigaddset(&set, SIGCONT);
	if (all) {
		sigaddset(&set, SIGINT);
		sigaddset(&set, SIGTERM);
		sigaddset(&set, SIGHUP);
	}
	return set;
}

void top__block_signals(void)
{
	const sigset_t set = signals_of(false);

	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* As the shell expects it; a group without a shell is not stopped by this signal. */
static bool suspend(struct top *top)
{
	sigset_t stop;

	term__stop(top->opts.term);
	sigemptyset(&stop);
	sigaddset(&stop, SIGTSTP);
	raise(SIGTSTP);
	pthread_sigmask(SIG_UNBLOCK, &stop, NULL);
	pthread_sigmask(SIG_BLOCK, &stop, NULL);
	return term__start(top->opts.term);
}

/* False: it is over. */
static bool read_signals(struct top *top)
{
	struct signalfd_siginfo info;

	while (read(top->signals, &info, sizeof(info)) == sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGTSTP:
			if (!suspend(top))
				return false;
			break;
		case SIGCONT:
		/* It may have had another size for a moment, and what was cut off is gone. */
		case SIGWINCH:
			term__forget(top->opts.term);
			break;
		default:
			return false;
		}
	}
	return true;
}

/* The thread */

static void signal_fd(int fd)
{
	const uint64_t one = 1;

	(void)!write(fd, &one, sizeof(one));
}

static bool same_wanted(const struct wanted *a, const struct wanted *b)
{
	return a->monitors == b->monitors && a->detail == b->detail && a->slow == b->slow;
}

/* What is looked at in passing is not attached. */
static void send_requests(struct top *top)
{
	struct ui_requests now = ui__requests(top->ui);
	uint64_t ns = clock__ns();
	bool changed;

	if (same_wanted(&now.wanted, &top->wanted))
		top->wanted_ns = 0;
	else if (!top->wanted_ns)
		top->wanted_ns = ns;
	if (top->wanted_ns && ns - top->wanted_ns >= SETTLE_MS * (uint64_t)NSEC_PER_MSEC) {
		top->wanted = now.wanted;
		top->wanted_ns = 0;
	}
	now.wanted = top->wanted;
	pthread_mutex_lock(&top->lock);
	changed = now.reset || now.quits != top->requests.quits ||
		  now.record_keys != top->requests.record_keys ||
		  now.interval_ns != top->requests.interval_ns ||
		  !same_wanted(&now.wanted, &top->requests.wanted);
	now.reset |= top->requests.reset;
	top->requests = now;
	pthread_mutex_unlock(&top->lock);
	if (changed)
		signal_fd(top->changed);
}

static void take_status(struct top *top)
{
	struct ui_status status;
	bool has;

	pthread_mutex_lock(&top->lock);
	has = top->has_status;
	status = top->status;
	pthread_mutex_unlock(&top->lock);
	if (has)
		ui__set_status(top->ui, &status);
}

static bool draw(struct top *top)
{
	int rows, cols;

	term__size(top->opts.term, &rows, &cols);
	ui__resize(top->ui, rows, cols);
	return term__draw(top->opts.term, ui__draw(top->ui));
}

static int wait_ms(const struct top *top)
{
	int wait = term__wait_ms(top->opts.term), other;
	uint64_t now = clock__ns();

	if (top->wanted_ns && (wait < 0 || wait > SETTLE_MS))
		wait = SETTLE_MS;
	if (ui__plays(top->ui)) {
		other = top->tick_ns > now ? (int)((top->tick_ns - now) / NSEC_PER_MSEC) + 1 : 0;
		wait = wait < 0 || wait > other ? other : wait;
	}
	return wait;
}

static void tick(struct top *top)
{
	uint64_t now = clock__ns();

	if (!ui__plays(top->ui)) {
		top->tick_ns = now + ui__requests(top->ui).interval_ns;
		return;
	}
	if (now < top->tick_ns)
		return;
	ui__tick(top->ui);
	top->tick_ns = now + ui__requests(top->ui).interval_ns;
}

static void read_keys(struct top *top, bool more)
{
	struct key key;

	while (!ui__requests(top->ui).quits && term__key(top->opts.term, more, &key)) {
		if (key.code == KEY_CTRL_L)
			term__forget(top->opts.term);
		ui__key(top->ui, &key);
	}
}

static void show(struct top *top)
{
	struct pollfd waits[NR_WAITS] = {
		[WAIT_KEYS] = { .fd = term__fd(top->opts.term), .events = POLLIN },
		[WAIT_WAKE] = { .fd = top->wake, .events = POLLIN },
		[WAIT_SIGNALS] = { .fd = top->signals, .events = POLLIN },
		[WAIT_MESSAGES] = { .fd = caught.fd, .events = POLLIN },
	};
	uint64_t count;

	top->tick_ns = clock__ns() + ui__requests(top->ui).interval_ns;
	for (;;) {
		int ready;

		if (!draw(top) || __atomic_load_n(&top->stops, __ATOMIC_ACQUIRE))
			return;
		ready = poll(waits, NR_WAITS, wait_ms(top));
		if (ready < 0 && errno != EINTR)
			return;
		if (ready <= 0)
			memset(&waits[0].revents, 0, sizeof(waits[0].revents));
		if (waits[WAIT_KEYS].revents && ready > 0) {
			if (!term__read(top->opts.term))
				return;
			read_keys(top, true);
		} else {
			read_keys(top, false);
		}
		if (ready > 0 && waits[WAIT_WAKE].revents)
			(void)!read(top->wake, &count, sizeof(count));
		if (ready > 0 && waits[WAIT_SIGNALS].revents && !read_signals(top))
			return;
		if (ready > 0 && waits[WAIT_MESSAGES].revents)
			tell_messages(top);
		take_status(top);
		ui__update(top->ui);
		tick(top);
		send_requests(top);
		if (ui__requests(top->ui).quits)
			return;
	}
}

static void *screen(void *arg)
{
	struct top *top = arg;

	if (term__start(top->opts.term))
		show(top);
	term__stop(top->opts.term);
	pthread_mutex_lock(&top->lock);
	top->requests.quits = true;
	pthread_mutex_unlock(&top->lock);
	signal_fd(top->changed);
	return NULL;
}

static int start_thread(struct top *top)
{
	pthread_attr_t attr;
	int err = pthread_attr_init(&attr);

	if (err)
		return err;
	err = pthread_attr_setstacksize(&attr, STACK_SIZE);
	if (!err)
		err = pthread_create(&top->thread, &attr, screen, top);
	pthread_attr_destroy(&attr);
	return err;
}

static void free_top(struct top *top)
{
	ui__free(top->ui);
	if (top->wake >= 0)
		close(top->wake);
	if (top->changed >= 0)
		close(top->changed);
	if (top->signals >= 0)
		close(top->signals);
	pthread_mutex_destroy(&top->lock);
	free(top);
}

struct top *top__start(const struct top_options *opts)
{
	const sigset_t set = signals_of(opts->has_signals);
	struct top *top = calloc(1, sizeof(*top));
	int err;

	if (!top)
		return NULL;
	top->opts = *opts;
	top->opts.ui.ascii = term__is_ascii(opts->term);
	top->opts.ui.blocks = term__has_blocks(opts->term);
	pthread_mutex_init(&top->lock, NULL);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	top->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	top->changed = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	top->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	top->ui = ui__new(&top->opts.ui);
	if (top->ui) {
		top->requests = ui__requests(top->ui);
		top->wanted = top->requests.wanted;
	}
	err = top->ui && top->wake >= 0 && top->changed >= 0 && top->signals >= 0 ?
		      start_thread(top) :
		      ENOMEM;
	if (!err)
		return top;
	say("the screen can't be started: %s", strerror(err));
	free_top(top);
	return NULL;
}

void top__stop(struct top *top)
{
	if (!top)
		return;
	__atomic_store_n(&top->stops, true, __ATOMIC_RELEASE);
	top__wake(top);
	pthread_join(top->thread, NULL);
	free_top(top);
}

void top__wait(struct top *top)
{
	struct pollfd changed = { .fd = top->changed, .events = POLLIN };
	uint64_t count;

	while (!top__requests(top).quits)
		if (poll(&changed, 1, -1) > 0)
			(void)!read(top->changed, &count, sizeof(count));
}

int top__fd(const struct top *top)
{
	return top->changed;
}

struct ui_requests top__requests(struct top *top)
{
	struct ui_requests requests;

	pthread_mutex_lock(&top->lock);
	requests = top->requests;
	top->requests.reset = false;
	pthread_mutex_unlock(&top->lock);
	return requests;
}

void top__set_status(struct top *top, const struct ui_status *status)
{
	pthread_mutex_lock(&top->lock);
	top->status = *status;
	top->has_status = true;
	pthread_mutex_unlock(&top->lock);
	top__wake(top);
}

void top__wake(struct top *top)
{
	signal_fd(top->wake);
}
