/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who a VM is besides its name: what the command line, the executable's path and the
 * cgroup of its VMM say. All of it is text that others have written.
 */
#ifndef KVM_WATCHER_IDENTITY_H
#define KVM_WATCHER_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>

#include "args.h"

enum { UUID_LEN = 37 };

/* "": it is not said anywhere. */
struct identity {
	char uuid[UUID_LEN];	 /* what the guest has, in lower case */
	char vmm_version[24];	 /* of the executable, where its path has it */
	char cgroup[512];	 /* cut where it is longer */
	char libvirt_name[65];	 /* of its scope below machine.slice */
	char pod_uid[UUID_LEN];	 /* Kubernetes', of the cgroup */
	char kube_namespace[64]; /* KubeVirt's, of the command line */
	char kube_vmi[254];	 /* the same: its VirtualMachineInstance */
};

/*
 * exe: the path of the executable, or "". vmm: as vm->vmm. cgroups: the text of
 * /proc/PID/cgroup, or "". Sets all of who.
 */
void identity__read(struct identity *who, const char *vmm, const char *exe, const struct args *args,
		    const char *cgroups);

/* "cpu" in the len characters "cpu,cpuacct", as a line of /proc/PID/cgroup has them. */
bool identity__has_controller(const char *list, size_t len, const char *name);

/* Takes a UUID of 36 characters, in lower case; false, and dst is "", where it is none. */
bool identity__copy_uuid(char dst[UUID_LEN], const char *src);

#endif
