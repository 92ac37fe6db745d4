/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What kind of thing an exit was for, by the numbers of vmx_reasons.h,
 * svm_reasons.h and userspace_reasons.h. The same thing has the same class on
 * both vendors; where one vendor tells apart what the other one does not, the
 * class is the wider one's, if there is one.
 */
#include "exit_reasons.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

struct range {
	uint32_t first, last;
	const char *class;
};

/* In the order of their numbers; so are the others. */
static const struct range vmx_classes[] = {
	{ 0, 0, "exception" }, /* and NMIs of the host */
	{ 1, 1, "interrupt" },	    { 2, 2, "shutdown" },     { 3, 4, "init" },
	{ 7, 8, "window" },	    { 9, 9, "task_switch" },  { 10, 10, "cpuid" },
	{ 12, 12, "halt" },	    { 13, 13, "cache" },      { 14, 14, "tlb" },
	{ 15, 15, "pmc" },	    { 16, 16, "tsc" },	      { 18, 18, "hypercall" },
	{ 19, 27, "nested" },	    { 28, 28, "cr" },	      { 29, 29, "dr" },
	{ 30, 30, "io" },	    { 31, 32, "msr" },	      { 33, 34, "error" },
	{ 36, 36, "mwait" },	    { 37, 37, "debug" },      { 39, 39, "mwait" },
	{ 40, 40, "pause" },	    { 41, 41, "error" },      { 43, 44, "apic" },
	{ 45, 45, "eoi" },	    { 46, 47, "descriptor" }, { 48, 48, "fault" },
	{ 49, 49, "mmio" },	    { 50, 50, "nested" },     { 51, 51, "tsc" },
	{ 52, 52, "timer" },	    { 53, 53, "nested" },     { 54, 54, "cache" },
	{ 55, 55, "xsave" },	    { 56, 56, "apic" },	      { 57, 57, "random" },
	{ 58, 58, "tlb" },	    { 59, 59, "nested" },     { 60, 60, "other" },
	{ 61, 61, "random" },	    { 62, 62, "dirty_log" },  { 63, 64, "xsave" },
	{ 67, 68, "mwait" },	    { 74, 74, "bus_lock" },   { 75, 75, "notify" },
	{ 77, 77, "confidential" }, { 84, 85, "msr" },
};

static const struct range svm_classes[] = {
	{ 0x000, 0x01f, "cr" },
	{ 0x020, 0x03f, "dr" },
	{ 0x040, 0x05f, "exception" },
	{ 0x060, 0x060, "interrupt" },
	{ 0x061, 0x061, "exception" }, /* VMX has NMIs of the host there */
	{ 0x062, 0x062, "smm" },
	{ 0x063, 0x063, "init" },
	{ 0x064, 0x064, "window" }, /* vintr */
	{ 0x065, 0x065, "cr" },
	{ 0x066, 0x06d, "descriptor" },
	{ 0x06e, 0x06e, "tsc" },
	{ 0x06f, 0x06f, "pmc" },
	{ 0x070, 0x071, "other" }, /* pushf, popf */
	{ 0x072, 0x072, "cpuid" },
	{ 0x073, 0x073, "smm" },
	{ 0x074, 0x074, "window" }, /* iret: NMIs can be injected again */
	{ 0x075, 0x075, "other" },  /* swint */
	{ 0x076, 0x076, "cache" },
	{ 0x077, 0x077, "pause" },
	{ 0x078, 0x078, "halt" },
	{ 0x079, 0x079, "tlb" },
	{ 0x07a, 0x07a, "nested" }, /* invlpga */
	{ 0x07b, 0x07b, "io" },
	{ 0x07c, 0x07c, "msr" },
	{ 0x07d, 0x07d, "task_switch" },
	{ 0x07e, 0x07e, "other" }, /* ferr_freeze */
	{ 0x07f, 0x07f, "shutdown" },
	{ 0x080, 0x080, "nested" },
	{ 0x081, 0x081, "hypercall" },
	{ 0x082, 0x086, "nested" },
	{ 0x087, 0x087, "tsc" },
	{ 0x088, 0x088, "debug" }, /* icebp */
	{ 0x089, 0x089, "cache" },
	{ 0x08a, 0x08b, "mwait" },
	{ 0x08d, 0x08d, "xsave" },
	{ 0x08f, 0x08f, "msr" }, /* EFER */
	{ 0x090, 0x09f, "cr" },
	{ 0x0a2, 0x0a2, "tlb" },
	{ 0x0a5, 0x0a5, "bus_lock" },
	{ 0x0a6, 0x0a6, "halt" }, /* idle-halt */
	{ 0x400, 0x400, "fault" },
	{ 0x401, 0x402, "apic" },
	{ 0x403, 0x403, "confidential" },
	{ 0x80000001, 0x80000002, "mmio" },
	{ 0x80000003, 0x80000003, "window" },
	{ 0x80000004, 0x80000004, "halt" },
	{ 0x80000005, 0x80000005, "init" },
	{ 0x80000010, 0x80000012, "confidential" },
	{ 0x80000013, 0x80000013, "init" },
	{ 0x8000fffd, 0x8000fffd, "confidential" },
	{ 0xffffffff, 0xffffffff, "error" },
};

static const struct range userspace_classes[] = {
	{ 0, 0, "error" },	    { 1, 1, "exception" },   { 2, 2, "io" },
	{ 3, 3, "hypercall" },	    { 4, 4, "debug" },	     { 5, 5, "halt" },
	{ 6, 6, "mmio" },	    { 7, 7, "window" },	     { 8, 8, "shutdown" },
	{ 9, 9, "error" },	    { 10, 10, "interrupt" }, { 11, 12, "apic" },
	{ 13, 14, "other" },	    { 15, 15, "io" },	     { 16, 16, "exception" },
	{ 17, 17, "error" },	    { 18, 18, "other" },     { 19, 19, "hypercall" },
	{ 20, 20, "other" },	    { 21, 21, "timer" },     { 22, 22, "other" },
	{ 23, 23, "interrupt" },    { 24, 24, "shutdown" },  { 25, 25, "other" },
	{ 26, 26, "eoi" },	    { 27, 27, "hypercall" }, { 28, 28, "mmio" },
	{ 29, 30, "msr" },	    { 31, 31, "dirty_log" }, { 32, 32, "halt" },
	{ 33, 33, "bus_lock" },	    { 34, 35, "hypercall" }, { 36, 36, "cr" },
	{ 37, 37, "notify" },	    { 38, 38, "msr" },	     { 39, 39, "fault" },
	{ 40, 40, "confidential" }, { 41, 41, "exception" }, { 42, 42, "mmio" },
	{ 43, 43, "confidential" },
};

static const char *find(const struct range *ranges, size_t nr, uint64_t code)
{
	for (size_t i = 0; i < nr; i++)
		if (code >= ranges[i].first && code <= ranges[i].last)
			return ranges[i].class;
	return NULL;
}

const char *exit_reason__class(unsigned int isa, uint64_t code)
{
	if (isa == EXIT_ISA_VMX && code & VMX_REASON_FAILED_VMENTRY)
		return "error";
	if (isa == EXIT_ISA_VMX)
		return find(vmx_classes, ARRAY_SIZE(vmx_classes), code & VMX_REASON_MASK);
	if (isa == EXIT_ISA_SVM)
		return find(svm_classes, ARRAY_SIZE(svm_classes), svm_reason__code(code));
	return NULL;
}

const char *userspace_reason__class(uint32_t code)
{
	return find(userspace_classes, ARRAY_SIZE(userspace_classes), code);
}
