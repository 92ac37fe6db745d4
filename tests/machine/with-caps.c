// SPDX-License-Identifier: GPL-2.0-only
/*
 * with_caps CAPS PROGRAM ARGUMENT...: runs it as nobody, with these capabilities
 * alone: their numbers, separated by commas. Not every setpriv can do that.
 */
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NOBODY = 65534 };

static void set(uint64_t caps)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {
		{ caps, caps, caps },
		{ caps >> 32, caps >> 32, caps >> 32 },
	};

	if (syscall(SYS_capset, &head, data)) {
		perror("with_caps: capset");
		exit(126);
	}
}

int main(int argc, char **argv, char **envp)
{
	uint64_t caps = 0;
	char *next;
	int fd;

	if (argc < 3)
		return 126;
	for (next = argv[1]; *next; next += *next == ',')
		caps |= 1ULL << strtoul(next, &next, 10);
	/* Nobody may not be allowed to look where it is. */
	fd = open(argv[2], O_RDONLY | O_CLOEXEC);
	if (fd < 0 || prctl(PR_SET_KEEPCAPS, 1) || setgroups(0, NULL) || setgid(NOBODY) ||
	    setuid(NOBODY)) {
		perror("with_caps");
		return 126;
	}
	set(caps);
	for (int cap = 0; cap < 64; cap++)
		if (caps >> cap & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0)) {
			perror("with_caps: PR_CAP_AMBIENT_RAISE");
			return 126;
		}
	fexecve(fd, argv + 2, envp);
	perror(argv[2]);
	return 126;
}
