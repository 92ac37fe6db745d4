// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dirties memory at a known rate, inside the Linux guest: one byte in each of
 * RATE pages a second, round and round over PAGES of them.
 *
 *	guest_writer RATE PAGES
 *
 * "wrote N pages in MS ms", once a second, is what really happened.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum { PAGE = 4096, STEPS_PER_S = 20, NSEC_PER_S = 1000000000, STEP_NS = NSEC_PER_S / STEPS_PER_S };

static long long ms_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - start->tv_sec) * 1000LL + (now.tv_nsec - start->tv_nsec) / 1000000;
}

int main(int argc, char **argv)
{
	unsigned long rate = argc > 2 ? strtoul(argv[1], NULL, 10) : 0;
	unsigned long pages = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	unsigned long long written = 0;
	struct timespec start, next;
	volatile char *memory;

	if (!rate || rate % STEPS_PER_S || !pages) {
		fprintf(stderr, "usage: guest_writer RATE PAGES (RATE a multiple of %d)\n",
			STEPS_PER_S);
		return 2;
	}
	memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (memory == MAP_FAILED) {
		perror("guest_writer: mmap");
		return 1;
	}
	clock_gettime(CLOCK_MONOTONIC, &start);
	next = start;
	for (unsigned int step = 1;; step++) {
		for (unsigned long i = 0; i < rate / STEPS_PER_S; i++)
			memory[written++ % pages * PAGE]++;
		if (step % STEPS_PER_S == 0) {
			printf("wrote %llu pages in %lld ms\n", written, ms_since(&start));
			fflush(stdout);
		}
		next.tv_nsec += STEP_NS;
		if (next.tv_nsec >= NSEC_PER_S) {
			next.tv_nsec -= NSEC_PER_S;
			next.tv_sec++;
		}
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
	}
}
