// SPDX-License-Identifier: GPL-2.0-only
/*
 * What watching costs those that are no VM's: the time stamp counter around single system calls,
 * or around a byte that goes to another process and back, which are two context switches and two
 * wake-ups. Prints what kvm_guest --time does.
 *
 *	host_events syscall|ioctl|switch TURNS
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <x86intrin.h>

static int there[2], back[2];

static void echo(void)
{
	char byte;

	while (read(there[0], &byte, 1) == 1)
		if (write(back[1], &byte, 1) != 1)
			break;
	_exit(0);
}

static void turn(const char *what)
{
	char byte = 0;
	int nr;

	if (!strcmp(what, "syscall"))
		syscall(SYS_getppid);
	else if (!strcmp(what, "ioctl"))
		ioctl(there[0], FIONREAD, &nr);
	else if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
		exit(1);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	size_t turns = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	uint64_t *ticks = turns ? calloc(turns, sizeof(*ticks)) : NULL;

	if (!ticks || pipe(there) || pipe(back)) {
		fprintf(stderr, "usage: host_events syscall|ioctl|switch TURNS\n");
		free(ticks);
		return 2;
	}
	if (!fork()) {
		close(there[1]);
		echo();
	}
	for (size_t i = 0; i < turns; i++) {
		uint64_t begin = __rdtsc();

		turn(argv[1]);
		ticks[i] = __rdtsc() - begin;
	}
	qsort(ticks, turns, sizeof(*ticks), compare);
	printf("{\"ticks\":{\"turns\":%zu,\"min\":%llu,\"p10\":%llu,\"median\":%llu,\"p90\":%llu}}"
	       "\n",
	       turns, (unsigned long long)ticks[0], (unsigned long long)ticks[turns / 10],
	       (unsigned long long)ticks[turns / 2], (unsigned long long)ticks[turns * 9 / 10]);
	free(ticks);
	return 0;
}
