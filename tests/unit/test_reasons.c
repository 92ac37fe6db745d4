/* SPDX-License-Identifier: GPL-2.0-only */
/* The names against the headers of the machine that builds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <linux/kvm.h>
#include <asm/svm.h>
#include <asm/vmx.h>

#include "../../decode/exit_reasons.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

struct pair {
	uint64_t nr;
	const char *name;
};

static const struct pair vmx[] = { VMX_EXIT_REASONS };
static const struct pair svm[] = { SVM_EXIT_REASONS };

#define EXIT(name)                     \
	{                              \
		KVM_EXIT_##name, #name \
	}
static const struct pair userspace[] = {
	EXIT(UNKNOWN),
	EXIT(EXCEPTION),
	EXIT(IO),
	EXIT(HYPERCALL),
	EXIT(DEBUG),
	EXIT(HLT),
	EXIT(MMIO),
	EXIT(IRQ_WINDOW_OPEN),
	EXIT(SHUTDOWN),
	EXIT(FAIL_ENTRY),
	EXIT(INTR),
	EXIT(SET_TPR),
	EXIT(TPR_ACCESS),
	EXIT(S390_SIEIC),
	EXIT(S390_RESET),
	EXIT(DCR),
	EXIT(NMI),
	EXIT(INTERNAL_ERROR),
	EXIT(OSI),
	EXIT(PAPR_HCALL),
	EXIT(S390_UCONTROL),
	EXIT(WATCHDOG),
	EXIT(S390_TSCH),
	EXIT(EPR),
	EXIT(SYSTEM_EVENT),
	EXIT(S390_STSI),
	EXIT(IOAPIC_EOI),
	EXIT(HYPERV),
	EXIT(ARM_NISV),
	EXIT(X86_RDMSR),
	EXIT(X86_WRMSR),
	EXIT(DIRTY_RING_FULL),
	EXIT(AP_RESET_HOLD),
	EXIT(X86_BUS_LOCK),
	EXIT(XEN),
	EXIT(RISCV_SBI),
	EXIT(RISCV_CSR),
	EXIT(NOTIFY),
#ifdef KVM_EXIT_LOONGARCH_IOCSR
	EXIT(LOONGARCH_IOCSR),
#endif
#ifdef KVM_EXIT_MEMORY_FAULT
	EXIT(MEMORY_FAULT),
#endif
#ifdef KVM_EXIT_TDX
	EXIT(TDX),
#endif
};

static void assert_name(unsigned int isa, uint64_t code, const char *name)
{
	char buf[EXIT_REASON_NAME_LEN];

	assert_ptr_equal(exit_reason__name(isa, code, buf, sizeof(buf)), buf);
	assert_string_equal(buf, name);
}

static void assert_userspace(uint32_t code, const char *name)
{
	char buf[EXIT_REASON_NAME_LEN];

	assert_ptr_equal(userspace_reason__name(code, buf, sizeof(buf)), buf);
	assert_string_equal(buf, name);
}

static void test_headers(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(vmx); i++)
		assert_name(EXIT_ISA_VMX, vmx[i].nr, vmx[i].name);
	for (i = 0; i < ARRAY_SIZE(svm); i++)
		assert_name(EXIT_ISA_SVM, svm[i].nr, svm[i].name);
	for (i = 0; i < ARRAY_SIZE(userspace); i++)
		assert_userspace(userspace[i].nr, userspace[i].name);
}

static void test_constants(void **state)
{
	(void)state;
	assert_int_equal(VMX_REASON_HLT, EXIT_REASON_HLT);
	assert_int_equal(SVM_REASON_HLT, SVM_EXIT_HLT);
	assert_int_equal(VMX_REASON_FAILED_VMENTRY, VMX_EXIT_REASONS_FAILED_VMENTRY);
}

/* Newer than the oldest headers this is built with. */
static void test_newer(void **state)
{
	(void)state;
	assert_name(EXIT_ISA_VMX, 74, "BUS_LOCK");
	assert_name(EXIT_ISA_VMX, 77, "TDCALL");
	assert_name(EXIT_ISA_VMX, 84, "MSR_READ_IMM");
	assert_name(EXIT_ISA_SVM, 0xa6, "idle-halt");
	assert_userspace(39, "MEMORY_FAULT");
	assert_userspace(43, "SNP_REQ_CERTS");
}

static void test_unknown(void **state)
{
	(void)state;
	assert_name(EXIT_ISA_VMX, 5, "UNKNOWN(0x5)");
	assert_name(EXIT_ISA_VMX, 0xffff, "UNKNOWN(0xffff)");
	assert_name(EXIT_ISA_SVM, 0x001, "UNKNOWN(0x1)");
	assert_name(EXIT_ISA_SVM, 0x404, "UNKNOWN(0x404)");
	assert_name(EXIT_ISA_SVM, 0x100000078, "UNKNOWN(0x100000078)");
	assert_name(EXIT_ISA_SVM, 0xffffffff00000078, "UNKNOWN(0xffffffff00000078)");
	assert_name(0, 0x78, "UNKNOWN(0x78)");
	assert_name(3, UINT64_MAX, "UNKNOWN(0xffffffffffffffff)");
	assert_userspace(255, "UNKNOWN(0xff)");
	assert_userspace(UINT32_MAX, "UNKNOWN(0xffffffff)");
}

/* 32 bits wide up to 6.x, 64 bits later. */
static void test_negative(void **state)
{
	(void)state;
	assert_name(EXIT_ISA_SVM, UINT32_MAX, "invalid_guest_state");
	assert_name(EXIT_ISA_SVM, UINT64_MAX, "invalid_guest_state");
	assert_name(EXIT_ISA_SVM, 0x80000001, "vmgexit_mmio_read");
}

static void test_vmx_flags(void **state)
{
	(void)state;
	assert_name(EXIT_ISA_VMX, 0x80000021, "INVALID_STATE FAILED_VMENTRY");
	assert_name(EXIT_ISA_VMX, 0x8000ffff, "UNKNOWN(0xffff) FAILED_VMENTRY");
	assert_name(EXIT_ISA_VMX, 0x08000000, "EXCEPTION_NMI 0x8000000");
	assert_name(EXIT_ISA_VMX, 0x88000022, "MSR_LOAD_FAIL FAILED_VMENTRY|0x8000000");
}

/* EXIT_REASON_NAME_LEN really is enough for the longest there can be. */
static void test_longest(void **state)
{
	(void)state;
	assert_name(EXIT_ISA_VMX, 41 | 0xffff0000U, "MCE_DURING_VMENTRY FAILED_VMENTRY|0x7fff0000");
}

static void test_halt(void **state)
{
	(void)state;
	assert_true(exit_reason__is_halt(EXIT_ISA_VMX, 12));
	assert_true(exit_reason__is_halt(EXIT_ISA_SVM, 0x78));
	assert_false(exit_reason__is_halt(EXIT_ISA_VMX, 0x78));
	assert_false(exit_reason__is_halt(EXIT_ISA_SVM, 12));
	assert_false(exit_reason__is_halt(EXIT_ISA_SVM, 0x100000078));
	assert_false(exit_reason__is_halt(0, 12));
	assert_false(exit_reason__is_halt(3, 0x78));
}

/* Every reason that has a name has a class, and nothing else has. */
static void test_every_reason_has_a_class(void **state)
{
	static const uint64_t high[] = { 0x80000001, 0x80000002, 0x80000003, 0x80000004,
					 0x80000005, 0x80000010, 0x80000011, 0x80000012,
					 0x80000013, 0x8000fffd, UINT32_MAX, UINT64_MAX };
	char buf[EXIT_REASON_NAME_LEN];

	(void)state;
	for (unsigned int isa = EXIT_ISA_VMX; isa <= EXIT_ISA_SVM; isa++)
		for (uint64_t code = 0; code < 0x1000; code++) {
			exit_reason__name(isa, code, buf, sizeof(buf));
			if (strncmp(buf, "UNKNOWN", 7) && !exit_reason__class(isa, code))
				fail_msg("%s has no class", buf);
		}
	for (size_t i = 0; i < ARRAY_SIZE(high); i++) {
		exit_reason__name(EXIT_ISA_SVM, high[i], buf, sizeof(buf));
		assert_int_not_equal(strncmp(buf, "UNKNOWN", 7), 0);
		if (!exit_reason__class(EXIT_ISA_SVM, high[i]))
			fail_msg("%s has no class", buf);
	}
	for (uint32_t code = 0; code < 256; code++) {
		userspace_reason__name(code, buf, sizeof(buf));
		if ((!code || strncmp(buf, "UNKNOWN", 7)) && !userspace_reason__class(code))
			fail_msg("%s has no class", buf);
	}
	assert_null(exit_reason__class(EXIT_ISA_VMX, 999));
	assert_null(exit_reason__class(EXIT_ISA_SVM, 0x900));
	assert_null(exit_reason__class(0, 1));
	assert_null(userspace_reason__class(200));
}

static void test_classes_are_of_all_vendors(void **state)
{
	static const struct {
		uint64_t vmx, svm;
		const char *class;
	} same[] = {
		{ EXIT_REASON_IO_INSTRUCTION, SVM_EXIT_IOIO, "io" },
		{ EXIT_REASON_MSR_WRITE, SVM_EXIT_MSR, "msr" },
		{ EXIT_REASON_CPUID, SVM_EXIT_CPUID, "cpuid" },
		{ EXIT_REASON_HLT, SVM_EXIT_HLT, "halt" },
		{ EXIT_REASON_PAUSE_INSTRUCTION, SVM_EXIT_PAUSE, "pause" },
		{ EXIT_REASON_EXTERNAL_INTERRUPT, SVM_EXIT_INTR, "interrupt" },
		{ EXIT_REASON_INTERRUPT_WINDOW, SVM_EXIT_VINTR, "window" },
		{ EXIT_REASON_NMI_WINDOW, SVM_EXIT_IRET, "window" },
		{ EXIT_REASON_CR_ACCESS, SVM_EXIT_WRITE_CR0, "cr" },
		{ EXIT_REASON_DR_ACCESS, SVM_EXIT_READ_DR7, "dr" },
		{ EXIT_REASON_EXCEPTION_NMI, SVM_EXIT_EXCP_BASE + 14, "exception" },
		{ EXIT_REASON_EXCEPTION_NMI, SVM_EXIT_NMI, "exception" },
		{ EXIT_REASON_EPT_VIOLATION, SVM_EXIT_NPF, "fault" },
		{ EXIT_REASON_VMLAUNCH, SVM_EXIT_VMRUN, "nested" },
		{ EXIT_REASON_VMCALL, SVM_EXIT_VMMCALL, "hypercall" },
		{ EXIT_REASON_WBINVD, SVM_EXIT_WBINVD, "cache" },
		{ EXIT_REASON_TRIPLE_FAULT, SVM_EXIT_SHUTDOWN, "shutdown" },
		{ EXIT_REASON_MWAIT_INSTRUCTION, SVM_EXIT_MWAIT, "mwait" },
		{ EXIT_REASON_APIC_WRITE, SVM_EXIT_AVIC_UNACCELERATED_ACCESS, "apic" },
		{ EXIT_REASON_INVALID_STATE, SVM_EXIT_ERR, "error" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		assert_string_equal(exit_reason__class(EXIT_ISA_VMX, same[i].vmx), same[i].class);
		assert_string_equal(exit_reason__class(EXIT_ISA_SVM, same[i].svm), same[i].class);
	}
	assert_string_equal(exit_reason__class(EXIT_ISA_VMX, EXIT_REASON_EPT_MISCONFIG), "mmio");
	assert_string_equal(exit_reason__class(EXIT_ISA_VMX, EXIT_REASON_EOI_INDUCED), "eoi");
	assert_string_equal(exit_reason__class(EXIT_ISA_VMX, VMX_REASON_FAILED_VMENTRY | 12),
			    "error");
	assert_string_equal(userspace_reason__class(KVM_EXIT_IO), "io");
	assert_string_equal(userspace_reason__class(KVM_EXIT_MMIO), "mmio");
	assert_string_equal(userspace_reason__class(KVM_EXIT_HLT), "halt");
	assert_string_equal(userspace_reason__class(KVM_EXIT_INTR), "interrupt");
}

static void test_tiny_buffers(void **state)
{
	char buf[4] = "zzz";

	(void)state;
	exit_reason__name(EXIT_ISA_SVM, 0x400, buf, 0);
	assert_string_equal(buf, "zzz");
	exit_reason__name(EXIT_ISA_SVM, 0x400, buf, 1);
	assert_string_equal(buf, "");
	exit_reason__name(EXIT_ISA_VMX, 0x80000021, buf, 3);
	assert_string_equal(buf, "IN");
	userspace_reason__name(KVM_EXIT_MMIO, buf, 4);
	assert_string_equal(buf, "MMI");
	userspace_reason__name(999, buf, 2);
	assert_string_equal(buf, "U");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_constants),
		cmocka_unit_test(test_newer),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_negative),
		cmocka_unit_test(test_vmx_flags),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_halt),
		cmocka_unit_test(test_every_reason_has_a_class),
		cmocka_unit_test(test_classes_are_of_all_vendors),
		cmocka_unit_test(test_tiny_buffers),
	};

	return cmocka_run_group_tests_name("reasons", tests, NULL, NULL);
}
