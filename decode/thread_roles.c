// SPDX-License-Identifier: GPL-2.0-only
/*
 * QEMU names its threads with -name debug-threads=on, which libvirt gives; cloud-hypervisor,
 * Firecracker, crosvm and kvmtool always do.
 */
#include "thread_roles.h"

#include <fnmatch.h>
#include <stddef.h>

static const struct {
	const char *pattern, *role;
} roles[] = {
	{ "vhost-[0-9]*", "vhost" },
	{ "kvm-pit/[0-9]*", "pit" },
	{ "kvm-nx-lpage-re*", "nx_recovery" },
	{ "IO *", "iothread" },	  /* QEMU's -object iothread */
	{ "_disk*", "iothread" }, /* cloud-hypervisor */
	{ "_net*", "iothread" },
	{ "virtio-*", "iothread" }, /* kvmtool */
	{ "ioeventfd-*", "iothread" },
	{ "v_*", "iothread" },	  /* crosvm */
	{ "mig/*", "migration" }, /* QEMU since 9.1 */
	{ "live_migration", "migration" },
	{ "multifd*", "migration" },
	{ "postcopy/*", "migration" },
	{ "return path", "migration" },
	{ "bg_snapshot", "migration" },
};

const char *thread_role(const char *comm)
{
	for (size_t i = 0; i < sizeof(roles) / sizeof(*roles); i++)
		if (!fnmatch(roles[i].pattern, comm, 0))
			return roles[i].role;
	return "other";
}
