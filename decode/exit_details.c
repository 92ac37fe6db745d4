// SPDX-License-Identifier: GPL-2.0-only
#include "exit_details.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "exit_reasons.h"
#include "hypercalls.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

struct number {
	uint32_t nr;
	const char *name;
};

/* In the order of their numbers. */
struct range {
	uint32_t first, last;
	const char *name;
};

/* Written by scripts/gen-msr-names.sh. */
static const struct number msrs[] = {
#include "msrs.h"
};

/* Where a PC has its devices. PCI's are where the firmware has put them, so they have no name. */
static const struct range ports[] = {
	{ 0x0000, 0x001f, "DMA" },	     { 0x0020, 0x0021, "PIC" },
	{ 0x0040, 0x0043, "PIT" },	     { 0x0060, 0x0060, "keyboard data" },
	{ 0x0061, 0x0061, "PIT gate" },	     { 0x0064, 0x0064, "keyboard control" },
	{ 0x0070, 0x0070, "CMOS index" },    { 0x0071, 0x0071, "CMOS data" },
	{ 0x0080, 0x0080, "POST code" },     { 0x0081, 0x008f, "DMA page" },
	{ 0x0092, 0x0092, "A20 gate" },	     { 0x00a0, 0x00a1, "PIC" },
	{ 0x00b2, 0x00b3, "SMI command" },   { 0x00c0, 0x00df, "DMA" },
	{ 0x00ed, 0x00ed, "I/O delay" },     { 0x0170, 0x0177, "IDE 2" },
	{ 0x01ce, 0x01d0, "VBE" },	     { 0x01f0, 0x01f7, "IDE 1" },
	{ 0x02e8, 0x02ef, "UART 4" },	     { 0x02f8, 0x02ff, "UART 2" },
	{ 0x0376, 0x0376, "IDE 2 control" }, { 0x0378, 0x037a, "parallel port" },
	{ 0x03b0, 0x03df, "VGA" },	     { 0x03e8, 0x03ef, "UART 3" },
	{ 0x03f0, 0x03f5, "floppy" },	     { 0x03f6, 0x03f6, "IDE 1 control" },
	{ 0x03f7, 0x03f7, "floppy" },	     { 0x03f8, 0x03ff, "UART 1" },
	{ 0x0402, 0x0402, "firmware log" },  { 0x0510, 0x051b, "fw_cfg" },
	{ 0x0600, 0x0607, "ACPI PM" },	     { 0x0608, 0x060b, "ACPI PM timer" },
	{ 0x060c, 0x063f, "ACPI PM" },	     { 0x0cf8, 0x0cf8, "PCI config address" },
	{ 0x0cf9, 0x0cf9, "reset" },	     { 0x0cfc, 0x0cff, "PCI config data" },
	{ 0x5658, 0x5659, "VMware" },	     { 0xae00, 0xae1f, "PCI hotplug" },
	{ 0xaf00, 0xaf1f, "CPU hotplug" },   { 0xafe0, 0xafe3, "ACPI GPE" },
	{ 0xb000, 0xb007, "ACPI PM" },	     { 0xb008, 0xb00b, "ACPI PM timer" },
	{ 0xb00c, 0xb03f, "ACPI PM" },
};

static const struct range cpuid_leaves[] = {
	{ 0x00000000, 0x00000000, "vendor" },
	{ 0x00000001, 0x00000001, "features" },
	{ 0x00000002, 0x00000002, "caches, old" },
	{ 0x00000004, 0x00000004, "caches" },
	{ 0x00000005, 0x00000005, "MWAIT" },
	{ 0x00000006, 0x00000006, "power" },
	{ 0x00000007, 0x00000007, "more features" },
	{ 0x0000000a, 0x0000000a, "PMU" },
	{ 0x0000000b, 0x0000000b, "topology" },
	{ 0x0000000d, 0x0000000d, "XSAVE" },
	{ 0x0000000f, 0x0000000f, "resource monitoring" },
	{ 0x00000010, 0x00000010, "resource allocation" },
	{ 0x00000012, 0x00000012, "SGX" },
	{ 0x00000014, 0x00000014, "processor trace" },
	{ 0x00000015, 0x00000015, "TSC frequency" },
	{ 0x00000016, 0x00000016, "frequencies" },
	{ 0x00000018, 0x00000018, "TLB" },
	{ 0x0000001a, 0x0000001a, "hybrid" },
	{ 0x0000001c, 0x0000001c, "branch records" },
	{ 0x0000001d, 0x0000001e, "AMX" },
	{ 0x0000001f, 0x0000001f, "topology" },
	{ 0x00000023, 0x00000023, "PMU" },
	{ 0x00000024, 0x00000024, "AVX10" },
	{ 0x40000000, 0x4000ffff, "hypervisor" },
	{ 0x80000000, 0x80000000, "extended leaves" },
	{ 0x80000001, 0x80000001, "extended features" },
	{ 0x80000002, 0x80000004, "brand" },
	{ 0x80000005, 0x80000006, "caches" },
	{ 0x80000007, 0x80000007, "power, invariant TSC" },
	{ 0x80000008, 0x80000008, "address sizes" },
	{ 0x8000000a, 0x8000000a, "SVM" },
	{ 0x80000019, 0x80000019, "TLB" },
	{ 0x8000001b, 0x8000001b, "sampling" },
	{ 0x8000001d, 0x8000001d, "caches" },
	{ 0x8000001e, 0x8000001e, "topology" },
	{ 0x8000001f, 0x8000001f, "memory encryption" },
	{ 0x80000020, 0x80000020, "resource control" },
	{ 0x80000021, 0x80000021, "more features" },
	{ 0x80000022, 0x80000022, "PMU" },
	{ 0x80000026, 0x80000026, "topology" },
};

/* Of the local APIC, one every 16 bytes; as MSRs of the x2APIC one after the other. */
static const char *const apic_registers[] = {
	[0x02] = "ID",		[0x03] = "VERSION",	 [0x08] = "TPR",
	[0x09] = "APR",		[0x0a] = "PPR",		 [0x0b] = "EOI",
	[0x0c] = "RRD",		[0x0d] = "LDR",		 [0x0e] = "DFR",
	[0x0f] = "SPURIOUS",	[0x28] = "ESR",		 [0x2f] = "LVT_CMCI",
	[0x30] = "ICR",		[0x31] = "ICR2",	 [0x32] = "LVT_TIMER",
	[0x33] = "LVT_THERMAL", [0x34] = "LVT_PERF",	 [0x35] = "LVT_LINT0",
	[0x36] = "LVT_LINT1",	[0x37] = "LVT_ERROR",	 [0x38] = "TIMER_INIT",
	[0x39] = "TIMER_COUNT", [0x3e] = "TIMER_DIVIDE", [0x3f] = "SELF_IPI",
};

/* Sets of 8: in-service, trigger mode and requests, 32 vectors each. */
static const char *const apic_sets[] = { "ISR", "TMR", "IRR" };

static const char *const exceptions[] = {
	"#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", NULL,  "#TS",
	"#NP", "#SS", "#GP", "#PF", NULL,  "#MF", "#AC", "#MC", "#XM", "#VE", "#CP",
	NULL,  NULL,  NULL,  NULL,  NULL,  NULL,  "#HV", "#VC", "#SX",
};

static const char *find_range(const struct range *list, size_t nr, uint32_t wanted)
{
	for (size_t i = 0; i < nr && list[i].first <= wanted; i++)
		if (wanted <= list[i].last)
			return list[i].name;
	return NULL;
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = ((const struct number *)b)->nr;

	return (x > y) - (x < y);
}

/* "EOI", "IRR3"; NULL: there is no such register. */
static const char *apic_register(uint32_t reg, char *buf, size_t size)
{
	if (reg >= 0x10 && reg < 0x28) {
		snprintf(buf, size, "%s%u", apic_sets[(reg - 0x10) / 8], reg % 8);
		return buf;
	}
	return reg < ARRAY_SIZE(apic_registers) ? apic_registers[reg] : NULL;
}

const char *msr__name(uint32_t msr, char *buf, size_t size)
{
	static const char *const banks[] = { "CTL", "STATUS", "ADDR", "MISC" };
	const struct number *known;
	char text[8];
	const char *reg;

	if (msr >= 0x800 && msr < 0x900) {
		reg = apic_register(msr - 0x800, text, sizeof(text));
		snprintf(buf, size, "X2APIC_%s", reg ?: "");
		return reg ? buf : NULL;
	}
	if (msr >= 0x200 && msr < 0x220)
		snprintf(buf, size, "MTRR_%s%u", msr & 1 ? "MASK" : "BASE", (msr - 0x200) / 2);
	else if (msr >= 0x400 && msr < 0x480)
		snprintf(buf, size, "MC%u_%s", (msr - 0x400) / 4, banks[msr & 3]);
	else if ((known = bsearch(&msr, msrs, ARRAY_SIZE(msrs), sizeof(*msrs), by_number)))
		snprintf(buf, size, "%s", known->name);
	else
		return NULL;
	return buf;
}

const char *port__name(uint16_t port)
{
	return find_range(ports, ARRAY_SIZE(ports), port);
}

static const char *hpet_register(uint32_t offset, char *buf, size_t size)
{
	static const char *const timers[] = { "config", "comparator", "route" };
	const char *name = NULL;

	switch (offset & ~7U) {
	case 0x000:
		name = "capabilities";
		break;
	case 0x010:
		name = "config";
		break;
	case 0x020:
		name = "status";
		break;
	case 0x0f0:
		name = "counter";
		break;
	}
	if (!name && (offset < 0x100 || (offset >> 3 & 3) == 3))
		return "HPET";
	if (name)
		snprintf(buf, size, "HPET %s", name);
	else
		snprintf(buf, size, "HPET timer %u %s", (offset - 0x100) / 0x20,
			 timers[offset >> 3 & 3]);
	return buf;
}

static const char *ioapic_register(uint32_t offset)
{
	switch (offset) {
	case 0x00:
		return "IOAPIC index";
	case 0x10:
		return "IOAPIC data";
	case 0x40:
		return "IOAPIC EOI";
	}
	return "IOAPIC";
}

/* NULL: it is of no device whose address is the same in all PCs. */
static const char *address_name(uint64_t gpa, char *buf, size_t size)
{
	const char *reg;
	char text[8];

	switch (gpa >> 12) {
	case 0xfee00:
		reg = apic_register((gpa & 0xfff) >> 4, text, sizeof(text));
		snprintf(buf, size, "APIC%s%s", reg ? " " : "", reg ?: "");
		return buf;
	case 0xfec00:
		return ioapic_register(gpa & 0xfff);
	case 0xfed00:
		return hpet_register(gpa & 0xfff, buf, size);
	case 0xfed40 ... 0xfed44:
		return "TPM";
	case 0xa0 ... 0xbf:
		return "VGA memory";
	case 0xff000 ... 0xfffff:
		return "firmware";
	}
	return NULL;
}

/* "0x1b", and behind it the name, if it has one. */
static void number_and_name(char *buf, size_t size, const char *before, uint64_t nr,
			    const char *name)
{
	snprintf(buf, size, "%s0x%" PRIx64 "%s%s", before, nr, name ? " " : "", name ?: "");
}

static void cpuid_name(uint64_t value, char *buf, size_t size)
{
	uint32_t leaf = value, subleaf = value >> 32;
	const char *name = find_range(cpuid_leaves, ARRAY_SIZE(cpuid_leaves), leaf);
	char part[16] = "";

	if (subleaf)
		snprintf(part, sizeof(part), ".0x%" PRIx32, subleaf);
	snprintf(buf, size, "0x%" PRIx32 "%s%s%s", leaf, part, name ? " " : "", name ?: "");
}

const char *exit_detail__name(uint32_t type, uint64_t value, char *buf, size_t size)
{
	bool write = type & DETAIL_WRITE;
	unsigned int more = type >> DETAIL_MORE;
	char text[48], size_text[16];
	const char *name;

	switch (type & DETAIL_KIND) {
	case DETAIL_MSR:
		number_and_name(buf, size, write ? "write " : "read ", value,
				msr__name(value, text, sizeof(text)));
		break;
	case DETAIL_PIO:
		name = port__name(value);
		snprintf(size_text, sizeof(size_text), "%u B", more);
		snprintf(buf, size, "%s 0x%" PRIx64 " %s%s%s", write ? "out" : "in", value,
			 size_text, name ? " " : "", name ?: "");
		break;
	case DETAIL_MMIO:
		number_and_name(buf, size, write ? "write " : "read ", value,
				address_name(value, text, sizeof(text)));
		break;
	case DETAIL_CPUID:
		cpuid_name(value, buf, size);
		break;
	case DETAIL_CR:
	case DETAIL_DR:
		snprintf(buf, size, "%s %cR%" PRIu64, write ? "write" : "read",
			 (type & DETAIL_KIND) == DETAIL_CR ? 'C' : 'D', value);
		break;
	case DETAIL_EXCEPTION:
		name = value < ARRAY_SIZE(exceptions) ? exceptions[value] : NULL;
		snprintf(buf, size, "%" PRIu64 "%s%s", value, name ? " " : "", name ?: "");
		break;
	case DETAIL_HYPERCALL:
		snprintf(buf, size, "%s %s", hypercall__abi(more),
			 hypercall__name(more, value, text, sizeof(text)));
		break;
	default:
		snprintf(buf, size, "(%s)", exit_detail__kind(type));
	}
	return buf;
}

const char *exit_detail__kind(uint32_t type)
{
	static const char *const names[] = {
		[DETAIL_NONE] = "none",
		[DETAIL_MSR] = "msr",
		[DETAIL_PIO] = "pio",
		[DETAIL_MMIO] = "mmio",
		[DETAIL_CPUID] = "cpuid",
		[DETAIL_CR] = "cr",
		[DETAIL_DR] = "dr",
		[DETAIL_EXCEPTION] = "exception",
		[DETAIL_HYPERCALL] = "hypercall",
		[DETAIL_OTHERS] = "others",
	};
	unsigned int kind = type & DETAIL_KIND;

	return kind < ARRAY_SIZE(names) ? names[kind] : "none";
}

/* SVM_EXIT_*: reads and writes of 16 registers each, then an exception each. */
void exit_detail__of_reason(unsigned int isa, uint32_t code, uint32_t *type, uint64_t *value)
{
	if (isa != EXIT_ISA_SVM || code >= 0x60)
		return;
	if (code >= 0x40) {
		*type = DETAIL_EXCEPTION;
		*value = code - 0x40;
		return;
	}
	*type = (code < 0x20 ? DETAIL_CR : DETAIL_DR) | (code & 0x10 ? DETAIL_WRITE : 0);
	*value = code & 0xf;
}
