/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is fuzzed: each takes any bytes, hands them to a part of the program, and aborts when what
 * that makes of them is wrong. `make fuzz` has them under libFuzzer (main.c);
 * tests/unit/test_fuzz.c replays tests/fuzz/corpus/NAME/.
 */
#ifndef KVM_WATCHER_FUZZ_H
#define KVM_WATCHER_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int fuzz_recording(const uint8_t *data, size_t size);
int fuzz_options(const uint8_t *data, size_t size);
int fuzz_process(const uint8_t *data, size_t size);
int fuzz_decode(const uint8_t *data, size_t size);
int fuzz_events(const uint8_t *data, size_t size);
int fuzz_assertion(const uint8_t *data, size_t size);
int fuzz_text(const uint8_t *data, size_t size);
int fuzz_request(const uint8_t *data, size_t size);
int fuzz_config(const uint8_t *data, size_t size);
int fuzz_format(const uint8_t *data, size_t size);

struct command;
struct json_object;
struct output;

/* An output into memory. */
struct written {
	struct output *out;
	char *text;
	size_t size;
	void *stream;
	int format, width;
};

/* 0 or -1. */
int written__open(struct written *w, int format, int width);
/* Closes it, and aborts unless JSON parses, CSV is RFC 4180 and tables are not too wide. */
void written__check(struct written *w);

/* What Prometheus reads parses, and each series is there once. */
void check_series(const char *data, size_t size, bool openmetrics);

/* Text that ends within size bytes, is UTF-8 where it has to be, and steers no terminal. */
void check_ends(const char *text, size_t size);
void check_line(const char *text, size_t len);
/* It can be written, and what is written parses. Takes it over; NULL is allowed. */
void check_object(struct json_object *obj);

/* Parses a command line. What is refused is refused in one line, which steers no terminal. */
void fuzz_command(const struct command *command, int argc, char **argv);

/* A copy with a NUL behind it; to be freed. */
char *fuzz_text_of(const uint8_t *data, size_t size);

#endif
