/* SPDX-License-Identifier: GPL-2.0-only */
/* --probe: which ops work here. Each is tried in a process of its own. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

enum { PROBE_COUNT = 3, PROBE_SECONDS = 5 };

static void try_op(const struct plan *plan, const struct op *op, int err_fd)
{
	struct plan trial = *plan;
	int null = open("/dev/null", O_WRONLY);

	dup2(null, STDOUT_FILENO);
	dup2(err_fd, STDERR_FILENO);
	trial.nr_vms = trial.repeat = 1;
	trial.nr_vcpus = op->flags & OP_PAIRS ? 2 : 1;
	trial.separate = false;
	trial.pause_ms = 0;
	trial.timeout = PROBE_SECONDS - 2;
	trial.uses[0] = (struct op_use){ op, PROBE_COUNT, op->arg };
	trial.nr_uses = 1;
	_exit(run__all(&trial) ? EXIT_GUEST_FAILED : 0);
}

/* Its messages until it ends; false when it had to be killed. */
static bool collect(pid_t pid, int fd, char *why, size_t size)
{
	struct timespec now, end;
	size_t len = 0;
	ssize_t got = 1;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += PROBE_SECONDS;
	while (got > 0 && len < size - 1) {
		struct timeval left = { .tv_usec = 100000 };
		fd_set set;

		FD_ZERO(&set);
		FD_SET(fd, &set);
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec >= end.tv_sec) {
			kill(pid, SIGKILL);
			break;
		}
		if (select(fd + 1, &set, NULL, NULL, &left) <= 0)
			continue;
		got = read(fd, why + len, size - 1 - len);
		len += got > 0 ? got : 0;
	}
	why[len] = '\0';
	return got == 0;
}

/* The first line, without the program's name, safe inside a JSON string. */
static const char *tidy(char *why)
{
	static const char prefix[] = "kvm_guest: ";
	char *c;

	why[strcspn(why, "\n")] = '\0';
	for (c = why; *c; c++)
		if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ')
			*c = '\'';
	return strncmp(why, prefix, sizeof(prefix) - 1) ? why : why + sizeof(prefix) - 1;
}

static int probe_op(const struct plan *plan, const struct op *op)
{
	char why[256];
	int pipe_fds[2], status = -1;
	bool ended;
	pid_t pid;

	if (pipe(pipe_fds) < 0)
		return -1;
	pid = fork();
	if (!pid)
		try_op(plan, op, pipe_fds[1]);
	close(pipe_fds[1]);
	if (pid < 0)
		return -1;
	ended = collect(pid, pipe_fds[0], why, sizeof(why));
	close(pipe_fds[0]);
	waitpid(pid, &status, 0);
	if (!ended)
		snprintf(why, sizeof(why), "killed after %d s", PROBE_SECONDS);
	printf("{\"what\":\"probe\",\"op\":\"%s\",\"works\":%s,\"why\":\"%s\"}\n", op->name,
	       status ? "false" : "true", tidy(why));
	fflush(stdout);
	return 0;
}

int probe(const struct plan *plan)
{
	size_t i;

	for (i = 0; i < nr_ops; i++) {
		if (ops[i].flags & OP_ENDLESS)
			continue;
		if (probe_op(plan, &ops[i])) {
			perror("kvm_guest: --probe");
			return -1;
		}
	}
	return 0;
}
