// SPDX-License-Identifier: GPL-2.0-only
/* What a VM is called, of what the kernel's structures say of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/kvm.h>

#include "../../compat/confidential.h"
#include "../../core/confidential.h"

#define TYPE(_type) ((uint32_t)(_type) << CONFIDENTIAL_TYPE_SHIFT)

enum {
	SEV = CONFIDENTIAL_SEV,
	ES = CONFIDENTIAL_SEV | CONFIDENTIAL_SEV_ES,
	SNP = CONFIDENTIAL_SEV | CONFIDENTIAL_SEV_ES | CONFIDENTIAL_SEV_SNP,
};

static void check(uint32_t found, bool is_svm, const char *name)
{
	if (name)
		assert_string_equal(confidential__name(found, is_svm), name);
	else
		assert_null(confidential__name(found, is_svm));
}

static void test_ordinary(void **state)
{
	(void)state;
	check(0, true, NULL);
	check(0, false, NULL);
	check(TYPE(KVM_TYPE_SW_PROTECTED), true, NULL);
	check(TYPE(KVM_TYPE_SW_PROTECTED), false, NULL);
	check(TYPE(KVM_TYPE_TDX + 1), false, NULL);
}

/* KVM_SEV_INIT and KVM_SEV_ES_INIT: the type is the default one. */
static void test_without_type(void **state)
{
	(void)state;
	check(SEV, true, "sev");
	check(ES, true, "sev-es");
	check(SNP, true, "sev-snp");
}

/* KVM_SEV_INIT2: before it the type is known already. */
static void test_types(void **state)
{
	(void)state;
	check(TYPE(KVM_TYPE_SEV), true, "sev");
	check(TYPE(KVM_TYPE_SEV) | SEV, true, "sev");
	check(TYPE(KVM_TYPE_SEV_ES), true, "sev-es");
	check(TYPE(KVM_TYPE_SEV_ES) | ES, true, "sev-es");
	check(TYPE(KVM_TYPE_SNP), true, "sev-snp");
	check(TYPE(KVM_TYPE_SNP) | SNP, true, "sev-snp");
	check(TYPE(KVM_TYPE_TDX), false, "tdx");
}

/* Both modules are built in: what is read of a VM of kvm_intel's is something else. */
static void test_of_another_vendor(void **state)
{
	(void)state;
	check(SNP, false, NULL);
	check(TYPE(KVM_TYPE_TDX) | SNP, false, "tdx");
}

/* The kernel's numbers, where this system's headers have them. */
static void test_numbers(void **state)
{
	(void)state;
#ifdef KVM_X86_SEV_VM
	assert_int_equal(KVM_TYPE_SEV, KVM_X86_SEV_VM);
	assert_int_equal(KVM_TYPE_SEV_ES, KVM_X86_SEV_ES_VM);
#endif
#ifdef KVM_X86_SNP_VM
	assert_int_equal(KVM_TYPE_SNP, KVM_X86_SNP_VM);
#endif
#ifdef KVM_X86_TDX_VM
	assert_int_equal(KVM_TYPE_TDX, KVM_X86_TDX_VM);
#endif
	assert_int_equal(KVM_TYPE_TDX, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ordinary), cmocka_unit_test(test_without_type),
		cmocka_unit_test(test_types),	 cmocka_unit_test(test_of_another_vendor),
		cmocka_unit_test(test_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
