/* SPDX-License-Identifier: GPL-2.0-only */
/* Where a monitor's own file goes, and where it must not go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../core/tempfile.h"

static char home[] = "/tmp/test_tempfile.XXXXXX";
static int quiet;

static int setup(void **state)
{
	(void)state;
	quiet = dup(STDERR_FILENO);
	return !mkdtemp(home) || chdir(home) || !freopen("/dev/null", "w", stderr);
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	dup2(quiet, STDERR_FILENO);
	snprintf(command, sizeof(command), "rm -rf '%s'", home);
	return chdir("/") || system(command);
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode;
}

static void opens(const char *dir, enum format format, const char *prefix, const char *suffix)
{
	struct tempfile file;
	size_t len;
	int fd;

	fd = tempfile__create(dir, "hypercall", format, getpid(), file.path, sizeof(file.path));
	assert_true(fd >= 0);
	assert_int_equal(tempfile__open(&file, "hypercall", fd), 0);
	len = strlen(file.path);
	assert_memory_equal(file.path, prefix, strlen(prefix));
	assert_string_equal(file.path + len - strlen(suffix), suffix);
	assert_int_equal(mode_of(file.path), S_IFREG | 0600);
	fputs("x", file.stream);
	assert_int_equal(tempfile__close(&file, 0), 0);
}

static void refuses(const char *dir, int err)
{
	char path[4096];

	assert_int_equal(
		tempfile__create(dir, "hypercall", FORMAT_TABLE, getpid(), path, sizeof(path)),
		err);
	assert_int_equal(tempfile__probe(dir), err);
}

static void test_default(void **state)
{
	(void)state;
	umask(022);
	opens(NULL, FORMAT_TABLE, "temp/hypercall-", ".txt");
	assert_int_equal(mode_of("temp"), S_IFDIR | 0700);
	/* The directory is there now, and so is a file of this second. */
	opens(NULL, FORMAT_TABLE, "temp/hypercall-", ".txt");
	opens(NULL, FORMAT_JSON, "temp/hypercall-", ".json");
	opens(NULL, FORMAT_CSV, "temp/hypercall-", ".csv");
}

static void test_given(void **state)
{
	char path[128];

	(void)state;
	opens("other", FORMAT_TABLE, "other/hypercall-", ".txt");
	opens("other/", FORMAT_TABLE, "other/hypercall-", ".txt");
	opens("other//below", FORMAT_TABLE, "other//below/hypercall-", ".txt");
	snprintf(path, sizeof(path), "%s/absolute", home);
	opens(path, FORMAT_TABLE, path, ".txt");
	refuses("not/there", -ENOENT);
	/* A question makes nothing. */
	assert_int_equal(tempfile__probe("later"), 0);
	assert_int_equal(access("later", F_OK), -1);
	assert_int_equal(tempfile__probe("other"), 0);
	assert_int_equal(tempfile__probe(path), 0);
}

static void test_links(void **state)
{
	(void)state;
	assert_int_equal(mkdir("real", 0700), 0);
	assert_int_equal(symlink("real", "link"), 0);
	assert_int_equal(symlink("nowhere", "dangling"), 0);
	refuses("link", -ENOTDIR);
	refuses("link/below", -ENOTDIR);
	refuses("dangling", -ENOTDIR);
	assert_int_equal(rmdir("real"), 0);
	assert_int_equal(access("nowhere", F_OK), -1);
}

static void test_no_directory(void **state)
{
	int fd = creat("file", 0600);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	refuses("file", -ENOTDIR);
	refuses("file/below", -ENOTDIR);
}

/* The disk is full: said, not swallowed. */
static void test_full(void **state)
{
	struct tempfile file = { .stream = fopen("/dev/full", "w") };

	(void)state;
	assert_non_null(file.stream);
	fputs("x", file.stream);
	assert_int_equal(tempfile__close(&file, 0), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default), cmocka_unit_test(test_given),
		cmocka_unit_test(test_links),	cmocka_unit_test(test_no_directory),
		cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests_name("tempfile", tests, setup, teardown);
}
