/* SPDX-License-Identifier: GPL-2.0-only */
/* Every ioctl of this process, by command and result: the truth to compare a monitor with. */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

enum { MAX_TALLIES = 256 };

struct tally {
	unsigned long cmd;
	int error; /* 0: it succeeded */
	uint64_t count;
};

static struct tally tallies[MAX_TALLIES];
static size_t nr_tallies;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void count(unsigned long cmd, int error)
{
	struct tally *t = tallies;

	pthread_mutex_lock(&lock);
	while (t < tallies + nr_tallies && (t->cmd != cmd || t->error != error))
		t++;
	if (t == tallies + nr_tallies && nr_tallies < MAX_TALLIES) {
		*t = (struct tally){ .cmd = cmd, .error = error };
		nr_tallies++;
	}
	if (t < tallies + MAX_TALLIES)
		t->count++;
	pthread_mutex_unlock(&lock);
}

int tally__ioctl(int fd, unsigned long cmd, ...)
{
	va_list args;
	int ret, err;
	void *arg;

	va_start(args, cmd);
	arg = va_arg(args, void *);
	va_end(args);
	ret = (ioctl)(fd, cmd, arg);
	err = errno;
	count(cmd, ret < 0 ? err : 0);
	errno = err;
	return ret;
}

void tally__report(void)
{
	for (struct tally *t = tallies; t < tallies + nr_tallies; t++)
		printf("{\"what\":\"ioctl\",\"pid\":%d,\"cmd\":%lu,\"error\":\"%s\",\"count\":%llu}"
		       "\n",
		       getpid(), t->cmd, t->error ? strerrorname_np(t->error) : "",
		       (unsigned long long)t->count);
	nr_tallies = 0;
	fflush(stdout);
}
