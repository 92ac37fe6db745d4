// SPDX-License-Identifier: GPL-2.0-only
/* A file of options, as --config names it. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../cli/commands.h"
#include "fuzz.h"

int fuzz_config(const uint8_t *data, size_t size)
{
	char option[64];
	char *argv[] = { "kvm_watcher", option, NULL };
	int fd = memfd_create("config", MFD_CLOEXEC);

	if (fd < 0)
		return 0;
	snprintf(option, sizeof(option), "--config=/proc/self/fd/%d", fd);
	if (write(fd, data, size) == (ssize_t)size)
		fuzz_command(&serve_command, 2, argv);
	close(fd);
	return 0;
}
