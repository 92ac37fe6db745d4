// SPDX-License-Identifier: GPL-2.0-only
#include "notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../core/clock.h"

/* One for the process, as the variables are. */
static int notify_fd = -1;
static uint64_t watchdog_ns;

static void connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = strlen(path);

	if ((*path != '/' && *path != '@') || len >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, len);
	/* An abstract one. */
	if (*path == '@')
		address.sun_path[0] = '\0';
	notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (notify_fd >= 0 && connect(notify_fd, (const struct sockaddr *)&address,
				      offsetof(struct sockaddr_un, sun_path) + len)) {
		close(notify_fd);
		notify_fd = -1;
	}
}

void notify__open(void)
{
	const char *path = getenv("NOTIFY_SOCKET"), *usec = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");

	if (path)
		connect_to(path);
	if (usec && (!pid || strtol(pid, NULL, 10) == getpid()))
		watchdog_ns = strtoull(usec, NULL, 10) * NSEC_PER_USEC;
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

void notify__send(const char *state)
{
	if (notify_fd >= 0 && send(notify_fd, state, strlen(state), MSG_NOSIGNAL) < 0)
		return;
}

uint64_t notify__watchdog_ns(void)
{
	return notify_fd >= 0 ? watchdog_ns : 0;
}
