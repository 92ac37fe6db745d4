// SPDX-License-Identifier: GPL-2.0-only
#include "log.h"

#include <stdarg.h>
#include <stdio.h>

#include <bpf/libbpf.h>

static bool verbose_output;

void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("kvm_watcher: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
}

/* Its warnings hold the verifier's log; its debug level is noise to a user. */
static int libbpf_message(enum libbpf_print_level level, const char *format, va_list args)
{
	return verbose_output && level != LIBBPF_DEBUG ? vfprintf(stderr, format, args) : 0;
}

void log__init(bool verbose)
{
	verbose_output = verbose;
	libbpf_set_print(libbpf_message);
}
