/* SPDX-License-Identifier: GPL-2.0-only */
/* Names of what exits were for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../decode/exit_details.h"
#include "../../decode/hypercall_abi.h"

static const struct {
	uint32_t type;
	uint64_t value;
	const char *name, *kind;
} details[] = {
	{ DETAIL_MSR, 0x1b, "read 0x1b IA32_APICBASE", "msr" },
	{ DETAIL_MSR | DETAIL_WRITE, 0x6e0, "write 0x6e0 IA32_TSC_DEADLINE", "msr" },
	{ DETAIL_MSR, 0xc0000080, "read 0xc0000080 EFER", "msr" },
	{ DETAIL_MSR, 0x40000020, "read 0x40000020 HV_TIME_REF_COUNT", "msr" },
	{ DETAIL_MSR, 0x4b564d01, "read 0x4b564d01 KVM_SYSTEM_TIME_NEW", "msr" },
	{ DETAIL_MSR, 0x12, "read 0x12 KVM_SYSTEM_TIME", "msr" },
	{ DETAIL_MSR | DETAIL_WRITE, 0x830, "write 0x830 X2APIC_ICR", "msr" },
	{ DETAIL_MSR, 0x817, "read 0x817 X2APIC_ISR7", "msr" },
	{ DETAIL_MSR, 0x820, "read 0x820 X2APIC_IRR0", "msr" },
	{ DETAIL_MSR, 0x800, "read 0x800", "msr" },
	{ DETAIL_MSR, 0x8ff, "read 0x8ff", "msr" },
	{ DETAIL_MSR, 0x203, "read 0x203 MTRR_MASK1", "msr" },
	{ DETAIL_MSR, 0x405, "read 0x405 MC1_STATUS", "msr" },
	{ DETAIL_MSR, 0xffffffff, "read 0xffffffff", "msr" },
	{ DETAIL_PIO | 4 << DETAIL_MORE, 0x608, "in 0x608 4 B ACPI PM timer", "pio" },
	{ DETAIL_PIO | DETAIL_WRITE | 1 << DETAIL_MORE, 0x70, "out 0x70 1 B CMOS index", "pio" },
	{ DETAIL_PIO | DETAIL_WRITE | 2 << DETAIL_MORE, 0xffff, "out 0xffff 2 B", "pio" },
	{ DETAIL_PIO | 1 << DETAIL_MORE, 0x3fd, "in 0x3fd 1 B UART 1", "pio" },
	{ DETAIL_MMIO, 0xfed000f0, "read 0xfed000f0 HPET counter", "mmio" },
	{ DETAIL_MMIO | DETAIL_WRITE, 0xfed00128, "write 0xfed00128 HPET timer 1 comparator",
	  "mmio" },
	{ DETAIL_MMIO, 0xfed00118, "read 0xfed00118 HPET", "mmio" },
	{ DETAIL_MMIO, 0xfed00050, "read 0xfed00050 HPET", "mmio" },
	{ DETAIL_MMIO | DETAIL_WRITE, 0xfee000b0, "write 0xfee000b0 APIC EOI", "mmio" },
	{ DETAIL_MMIO, 0xfee00ff0, "read 0xfee00ff0 APIC", "mmio" },
	{ DETAIL_MMIO, 0xfec00010, "read 0xfec00010 IOAPIC data", "mmio" },
	{ DETAIL_MMIO, 0xb8000, "read 0xb8000 VGA memory", "mmio" },
	{ DETAIL_MMIO, 0xfffff000, "read 0xfffff000 firmware", "mmio" },
	{ DETAIL_MMIO, UINT64_MAX, "read 0xffffffffffffffff", "mmio" },
	{ DETAIL_CPUID, 4 | 3ULL << 32, "0x4.0x3 caches", "cpuid" },
	{ DETAIL_CPUID, 0x40000001, "0x40000001 hypervisor", "cpuid" },
	{ DETAIL_CPUID, 0xffffffff, "0xffffffff", "cpuid" },
	{ DETAIL_CR | DETAIL_WRITE, 4, "write CR4", "cr" },
	{ DETAIL_DR, 7, "read DR7", "dr" },
	{ DETAIL_EXCEPTION, 14, "14 #PF", "exception" },
	{ DETAIL_EXCEPTION, 15, "15", "exception" },
	{ DETAIL_EXCEPTION, 255, "255", "exception" },
	{ DETAIL_HYPERCALL | HYPERCALL_KVM << DETAIL_MORE, 10, "kvm SEND_IPI", "hypercall" },
	{ DETAIL_HYPERCALL | HYPERCALL_HYPERV << DETAIL_MORE, 8, "hyperv NOTIFY_LONG_SPIN_WAIT",
	  "hypercall" },
	{ DETAIL_HYPERCALL | HYPERCALL_XEN << DETAIL_MORE, UINT64_MAX,
	  "xen UNKNOWN(18446744073709551615)", "hypercall" },
	{ DETAIL_NONE, 0, "(none)", "none" },
	{ DETAIL_OTHERS, 0, "(others)", "others" },
	{ 0xff, 0, "(none)", "none" },
};

static void test_names(void **state)
{
	char buf[EXIT_DETAIL_LEN];

	(void)state;
	for (size_t i = 0; i < sizeof(details) / sizeof(*details); i++) {
		assert_string_equal(
			exit_detail__name(details[i].type, details[i].value, buf, sizeof(buf)),
			details[i].name);
		assert_string_equal(exit_detail__kind(details[i].type), details[i].kind);
	}
}

/* Whatever a guest asks for has a text that fits. */
static void test_all_fit(void **state)
{
	char buf[EXIT_DETAIL_LEN], text[64];

	(void)state;
	for (uint32_t nr = 0; nr < 0x10000; nr++) {
		const char *port = port__name(nr);

		assert_true(!port || *port);
		if (msr__name(nr, text, sizeof(text)))
			assert_true(*text && strlen(text) < 40);
		for (uint32_t kind = 0; kind < 12; kind++)
			assert_true(strlen(exit_detail__name(kind, ~(uint64_t)nr << 32 | nr, buf,
							     sizeof(buf))) < sizeof(buf) - 1);
	}
}

/* Lists are looked through in their order: none of theirs hides another one. */
static void test_lists_are_in_order(void **state)
{
	static const uint16_t there[] = {
		0x20,  0x61,  0x64,  0x71,  0x80,  0x92,  0xa1,	  0xcf8,
		0xcfc, 0x1f0, 0x376, 0x3f7, 0x2f8, 0x510, 0x5658, 0xb008
	};
	char text[64];

	(void)state;
	for (size_t i = 0; i < sizeof(there) / sizeof(*there); i++)
		assert_non_null(port__name(there[i]));
	assert_null(port__name(0xc000));
	assert_string_equal(msr__name(0xc0000102, text, sizeof(text)), "KERNEL_GS_BASE");
}

/* SVM_EXIT_* of arch/x86/include/uapi/asm/svm.h */
static void test_reasons_of_svm(void **state)
{
	static const struct {
		uint32_t code, type;
		uint64_t value;
	} reasons[] = {
		{ 0x000, DETAIL_CR, 0 },
		{ 0x014, DETAIL_CR | DETAIL_WRITE, 4 },
		{ 0x018, DETAIL_CR | DETAIL_WRITE, 8 },
		{ 0x027, DETAIL_DR, 7 },
		{ 0x030, DETAIL_DR | DETAIL_WRITE, 0 },
		{ 0x046, DETAIL_EXCEPTION, 6 },
		{ 0x05f, DETAIL_EXCEPTION, 31 },
		{ 0x060, DETAIL_NONE, 0 },
		{ 0x07b, DETAIL_NONE, 0 },
		{ 0xffffffff, DETAIL_NONE, 0 },
	};
	uint32_t type;
	uint64_t value;

	(void)state;
	for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++) {
		type = 0;
		value = 0;
		exit_detail__of_reason(2, reasons[i].code, &type, &value);
		assert_int_equal(type, reasons[i].type);
		assert_int_equal(value, reasons[i].value);
		type = 0;
		exit_detail__of_reason(1, reasons[i].code, &type, &value);
		assert_int_equal(type, DETAIL_NONE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_all_fit),
		cmocka_unit_test(test_lists_are_in_order),
		cmocka_unit_test(test_reasons_of_svm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
