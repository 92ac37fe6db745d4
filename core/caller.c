// SPDX-License-Identifier: GPL-2.0-only
#include "caller.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

/* Who called sudo; else nobody else. */
static bool find_caller(uid_t *uid, gid_t *gid)
{
	const char *user = getenv("SUDO_UID"), *group = getenv("SUDO_GID");
	char *end;

	if (geteuid() || !user || !group)
		return false;
	*uid = strtoul(user, &end, 10);
	if (!*user || *end)
		return false;
	*gid = strtoul(group, &end, 10);
	return *group && !*end && *uid;
}

int caller__open(int (*open)(void *ctx), void *ctx)
{
	uid_t uid = 0;
	gid_t gid = 0, old_gid = getegid();
	gid_t groups[NGROUPS_MAX];
	int nr_groups, result;

	if (!find_caller(&uid, &gid))
		return open(ctx);
	nr_groups = getgroups(NGROUPS_MAX, groups);
	if (nr_groups < 0)
		return -errno;
	if (setgroups(1, &gid) || setegid(gid) || seteuid(uid))
		result = -errno;
	else
		result = open(ctx);
	if (seteuid(0) || setegid(old_gid) || setgroups(nr_groups, groups)) {
		/* Without its rights it would fail later, with worse sentences. */
		say("can't regain root's privileges: %s", strerror(errno));
		exit(1);
	}
	return result;
}
