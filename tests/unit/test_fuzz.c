// SPDX-License-Identifier: GPL-2.0-only
/* The corpus of the fuzzer, and what is near it: read without a sanitizer's complaint. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../fuzz/recording.h"

static const char corpus[] = "tests/fuzz/corpus";

static size_t read_file(const char *name, uint8_t **data)
{
	char path[512];
	size_t size;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", corpus, name);
	f = fopen(path, "re");
	assert_non_null(f);
	*data = malloc(1 << 20);
	assert_non_null(*data);
	size = fread(*data, 1, 1 << 20, f);
	fclose(f);
	return size;
}

/* What is said of broken files is of no interest here. */
static int hush(void)
{
	int old = dup(STDERR_FILENO), none = open("/dev/null", O_WRONLY | O_CLOEXEC);

	dup2(none, STDERR_FILENO);
	close(none);
	return old;
}

static void test_corpus(void **state)
{
	DIR *dir = opendir(corpus);
	int err = hush(), files = 0;

	(void)state;
	assert_non_null(dir);
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
		unsigned int seed = 5;
		uint8_t *data;
		size_t size;

		if (entry->d_name[0] == '.')
			continue;
		files++;
		size = read_file(entry->d_name, &data);
		LLVMFuzzerTestOneInput(data, size);
		/* Plain lines: other digits, letters and brackets, one or a few at a time. */
		for (int i = 0; size && data[0] == '{' && i < 150; i++) {
			static const char bytes[] = "0123456789-{}[]\",:.eEnulltruefalse\n";
			size_t at = rand_r(&seed) % size;
			uint8_t was = data[at];

			data[at] = bytes[rand_r(&seed) % (sizeof(bytes) - 1)];
			LLVMFuzzerTestOneInput(data, size);
			if (i % 3)
				data[at] = was;
		}
		free(data);
	}
	closedir(dir);
	dup2(err, STDERR_FILENO);
	close(err);
	assert_true(files >= 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_corpus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
