// SPDX-License-Identifier: GPL-2.0-only
/* A file of options, as --config names it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../cli/commands.h"
#include "fuzz.h"

int fuzz_config(const uint8_t *data, size_t size)
{
	static struct options opts;
	char option[64], *said = NULL, *shown = NULL;
	char *argv[] = { "kvm_watcher", option, NULL };
	size_t said_size = 0, shown_size = 0;
	FILE *out = stdout, *err = stderr;
	int fd = memfd_create("config", MFD_CLOEXEC), code;

	if (fd < 0)
		return 0;
	if (write(fd, data, size) != (ssize_t)size) {
		close(fd);
		return 0;
	}
	snprintf(option, sizeof(option), "--config=/proc/self/fd/%d", fd);
	memset(&opts, 0, sizeof(opts));
	stdout = open_memstream(&shown, &shown_size);
	stderr = open_memstream(&said, &said_size);
	code = options__parse(&serve_command, 2, argv, &opts);
	fclose(stdout);
	fclose(stderr);
	stdout = out;
	stderr = err;
	check_refusal(code, said, said_size);
	free(said);
	free(shown);
	close(fd);
	return 0;
}
