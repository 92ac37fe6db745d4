// SPDX-License-Identifier: GPL-2.0-only
/*
 * Chapter "Guest OS Identity" of Microsoft's Hypervisor Top-Level Functional Specification:
 * bit 63 tells open systems from Microsoft's and others'.
 */
#include "guest_os.h"

#include <inttypes.h>
#include <stdio.h>

enum { VENDOR_MICROSOFT = 1 };

static unsigned int bits(uint64_t id, int from, int nr)
{
	return id >> from & ((1ULL << nr) - 1);
}

/* The version is the system's own: Linux' is its LINUX_VERSION_CODE. */
static const char *open_system(uint64_t id, char *text)
{
	static const char *const names[] = { NULL, "Linux", "FreeBSD", "Xen", "illumos" };
	unsigned int type = bits(id, 56, 7), version = bits(id, 16, 32);
	const char *name = type < sizeof(names) / sizeof(*names) ? names[type] : NULL;

	if (!name)
		snprintf(text, GUEST_OS_LEN, "open system %u, version %#x", type, version);
	else if (type == 1)
		snprintf(text, GUEST_OS_LEN, "%s %u.%u.%u", name, version >> 16, version >> 8 & 255,
			 version & 255);
	else
		snprintf(text, GUEST_OS_LEN, "%s, version %#x", name, version);
	return text;
}

const char *guest_os__name(uint64_t id, char text[GUEST_OS_LEN])
{
	static const char *const names[] = { NULL,	   "MS-DOS",  "Windows 3",
					     "Windows 9x", "Windows", "Windows CE" };
	unsigned int os = bits(id, 40, 8);

	if (id >> 63)
		return open_system(id, text);
	if (bits(id, 48, 15) == VENDOR_MICROSOFT && os < sizeof(names) / sizeof(*names) &&
	    names[os])
		snprintf(text, GUEST_OS_LEN, "%s %u.%u build %u", names[os], bits(id, 32, 8),
			 bits(id, 24, 8), bits(id, 0, 16));
	else
		snprintf(text, GUEST_OS_LEN, "%#" PRIx64, id);
	return text;
}
