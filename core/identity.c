// SPDX-License-Identifier: GPL-2.0-only
#include "identity.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UUID_CHARS = UUID_LEN - 1 };

static bool is_prefix(const char *prefix, const char *s)
{
	return !strncmp(s, prefix, strlen(prefix));
}

/* UUID_CHARS of s, with '-' or, as systemd has it in names of slices, '_' between groups. */
static bool copy_uuid(char dst[UUID_LEN], const char *s)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	for (size_t i = 0; i < UUID_CHARS; i++) {
		bool fits =
			form[i] == 'x' ? isxdigit((unsigned char)s[i]) : s[i] == '-' || s[i] == '_';

		if (!fits) {
			dst[0] = '\0';
			return false;
		}
		dst[i] = form[i] == 'x' ? tolower((unsigned char)s[i]) : '-';
	}
	dst[UUID_CHARS] = '\0';
	return true;
}

bool identity__copy_uuid(char dst[UUID_LEN], const char *src)
{
	dst[0] = '\0';
	return strlen(src) == UUID_CHARS && !strchr(src, '_') && copy_uuid(dst, src);
}

/* QEMU: -uuid X. Cloud Hypervisor: --platform uuid=X. crosvm: --smbios uuid=X. */
static void read_uuid(struct identity *who, const char *vmm, const struct args *args)
{
	char text[UUID_LEN + 1] = "";
	const char *value = NULL;

	if (!strcmp(vmm, "qemu")) {
		value = args__option(args, "-uuid");
		if (!value)
			value = args__option(args, "--uuid");
		if (value)
			args__copy(text, sizeof(text), value);
	} else if (!strcmp(vmm, "cloud-hypervisor")) {
		value = args__option(args, "--platform");
	} else if (!strcmp(vmm, "crosvm")) {
		value = args__option(args, "--smbios");
	}
	if (value && !text[0])
		args__copy_item(text, sizeof(text), value, "uuid", NULL);
	identity__copy_uuid(who->uuid, text);
}

/* "NAME-1.2.3" or "NAME-v1.2.3" in a part of a path, at its begin or behind a '-'. */
static void read_version_of(struct identity *who, const char *part, size_t len, const char *name)
{
	size_t name_len = strlen(name), digits, i;

	for (i = 0; i + name_len + 1 < len; i++) {
		const char *p = part + i + name_len + 1;

		if ((i && part[i - 1] != '-') || strncmp(part + i, name, name_len) || p[-1] != '-')
			continue;
		p += *p == 'v';
		digits = strspn(p, "0123456789.");
		while (digits && p[digits - 1] == '.')
			digits--;
		if (isdigit((unsigned char)*p) && memchr(p, '.', digits) &&
		    digits < sizeof(who->vmm_version))
			snprintf(who->vmm_version, sizeof(who->vmm_version), "%.*s", (int)digits,
				 p);
	}
}

/* Who ships several versions has them in the path; the last part that has one counts. */
static void read_version(struct identity *who, const char *path, const char *name)
{
	size_t len;

	for (; *path; path += len + (path[len] == '/')) {
		len = strcspn(path, "/");
		read_version_of(who, path, len, name);
	}
}

bool identity__has_controller(const char *list, size_t len, const char *name)
{
	size_t name_len = strlen(name), one;

	for (size_t i = 0; i < len; i += one + 1) {
		one = strcspn(list + i, ",:");
		if (one == name_len && !strncmp(list + i, name, one))
			return true;
	}
	return false;
}

/*
 * Lines are "ID:CONTROLLERS:PATH" (kernel/cgroup/cgroup.c). A host with version 1 has
 * several, and not everybody who makes cgroups makes them in each hierarchy: the one of
 * "cpu" is preferred, then version 2's and systemd's; the root says nothing.
 */
static int rank(const char *controllers, size_t len, const char *path)
{
	if (path[0] != '/' || !path[1])
		return 0;
	if (identity__has_controller(controllers, len, "cpu"))
		return 4;
	if (!len)
		return 3;
	return identity__has_controller(controllers, len, "name=systemd") ? 2 : 1;
}

static void read_cgroup(struct identity *who, const char *cgroups)
{
	char *text = strdup(cgroups), *line, *rest = text, *controllers, *path;
	int best = -1, this;

	while (text && (line = strsep(&rest, "\n"))) {
		controllers = strchr(line, ':');
		path = controllers ? strchr(controllers + 1, ':') : NULL;
		if (!path || path[1] != '/')
			continue;
		this = rank(controllers + 1, path - controllers - 1, path + 1);
		if (this <= best)
			continue;
		best = this;
		args__copy(who->cgroup, sizeof(who->cgroup), path + 1);
	}
	free(text);
}

/* As systemd escapes what names of units can't have: "\x2d" is '-', and '-' is '/'. */
static void unescape(char *s)
{
	char *to = s, hex[3];

	for (; *s; s++)
		if (s[0] == '\\' && s[1] == 'x' && isxdigit((unsigned char)s[2]) &&
		    isxdigit((unsigned char)s[3]) && (s[2] != '0' || s[3] != '0')) {
			memcpy(hex, s + 2, 2);
			hex[2] = '\0';
			*to++ = strtoul(hex, NULL, 16);
			s += 3;
		} else {
			*to++ = *s == '-' ? '/' : *s;
		}
	*to = '\0';
}

static bool cut_suffix(char *s, const char *suffix)
{
	size_t len = strlen(s), suffix_len = strlen(suffix);

	if (len < suffix_len || strcmp(s + len - suffix_len, suffix))
		return false;
	s[len - suffix_len] = '\0';
	return true;
}

/* libvirt's name of a machine is "qemu-1-web": the driver, the VM's number, and its name. */
static void read_machine(struct identity *who, const char *machine)
{
	static const char *const drivers[] = { "qemu-", "ch-" };
	size_t digits;

	for (size_t i = 0; i < sizeof(drivers) / sizeof(*drivers); i++) {
		if (!is_prefix(drivers[i], machine))
			continue;
		machine += strlen(drivers[i]);
		digits = strspn(machine, "0123456789");
		if (digits && machine[digits] == '-')
			args__copy(who->libvirt_name, sizeof(who->libvirt_name),
				   machine + digits + 1);
		return;
	}
}

/* With systemd "machine.slice/machine-X.scope", escaped; without it "machine/X.libvirt-qemu". */
static void read_libvirt(struct identity *who)
{
	char text[sizeof(who->cgroup)], *rest = text, *part, *before = NULL;

	args__copy(text, sizeof(text), who->cgroup);
	for (; (part = strsep(&rest, "/")); before = part) {
		bool slice = before &&
			     (!strcmp(before, "machine.slice") || is_prefix("machine-", before));

		if (slice && is_prefix("machine-", part) && cut_suffix(part, ".scope")) {
			part += strlen("machine-");
			unescape(part);
			read_machine(who, part);
			return;
		}
		if (before && !strcmp(before, "machine") &&
		    (cut_suffix(part, ".libvirt-qemu") || cut_suffix(part, ".libvirt-ch"))) {
			read_machine(who, part);
			return;
		}
	}
}

/* "kubepods-burstable-podUID.slice" with systemd, else "kubepods/burstable/podUID". */
static void read_pod(struct identity *who)
{
	const char *pods = strstr(who->cgroup, "kubepods"), *pod;

	for (pod = pods; pod && (pod = strstr(pod, "pod")); pod += strlen("pod"))
		if ((pod[-1] == '-' || pod[-1] == '/') &&
		    strnlen(pod, UUID_LEN + 3) >= UUID_CHARS + strlen("pod") &&
		    copy_uuid(who->pod_uid, pod + strlen("pod")))
			return;
}

static bool says_kubevirt(const struct args *args)
{
	const char *arg, *before = NULL;
	char maker[16];

	for (arg = args__next(args, NULL); arg; before = arg, arg = args__next(args, arg)) {
		if (strstr(arg, "/var/run/kubevirt"))
			return true;
		if (!before || strcmp(before, "-smbios"))
			continue;
		maker[0] = '\0';
		args__copy_item(maker, sizeof(maker), arg, "manufacturer", NULL);
		if (!strcmp(maker, "KubeVirt"))
			return true;
	}
	return false;
}

/* Kubernetes' names: lower-case letters, digits, '-', and '.' where dots is set. */
static bool is_name(const char *s, size_t most, bool dots)
{
	size_t len = strspn(s, dots ? "abcdefghijklmnopqrstuvwxyz0123456789-." :
				      "abcdefghijklmnopqrstuvwxyz0123456789-");

	return len && len <= most && !s[len];
}

/* KubeVirt calls a guest NAMESPACE_VMI; neither has an underscore in it. */
static void read_kubevirt(struct identity *who, const struct args *args)
{
	const char *value = args__option(args, "-name");
	char name[512] = "", *vmi;

	if (!value)
		value = args__option(args, "--name");
	if (!value || !says_kubevirt(args))
		return;
	args__copy_item(name, sizeof(name), value, "guest", "guest");
	vmi = strchr(name, '_');
	if (!vmi)
		return;
	*vmi++ = '\0';
	if (!is_name(name, sizeof(who->kube_namespace) - 1, false) ||
	    !is_name(vmi, sizeof(who->kube_vmi) - 1, true))
		return;
	args__copy(who->kube_namespace, sizeof(who->kube_namespace), name);
	args__copy(who->kube_vmi, sizeof(who->kube_vmi), vmi);
}

void identity__read(struct identity *who, const char *vmm, const char *exe, const struct args *args,
		    const char *cgroups)
{
	memset(who, 0, sizeof(*who));
	read_cgroup(who, cgroups);
	read_libvirt(who);
	read_pod(who);
	read_version(who, exe, vmm);
	if (!args->len)
		return;
	read_uuid(who, vmm, args);
	if (!strcmp(vmm, "qemu"))
		read_kubevirt(who, args);
}
