/* SPDX-License-Identifier: GPL-2.0-only */
#include "exit_reasons.h"

#include <inttypes.h>
#include <stdio.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

struct reason {
	uint32_t nr;
	const char *name;
};

/* The tables are written by scripts/gen-names.sh. */
static const struct reason vmx_reasons[] = {
#include "vmx_reasons.h"
};

static const struct reason svm_reasons[] = {
#include "svm_reasons.h"
};

static const struct reason userspace_reasons[] = {
#include "userspace_reasons.h"
};

static const char *find(const struct reason *reasons, size_t nr, uint64_t code)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (reasons[i].nr == code)
			return reasons[i].name;
	return NULL;
}

static const char *print(const char *name, uint64_t code, char *buf, size_t size)
{
	if (name)
		snprintf(buf, size, "%s", name);
	else
		snprintf(buf, size, "UNKNOWN(0x%" PRIx64 ")", code);
	return buf;
}

/* The reason is 32 bits wide: 16 of number and 16 of flags. */
static const char *vmx_name(uint32_t code, char *buf, size_t size)
{
	uint32_t basic = code & VMX_REASON_MASK;
	uint32_t other = code & ~(VMX_REASON_MASK | VMX_REASON_FAILED_VMENTRY);
	char name[24], flags[32] = "";

	print(find(vmx_reasons, ARRAY_SIZE(vmx_reasons), basic), basic, name, sizeof(name));
	if (code & VMX_REASON_FAILED_VMENTRY && other)
		snprintf(flags, sizeof(flags), " FAILED_VMENTRY|0x%" PRIx32, other);
	else if (code & VMX_REASON_FAILED_VMENTRY)
		snprintf(flags, sizeof(flags), " FAILED_VMENTRY");
	else if (other)
		snprintf(flags, sizeof(flags), " 0x%" PRIx32, other);
	snprintf(buf, size, "%s%s", name, flags);
	return buf;
}

uint64_t svm_reason__code(uint64_t code)
{
	return code >> 32 == UINT32_MAX && code & 0x80000000U ? (uint32_t)code : code;
}

const char *exit_reason__name(unsigned int isa, uint64_t code, char *buf, size_t size)
{
	const char *name = NULL;

	if (isa == EXIT_ISA_VMX)
		return vmx_name(code, buf, size);
	if (isa == EXIT_ISA_SVM)
		name = find(svm_reasons, ARRAY_SIZE(svm_reasons), svm_reason__code(code));
	return print(name, code, buf, size);
}

bool exit_reason__is_halt(unsigned int isa, uint64_t code)
{
	if (isa == EXIT_ISA_VMX)
		return (code & VMX_REASON_MASK) == VMX_REASON_HLT;
	return isa == EXIT_ISA_SVM && code == SVM_REASON_HLT;
}

const char *userspace_reason__name(uint32_t code, char *buf, size_t size)
{
	return print(find(userspace_reasons, ARRAY_SIZE(userspace_reasons), code), code, buf, size);
}
