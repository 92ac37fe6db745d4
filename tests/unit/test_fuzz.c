// SPDX-License-Identifier: GPL-2.0-only
/* The corpora of the fuzzers, and what is near them: no sanitizer and no oracle complains. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../fuzz/fuzz.h"

static const struct target {
	const char *name;
	int (*take)(const uint8_t *data, size_t size);
	int changes;
} targets[] = {
	{ "recording", fuzz_recording, 100 }, { "options", fuzz_options, 100 },
	{ "process", fuzz_process, 100 },     { "decode", fuzz_decode, 100 },
	{ "events", fuzz_events, 100 },	      { "assertion", fuzz_assertion, 100 },
	{ "text", fuzz_text, 100 },	      { "request", fuzz_request, 300 },
	{ "config", fuzz_config, 100 },	      { "format", fuzz_format, 300 },
};

static size_t read_file(const char *corpus, const char *name, uint8_t **data)
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

/* Other digits, letters and brackets in text, other bytes elsewhere, one or a few at a time. */
static void change(const struct target *t, uint8_t *data, size_t size)
{
	static const char bytes[] = "0123456789-{}[]\",:.eEnulltruefalse\n";
	bool is_text = size && (data[0] == '{' || t->take == fuzz_assertion);
	unsigned int seed = 5;

	/* A frame of zstd has a checksum. */
	for (int i = 0; size && (is_text || t->take != fuzz_recording) && i < t->changes; i++) {
		size_t at = rand_r(&seed) % size;
		uint8_t was = data[at];

		data[at] =
			is_text ? bytes[rand_r(&seed) % (sizeof(bytes) - 1)] : rand_r(&seed) >> 4;
		t->take(data, size);
		if (i % 3)
			data[at] = was;
	}
}

static void replay(const struct target *t)
{
	char corpus[64];
	DIR *dir;
	int files = 0;

	snprintf(corpus, sizeof(corpus), "tests/fuzz/corpus/%s", t->name);
	dir = opendir(corpus);
	assert_non_null(dir);
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
		uint8_t *data;
		size_t size;

		if (entry->d_name[0] == '.')
			continue;
		files++;
		size = read_file(corpus, entry->d_name, &data);
		t->take(data, size);
		/* What libFuzzer found is near others already. */
		if (strncmp(entry->d_name, "found-", 6))
			change(t, data, size);
		free(data);
	}
	closedir(dir);
	assert_true(files >= 4);
}

static void test_corpora(void **state)
{
	/* FUZZ_LOUD: what a sanitizer says is wanted. */
	int err = getenv("FUZZ_LOUD") ? dup(STDERR_FILENO) : hush();

	(void)state;
	for (size_t i = 0; i < sizeof(targets) / sizeof(*targets); i++) {
		targets[i].take((const uint8_t *)"", 0);
		replay(&targets[i]);
	}
	dup2(err, STDERR_FILENO);
	close(err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_corpora),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
