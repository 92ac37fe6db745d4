// SPDX-License-Identifier: GPL-2.0-only
#include "log.h"

#include <stdlib.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "../output/text.h"

static bool verbose_output, has_failed;

void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say_args(format, args);
	va_end(args);
}

void say_failed(const char *format, ...)
{
	va_list args;

	log__fail();
	va_start(args, format);
	say_args(format, args);
	va_end(args);
}

void log__fail(void)
{
	has_failed = true;
}

bool log__has_failed(void)
{
	return has_failed;
}

void say_args(const char *format, va_list args)
{
	/* Stdout's buffer ends with a line's end, what went out when it was full need not. */
	fflush(stdout);
	text__vprint(stderr, "kvm_watcher: ", format, args);
}

/*
 * Its warnings hold the verifier's log, of many lines; its debug level is noise to a user.
 * Further lines are set back, so that none looks like a message of its own.
 */
static int libbpf_message(enum libbpf_print_level level, const char *format, va_list args)
{
	char *text, *rest, *line;
	const char *lead = "";

	if (!verbose_output || level == LIBBPF_DEBUG || vasprintf(&text, format, args) < 0)
		return 0;
	fflush(stdout);
	for (rest = text; (line = strsep(&rest, "\n")) && (*line || rest); lead = "  ")
		text__print(stderr, lead, "%s", line);
	free(text);
	return 0;
}

void log__init(bool verbose)
{
	verbose_output = verbose;
	libbpf_set_print(libbpf_message);
}
