/* SPDX-License-Identifier: GPL-2.0-only */
/* Answers of the kernel that are no failures: iterators that go on, waits that are refused. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../core/grace.h"
#include "../../core/iter.h"

enum { NR_LINES = 3000 };

/* Lines with pauses, in which a reader that does not block gets EAGAIN. */
static void *write_lines(void *arg)
{
	int fd = *(int *)arg;

	for (uint32_t i = 0; i < NR_LINES; i++) {
		if (i % (NR_LINES / 3) == 0)
			usleep(20000);
		if (write(fd, &i, sizeof(i)) != sizeof(i))
			abort();
	}
	usleep(20000);
	close(fd);
	return NULL;
}

static int read_lines(void **data, size_t *size)
{
	pthread_t writer;
	int fds[2], err;

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(pthread_create(&writer, NULL, write_lines, &fds[1]), 0);
	err = iter__read_fd(fds[0], data, size);
	/* Had it ended early, this would be what it left. */
	assert_int_equal(pthread_join(writer, NULL), 0);
	assert_int_equal(read(fds[0], fds, sizeof(*fds)), 0);
	close(fds[0]);
	return err;
}

static void test_iterator_goes_on(void **state)
{
	uint32_t *lines = NULL;
	size_t size = 0;

	(void)state;
	assert_int_equal(read_lines((void **)&lines, &size), 0);
	assert_int_equal(size, NR_LINES * sizeof(*lines));
	for (uint32_t i = 0; i < NR_LINES; i++)
		assert_int_equal(lines[i], i);
	free(lines);
	/* Only run, as attach.c does. */
	assert_int_equal(read_lines(NULL, NULL), 0);
}

static void test_iterator_fails(void **state)
{
	void *data = NULL;
	size_t size = 0;

	(void)state;
	assert_int_equal(iter__read_fd(-1, &data, &size), -EBADF);
	assert_null(data);
}

static unsigned int nr_refused, nr_waited;

static int refused(void)
{
	nr_refused++;
	return -EINVAL;
}

static int waits(void)
{
	nr_waited++;
	return 0;
}

static void test_grace(void **state)
{
	static const grace_way first[] = { waits, refused, NULL },
			       second[] = { refused, waits, NULL },
			       none[] = { refused, refused, NULL }, empty[] = { NULL };

	(void)state;
	assert_int_equal(grace__wait(first), 0);
	assert_int_equal(nr_refused, 0);
	assert_int_equal(grace__wait(second), 0);
	assert_int_equal(nr_refused, 1);
	assert_int_equal(nr_waited, 2);
	assert_int_equal(grace__wait(none), -EINVAL);
	assert_int_equal(nr_refused, 3);
	assert_int_not_equal(grace__wait(empty), 0);
}

/* There is a way besides membarrier(), which hosts with nohz_full refuse. */
static void test_grace_of_this_host(void **state)
{
	int err;

	(void)state;
	err = grace_ways[0]();
	if (err == -EPERM)
		skip();
	assert_int_equal(err, 0);
	assert_non_null(grace_ways[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_iterator_goes_on),
		cmocka_unit_test(test_iterator_fails),
		cmocka_unit_test(test_grace),
		cmocka_unit_test(test_grace_of_this_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
