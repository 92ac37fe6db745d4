// SPDX-License-Identifier: GPL-2.0-only
#include "log.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "../output/text.h"

static bool verbose_output, has_failed, in_journal;

static const char *lead_of(bool failed)
{
	if (!in_journal)
		return "kvm_watcher: ";
	/* syslog's LOG_ERR, LOG_NOTICE */
	return failed ? "<3>" : "<5>";
}

static void say_at(bool failed, const char *format, va_list args)
{
	/* Stdout's buffer ends with a line's end, what went out when it was full need not. */
	fflush(stdout);
	text__vprint(stderr, lead_of(failed), format, args);
}

void log__use_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	in_journal = stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
		     !fstat(STDERR_FILENO, &st) && st.st_dev == dev && st.st_ino == ino;
}

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
	say_at(true, format, args);
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
	say_at(false, format, args);
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
