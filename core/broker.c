// SPDX-License-Identifier: GPL-2.0-only
#include "broker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "clock.h"
#include "grace.h"
#include "limits.h"
#include "log.h"
#include "monitor.h"
#include "record.h"
#include "replace.h"
#include "skeleton.h"
#include "tempfile.h"
#include "vcpus.h"
#include "vm.h"

static const char process_name[] = "kvm_watcher-bpf"; /* what ps calls it: 15 characters at most */

struct broker {
	pid_t pid;
	int socket; /* -1: it is gone */
	const struct broker_options *opts;
};

enum question {
	ASK_VCPUS,
	ASK_LISTER,
	ASK_LOAD,
	ASK_LOAD_AGAIN,
	ASK_ATTACH,
	ASK_REATTACH,
	ASK_DETACH,
	ASK_UNLOAD,
	ASK_PROCESS,
	ASK_FILE,
	ASK_STATS,
	ASK_SETTLE,
	ASK_NEW_FILE,
	ASK_REPLACE,
	ASK_RECORDING,
};

struct request {
	uint32_t question;
	uint32_t index; /* of the monitor in chosen[] */
	int32_t number; /* a pid, a mask of modules, a segment */
};

/* In the broker. */
struct server {
	int socket;
	pid_t client;
	const struct broker_options *opts;
	struct attach_env env;
	struct attachment attachments[MAX_MONITORS];
	char recording[64]; /* the name of the last one */
};

/* Messages: a struct, and the descriptors that go with it. */

union control {
	char bytes[CMSG_SPACE(MAX_FDS * sizeof(int))];
	struct cmsghdr align;
};

static int send_handed(int socket, const struct handed *handed)
{
	struct iovec data = { .iov_base = (void *)handed, .iov_len = sizeof(*handed) };
	struct msghdr msg = { .msg_iov = &data, .msg_iovlen = 1 };
	union control control = {};
	int fds[MAX_FDS];
	size_t nr = 0;

	for (size_t i = 0; i < MAX_FDS; i++)
		if (handed->fds[i] >= 0)
			fds[nr++] = handed->fds[i];
	if (nr) {
		struct cmsghdr *head;

		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(nr * sizeof(int));
		head = CMSG_FIRSTHDR(&msg);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(nr * sizeof(int));
		memcpy(CMSG_DATA(head), fds, nr * sizeof(int));
	}
	return sendmsg(socket, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static size_t received_fds(struct msghdr *msg, int fds[MAX_FDS])
{
	struct cmsghdr *head = CMSG_FIRSTHDR(msg);
	size_t nr = 0;

	if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS) {
		nr = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(head), nr * sizeof(int));
	}
	return nr;
}

/* 0, or -EPIPE when there is nobody any more. */
static int receive_handed(int socket, struct handed *handed)
{
	struct iovec data = { .iov_base = handed, .iov_len = sizeof(*handed) };
	union control control;
	struct msghdr msg = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	size_t nr, used = 0;
	int fds[MAX_FDS];
	ssize_t got;

	do {
		got = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	if (got != sizeof(*handed))
		return -EPIPE;
	nr = received_fds(&msg, fds);
	for (size_t i = 0; i < MAX_FDS; i++)
		if (handed->fds[i] >= 0)
			handed->fds[i] = used < nr ? fds[used++] : -1;
	/* Not all fit below this process's limit. */
	if (!handed->err && msg.msg_flags & MSG_CTRUNC)
		handed->err = -EMFILE;
	return 0;
}

static void handed__init(struct handed *handed)
{
	memset(handed, 0, sizeof(*handed));
	for (size_t i = 0; i < MAX_FDS; i++)
		handed->fds[i] = -1;
}

int handed__take(struct handed *handed, size_t place)
{
	int fd = handed->fds[place];

	handed->fds[place] = -1;
	return fd;
}

void handed__close(struct handed *handed)
{
	for (size_t i = 0; i < MAX_FDS; i++)
		if (handed->fds[i] >= 0)
			close(handed->fds[i]);
	handed__init(handed);
}

/* The broker. What it hands over of hooks and maps stays open here as well. */

static void hand_needs(const struct attachment *at, struct handed *handed)
{
	handed->nr_needs = at->nr_needs;
	memcpy(handed->needs, at->needs, sizeof(handed->needs));
}

static void hand_hooks(const struct server *s, const struct attachment *at, struct handed *handed)
{
	for (size_t i = 0; i < at->nr_needs; i++) {
		const struct hook *hook = at->needs[i].hook;

		if (!hook)
			continue;
		if (hook->called_at) {
			enum moment moment = hook__moment(hook);
			struct entry_fds fds;

			/* The program that calls it is the one that is attached. */
			entry__fds(s->env.entry, moment, at->places[moment], &fds);
			handed->fds[FDS_OTHER + entry__head(moment)] = fds.prog;
			handed->fds[FDS_CALLERS + i] = fds.link;
			handed->fds[FDS_LINKS + i] = fds.called_link;
			continue;
		}
		handed->fds[FDS_PROGS + i] = bpf_program__fd(skeleton__prog(at->skel, hook->prog));
		if (at->links[i])
			handed->fds[FDS_LINKS + i] = bpf_link__fd(at->links[i]);
	}
}

static int hand_maps(const struct skeleton *skel, struct handed *handed)
{
	return skeleton__map_fds(skel, &handed->fds[FDS_MAPS], MAX_MAPS) > MAX_MAPS ? -E2BIG : 0;
}

static int load_hooks(struct server *s, size_t index, bool again, struct handed *handed)
{
	struct attachment *at = &s->attachments[index];
	int err;

	if (!again) {
		hooks__unload(at);
		hooks__init(at, &s->env, &s->opts->chosen[index]);
	}
	err = hooks__load(at);
	hand_needs(at, handed);
	if (err)
		return err;
	hand_hooks(s, at, handed);
	return at->skel ? hand_maps(at->skel, handed) : 0;
}

static int attach_hooks(struct server *s, size_t index, struct handed *handed)
{
	struct attachment *at = &s->attachments[index];
	int err = at->state ? hooks__attach(at) : -EINVAL;

	hand_needs(at, handed);
	if (!err)
		hand_hooks(s, at, handed);
	return err;
}

static int reattach_hooks(struct server *s, size_t index, unsigned int modules,
			  struct handed *handed)
{
	struct attachment *at = &s->attachments[index];

	if (!at->skel)
		return -EINVAL;
	hooks__reattach(at, modules);
	hand_needs(at, handed);
	hand_hooks(s, at, handed);
	return 0;
}

static int open_process(pid_t pid, struct handed *handed)
{
	struct process_files files;
	int err = vm__open_process("/proc", pid, &files);

	if (err)
		return err;
	handed->fds[FDS_OTHER] = files.stat;
	handed->fds[FDS_OTHER + 1] = files.cmdline;
	handed->fds[FDS_OTHER + 2] = files.cgroup;
	memcpy(handed->text, files.exe, sizeof(files.exe));
	return 0;
}

static int open_file(const struct server *s, size_t index, struct handed *handed)
{
	int fd = tempfile__create(s->env.temp_dir, s->opts->chosen[index].monitor->name,
				  s->env.format, s->client, handed->text, sizeof(handed->text));

	handed->fds[FDS_OTHER] = fd < 0 ? -1 : fd;
	return fd < 0 ? fd : 0;
}

/* Its segments have its name, too. */
static int open_recording(struct server *s, int segment, struct handed *handed)
{
	int fd = -EINVAL;

	if (s->opts->records)
		fd = record__create(segment, s->recording, sizeof(s->recording));
	snprintf(handed->text, sizeof(handed->text), "%s", s->recording);
	handed->fds[FDS_OTHER] = fd < 0 ? -1 : fd;
	return fd < 0 ? fd : 0;
}

static int hand_fd(struct handed *handed, int fd)
{
	handed->fds[FDS_OTHER] = fd < 0 ? -1 : fd;
	return fd < 0 ? fd : 0;
}

static uint64_t cpu_ns(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * NSEC_PER_SEC +
	       (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
}

/* *given: what is in FDS_OTHER was opened for the one who asks, and is closed here. */
static int answer(struct server *s, const struct request *r, struct handed *handed, bool *given)
{
	struct attachment *at = &s->attachments[r->index];

	*given = false;
	switch (r->question) {
	case ASK_VCPUS:
		vcpus__progs(s->env.vcpus, &handed->fds[FDS_OTHER]);
		return hand_maps(vcpus__skeleton(s->env.vcpus), handed);
	case ASK_LOAD:
	case ASK_LOAD_AGAIN:
		return load_hooks(s, r->index, r->question == ASK_LOAD_AGAIN, handed);
	case ASK_ATTACH:
		return attach_hooks(s, r->index, handed);
	case ASK_REATTACH:
		return reattach_hooks(s, r->index, r->number, handed);
	case ASK_DETACH:
		hooks__detach(at);
		return 0;
	case ASK_UNLOAD:
		hooks__unload(at);
		return 0;
	case ASK_SETTLE:
		handed->cpu_ns = cpu_ns();
		return grace__wait(grace_ways);
	default:
		break;
	}
	*given = true;
	switch (r->question) {
	case ASK_LISTER:
		return hand_fd(handed, vcpus__open_lister());
	case ASK_PROCESS:
		return open_process(r->number, handed);
	case ASK_FILE:
		return open_file(s, r->index, handed);
	case ASK_STATS:
		return hand_fd(handed, bpf_enable_stats(BPF_STATS_RUN_TIME));
	case ASK_NEW_FILE:
		return s->opts->replaces ? hand_fd(handed, replace__open(s->opts->replaces)) :
					   -EINVAL;
	case ASK_REPLACE:
		return s->opts->replaces ? replace__done(s->opts->replaces) : -EINVAL;
	case ASK_RECORDING:
		return open_recording(s, r->number, handed);
	default:
		return -EINVAL;
	}
}

static int serve_one(struct server *s, const struct request *r)
{
	struct handed handed;
	bool given = false;
	int err;

	handed__init(&handed);
	if (r->index < s->opts->nr_chosen)
		handed.err = answer(s, r, &handed, &given);
	else
		handed.err = -EINVAL;
	err = send_handed(s->socket, &handed);
	if (r->question == ASK_REATTACH && !handed.err)
		hooks__drop_gone(&s->attachments[r->index]);
	for (size_t i = FDS_OTHER; given && i < MAX_FDS; i++)
		if (handed.fds[i] >= 0)
			close(handed.fds[i]);
	return err;
}

/* Whoever reads the output is not to wait for this process. */
static void leave_streams(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	close(null);
}

/* Whoever it works for ends it, by being gone. */
static void outlive_signals(pid_t client)
{
	const int ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGTSTP };

	for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++)
		signal(ignored[i], SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != client)
		_exit(0);
}

_Noreturn static void serve(int socket, pid_t client, const struct broker_options *opts)
{
	struct server s = {
		.socket = socket,
		.client = client,
		.opts = opts,
		.env = *opts->env,
	};
	struct handed ready;
	struct request r;

	outlive_signals(client);
	leave_streams();
	prctl(PR_SET_NAME, process_name);
	for (size_t i = 0; i < opts->nr_chosen; i++)
		hooks__init(&s.attachments[i], &s.env, &opts->chosen[i]);
	hooks__plan(&s.env, s.attachments, opts->nr_chosen);
	handed__init(&ready);
	ready.err = vcpus__load(s.env.filter, opts->max_vcpus, &s.env.vcpus);
	if (send_handed(socket, &ready) || ready.err)
		_exit(1);
	for (;;) {
		ssize_t got = recv(socket, &r, sizeof(r), 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got != sizeof(r) || serve_one(&s, &r))
			_exit(0);
	}
}

/* The one that asks. */

struct broker *broker__start(const struct broker_options *opts)
{
	struct broker *b = calloc(1, sizeof(*b));
	struct handed ready;
	pid_t self = getpid();
	int sockets[2];

	if (!b || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets)) {
		say("the privileged process can't be started: %s", limits__reason(-errno));
		free(b);
		return NULL;
	}
	b->opts = opts;
	b->socket = sockets[0];
	b->pid = fork();
	if (!b->pid) {
		close(sockets[0]);
		serve(sockets[1], self, opts);
	}
	close(sockets[1]);
	if (b->pid < 0)
		say("the privileged process can't be started: %s", limits__reason(-errno));
	else if (receive_handed(b->socket, &ready))
		say("the privileged process ended before it could load anything");
	else if (!ready.err)
		return b;
	broker__close(b);
	return NULL;
}

void broker__close(struct broker *b)
{
	if (!b)
		return;
	/* Another fork may have it open as well. */
	if (b->socket >= 0) {
		shutdown(b->socket, SHUT_RDWR);
		close(b->socket);
	}
	if (b->pid > 0)
		waitpid(b->pid, NULL, 0);
	free(b);
}

/* 0 or -errno: what it answers, or -EPIPE when it is gone. */
static int ask(struct broker *b, enum question question, uint32_t index, int32_t number,
	       struct handed *handed)
{
	const struct request r = { .question = question, .index = index, .number = number };

	handed__init(handed);
	if (b->socket < 0)
		return -EPIPE;
	if (send(b->socket, &r, sizeof(r), MSG_NOSIGNAL) == sizeof(r) &&
	    !receive_handed(b->socket, handed))
		return handed->err;
	say_failed("the privileged process has ended: attached hooks still work, but nothing new "
		   "can be attached, and new VMs are named after their threads");
	close(b->socket);
	b->socket = -1;
	handed__init(handed);
	return -EPIPE;
}

/* The same where nothing is handed over. */
static int tell(struct broker *b, enum question question, uint32_t index)
{
	struct handed handed;
	int err = ask(b, question, index, 0, &handed);

	handed__close(&handed);
	return err;
}

static int ask_fd(struct broker *b, enum question question)
{
	struct handed handed;
	int err = ask(b, question, 0, 0, &handed), fd;

	fd = handed__take(&handed, FDS_OTHER);
	handed__close(&handed);
	return err ? err : fd;
}

static uint32_t index_of(const struct broker *b, const struct chosen *c)
{
	for (size_t i = 0; i < b->opts->nr_chosen; i++)
		if (&b->opts->chosen[i] == c)
			return i;
	return UINT32_MAX;
}

int broker__load(struct broker *b, const struct chosen *c, bool again, struct handed *handed)
{
	return ask(b, again ? ASK_LOAD_AGAIN : ASK_LOAD, index_of(b, c), 0, handed);
}

int broker__attach(struct broker *b, const struct chosen *c, struct handed *handed)
{
	return ask(b, ASK_ATTACH, index_of(b, c), 0, handed);
}

int broker__reattach(struct broker *b, const struct chosen *c, unsigned int modules,
		     struct handed *handed)
{
	return ask(b, ASK_REATTACH, index_of(b, c), modules, handed);
}

int broker__detach(struct broker *b, const struct chosen *c)
{
	return tell(b, ASK_DETACH, index_of(b, c));
}

void broker__unload(struct broker *b, const struct chosen *c)
{
	tell(b, ASK_UNLOAD, index_of(b, c));
}

int broker__vcpus(struct broker *b, struct handed *handed)
{
	return ask(b, ASK_VCPUS, 0, 0, handed);
}

int broker__lister(struct broker *b)
{
	return ask_fd(b, ASK_LISTER);
}

int broker__enable_stats(struct broker *b)
{
	return ask_fd(b, ASK_STATS);
}

int broker__open_process(struct broker *b, pid_t pid, struct process_files *files)
{
	struct handed handed;
	int err = ask(b, ASK_PROCESS, 0, pid, &handed);

	files->stat = handed__take(&handed, FDS_OTHER);
	files->cmdline = handed__take(&handed, FDS_OTHER + 1);
	files->cgroup = handed__take(&handed, FDS_OTHER + 2);
	memcpy(files->exe, handed.text, sizeof(files->exe));
	handed__close(&handed);
	return err;
}

int broker__open_file(struct broker *b, const struct chosen *c, struct tempfile *file)
{
	struct handed handed;
	int err = ask(b, ASK_FILE, index_of(b, c), 0, &handed), fd;

	memset(file, 0, sizeof(*file));
	memcpy(file->path, handed.text, sizeof(file->path));
	fd = handed__take(&handed, FDS_OTHER);
	handed__close(&handed);
	return err ? err : tempfile__open(file, c->monitor->name, fd);
}

int broker__new_file(struct broker *b)
{
	return ask_fd(b, ASK_NEW_FILE);
}

int broker__replace_file(struct broker *b)
{
	return tell(b, ASK_REPLACE, 0);
}

int broker__new_recording(struct broker *b, int segment, char *name, size_t size)
{
	struct handed handed;
	int err = ask(b, ASK_RECORDING, 0, segment, &handed), fd;

	handed.text[sizeof(handed.text) - 1] = '\0';
	snprintf(name, size, "%s", handed.text);
	fd = handed__take(&handed, FDS_OTHER);
	handed__close(&handed);
	return err ? err : fd;
}

int broker__settle(struct broker *b, uint64_t *cpu_ns)
{
	struct handed handed;
	int err = ask(b, ASK_SETTLE, 0, 0, &handed);

	*cpu_ns = handed.cpu_ns;
	handed__close(&handed);
	return err;
}
