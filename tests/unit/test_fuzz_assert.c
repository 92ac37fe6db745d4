// SPDX-License-Identifier: GPL-2.0-only
/* The corpus of the fuzzer of --assert, and what is near it: without a sanitizer's complaint. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../diagnose/assert.h"
#include "../fuzz/assertion.h"

static const char corpus[] = "tests/fuzz/assertions";

static size_t read_file(const char *name, char text[512])
{
	char path[512];
	size_t size;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", corpus, name);
	f = fopen(path, "re");
	assert_non_null(f);
	size = fread(text, 1, 500, f);
	text[size] = '\0';
	fclose(f);
	return size;
}

/* Other bytes, a part that is missing, or one that is there twice. */
static void run_near(const char *text, size_t size)
{
	static const char bytes[] = "0123456789.,[]=<>%/* abcdefgnopsrtuvwKVM_\xff\x01";
	unsigned int seed = 7;

	for (int i = 0; i < 20000; i++) {
		char near[1024];
		size_t at = rand_r(&seed) % size, len = rand_r(&seed) % (size - at) + 1;

		memcpy(near, text, size);
		if (i % 3 == 0) {
			near[at] = bytes[rand_r(&seed) % (sizeof(bytes) - 1)];
			LLVMFuzzerTestOneInput((uint8_t *)near, size);
		} else if (i % 3 == 1) {
			memmove(near + at, near + at + len, size - at - len);
			LLVMFuzzerTestOneInput((uint8_t *)near, size - len);
		} else {
			memcpy(near + at + len, text + at, size - at);
			LLVMFuzzerTestOneInput((uint8_t *)near, size + len);
		}
	}
}

static void test_corpus(void **state)
{
	DIR *dir = opendir(corpus);
	int files = 0;

	(void)state;
	assert_non_null(dir);
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
		struct assertion a;
		char text[512];
		const char *wrong;
		size_t size;

		if (entry->d_name[0] == '.')
			continue;
		size = read_file(entry->d_name, text);
		wrong = assertion__parse(&a, text);
		if (wrong)
			fail_msg("%s: %s", entry->d_name, wrong);
		LLVMFuzzerTestOneInput((uint8_t *)text, size);
		run_near(text, size);
		files++;
	}
	closedir(dir);
	assert_true(files >= 8);
}

/* Longer than anything in it has room for. */
static void test_long(void **state)
{
	static const char *const heads[] = { "p99 of ", "rate of class=", "KVM_EXIT.",
					     "rate of KVM_EXIT.count[", "steal < 5% in " };
	char text[4096];

	(void)state;
	for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++) {
		memset(text, 'A', sizeof(text));
		memcpy(text, heads[i], strlen(heads[i]));
		LLVMFuzzerTestOneInput((uint8_t *)text, sizeof(text));
		memset(text + strlen(heads[i]), '1', sizeof(text) - strlen(heads[i]));
		LLVMFuzzerTestOneInput((uint8_t *)text, sizeof(text));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_corpus),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
