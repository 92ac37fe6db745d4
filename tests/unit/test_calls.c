/* SPDX-License-Identifier: GPL-2.0-only */
/* Names and arguments of ioctls and hypercalls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <linux/kvm.h>
#include <linux/kvm_para.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "../../decode/hypercalls.h"
#include "../../output/format.h"
#include "../../decode/ioctls.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define NAMED(x)      \
	{             \
		x, #x \
	}

/* The tables against the headers of the machine that builds. */
static const struct {
	unsigned long nr;
	const char *name;
} commands[] = {
	NAMED(KVM_GET_API_VERSION), NAMED(KVM_CREATE_VM), NAMED(KVM_CHECK_EXTENSION),
	NAMED(KVM_CREATE_VCPU), NAMED(KVM_GET_DIRTY_LOG), NAMED(KVM_SET_USER_MEMORY_REGION),
	NAMED(KVM_IRQ_LINE), NAMED(KVM_IRQ_LINE_STATUS), NAMED(KVM_SET_GSI_ROUTING),
	NAMED(KVM_IRQFD), NAMED(KVM_IOEVENTFD), NAMED(KVM_RUN), NAMED(KVM_TRANSLATE),
	NAMED(KVM_INTERRUPT), NAMED(KVM_GET_MSRS), NAMED(KVM_SET_CPUID2), NAMED(KVM_GET_XSAVE),
	NAMED(KVM_GET_VCPU_EVENTS), NAMED(KVM_SET_VCPU_EVENTS), NAMED(KVM_SIGNAL_MSI),
	NAMED(KVM_ENABLE_CAP), NAMED(KVM_CREATE_DEVICE), NAMED(KVM_SET_DEVICE_ATTR),
	NAMED(KVM_GET_STATS_FD), NAMED(KVM_XEN_HVM_CONFIG), NAMED(KVM_CLEAR_DIRTY_LOG),
}, hypercalls[] = {
	NAMED(KVM_HC_VAPIC_POLL_IRQ), NAMED(KVM_HC_MMU_OP), NAMED(KVM_HC_FEATURES),
	NAMED(KVM_HC_PPC_MAP_MAGIC_PAGE), NAMED(KVM_HC_KICK_CPU),
	NAMED(KVM_HC_MIPS_GET_CLOCK_FREQ), NAMED(KVM_HC_MIPS_EXIT_VM),
	NAMED(KVM_HC_MIPS_CONSOLE_OUTPUT), NAMED(KVM_HC_CLOCK_PAIRING), NAMED(KVM_HC_SEND_IPI),
	NAMED(KVM_HC_SCHED_YIELD), NAMED(KVM_HC_MAP_GPA_RANGE),
}, caps[] = {
	NAMED(KVM_CAP_IRQCHIP), NAMED(KVM_CAP_NR_MEMSLOTS), NAMED(KVM_CAP_DIRTY_LOG_RING),
	NAMED(KVM_CAP_IMMEDIATE_EXIT), NAMED(KVM_CAP_BINARY_STATS_FD),
};

static void test_names(void **state)
{
	char buf[HYPERCALL_NAME_LEN];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		assert_string_equal(ioctl__name(commands[i].nr, buf, sizeof(buf)),
				    commands[i].name);
	for (size_t i = 0; i < ARRAY_SIZE(hypercalls); i++)
		assert_string_equal(
			hypercall__name(HYPERCALL_KVM, hypercalls[i].nr, buf, sizeof(buf)),
			hypercalls[i].name + 7);
	for (size_t i = 0; i < ARRAY_SIZE(caps); i++)
		assert_string_equal(kvm_cap__name(caps[i].nr, buf, sizeof(buf)), caps[i].name + 8);
	/* Newer than the oldest headers this is built with. */
	assert_string_equal(ioctl__name(0x40a0ae49, buf, sizeof(buf)),
			    "KVM_SET_USER_MEMORY_REGION2");
}

static void test_unknown(void **state)
{
	char buf[HYPERCALL_NAME_LEN];

	(void)state;
	assert_string_equal(ioctl__name(0x5451, buf, sizeof(buf)), "UNKNOWN(0x5451)");
	/* The size is part of the number. */
	assert_string_equal(ioctl__name(0xae46, buf, sizeof(buf)), "UNKNOWN(0xae46)");
	assert_string_equal(kvm_cap__name(4000000000, buf, sizeof(buf)), "UNKNOWN(4000000000)");
	assert_string_equal(hypercall__name(HYPERCALL_KVM, 0, buf, sizeof(buf)), "UNKNOWN(0)");
	assert_string_equal(hypercall__name(HYPERCALL_KVM, 1ULL << 32 | 5, buf, sizeof(buf)),
			    "UNKNOWN(4294967301)");
	assert_string_equal(hypercall__name(HYPERCALL_XEN, 11, buf, sizeof(buf)), "UNKNOWN(11)");
	assert_string_equal(hypercall__name(HYPERCALL_XEN, UINT64_MAX, buf, sizeof(buf)),
			    "UNKNOWN(18446744073709551615)");
	assert_string_equal(hypercall__name(HYPERCALL_HYPERV, 0x7fff, buf, sizeof(buf)),
			    "UNKNOWN(32767)");
	assert_string_equal(hypercall__name(0, 5, buf, sizeof(buf)), "UNKNOWN(5)");
}

static void test_abis(void **state)
{
	char buf[HYPERCALL_NAME_LEN];

	(void)state;
	assert_string_equal(hypercall__abi(HYPERCALL_KVM), "kvm");
	assert_string_equal(hypercall__abi(HYPERCALL_HYPERV), "hyperv");
	assert_string_equal(hypercall__abi(HYPERCALL_XEN), "xen");
	/* One number, three meanings. */
	assert_string_equal(hypercall__name(HYPERCALL_KVM, 11, buf, sizeof(buf)), "SCHED_YIELD");
	assert_string_equal(hypercall__name(HYPERCALL_HYPERV, 11, buf, sizeof(buf)), "SEND_IPI");
	assert_string_equal(hypercall__name(HYPERCALL_XEN, 29, buf, sizeof(buf)), "sched_op");
	assert_string_equal(hypercall__name(HYPERCALL_XEN, 34, buf, sizeof(buf)), "hvm_op");
	assert_string_equal(hypercall__name(HYPERCALL_XEN, 42, buf, sizeof(buf)), "hypfs_op");
}

static void assert_json(struct json_object *obj, const char *expected)
{
	assert_non_null(obj);
	assert_string_equal(json_object_to_json_string_ext(obj, JSON_C_TO_STRING_PLAIN), expected);
	json_object_put(obj);
}

static void hypercall_is(uint64_t nr, const __u64 *args, bool long_mode, const char *expected)
{
	assert_json(hypercall__decode(HYPERCALL_KVM, nr, args, long_mode), expected);
}

static void test_hypercalls(void **state)
{
	static const __u64 args[HYPERCALL_ARGS] = { 0x8000000000000001, 3, 10, 0x4fd, 0, 0 };
	static const __u64 yield[HYPERCALL_ARGS] = { 10 };
	static const __u64 range[HYPERCALL_ARGS] = { 0x1000, 2, 0x12 };

	(void)state;
	hypercall_is(10, args, true,
		     "{\"bitmap_low\":9223372036854775809,\"bitmap_high\":3,"
		     "\"lowest_apic_id\":10,\"icr\":1277,\"vector\":253,\"delivery_mode\":\"NMI\","
		     "\"destinations\":[10,73,74,75]}");
	hypercall_is(5, args, true, "{\"flags\":9223372036854775809,\"apic_id\":3}");
	hypercall_is(9, args, true,
		     "{\"gpa\":9223372036854775809,\"clock_type\":3,"
		     "\"clock\":\"unknown\"}");
	hypercall_is(11, yield, true, "{\"apic_id\":10}");
	hypercall_is(12, range, true,
		     "{\"gpa\":4096,\"pages\":2,\"attributes\":18,"
		     "\"page_size\":\"1G\",\"encrypted\":true}");
	hypercall_is(3, args, true, "{}");
	hypercall_is(1000, args, true, "{}");
	assert_json(hypercall__decode(HYPERCALL_XEN, 5, args, true), "{}");
}

/* People read bitmaps, vectors and APIC ids in hexadecimal, however small they are. */
static void test_hexadecimal(void **state)
{
	static const __u64 args[HYPERCALL_ARGS] = { 5, 0, 10, 0x4fd };
	struct json_object *obj = hypercall__decode(HYPERCALL_KVM, 10, args, true);
	struct buf buf = {};

	(void)state;
	buf__object(&buf, obj, true);
	assert_string_equal(buf.data, "bitmap_low=0x5 bitmap_high=0 lowest_apic_id=0xa icr=0x4fd "
				      "vector=0xfd delivery_mode=NMI destinations=[0xa 0xc]");
	buf__reset(&buf);
	buf__object(&buf, obj, false);
	assert_string_equal(buf.data, "bitmap_low=5 bitmap_high=0 lowest_apic_id=10 icr=1277 "
				      "vector=253 delivery_mode=NMI destinations=[10 12]");
	buf__free(&buf);
	json_object_put(obj);
}

/* 32 registers wide: the second bitmap begins 32 ids further. */
static void test_send_ipi_32(void **state)
{
	static const __u64 args[HYPERCALL_ARGS] = { 0x80000001, 1, 0, 0x30 };

	(void)state;
	hypercall_is(10, args, false,
		     "{\"bitmap_low\":2147483649,\"bitmap_high\":1,"
		     "\"lowest_apic_id\":0,\"icr\":48,\"vector\":48,\"delivery_mode\":\"Fixed\","
		     "\"destinations\":[0,31,32]}");
}

static void test_hyperv(void **state)
{
	static const __u64 fast[HYPERCALL_ARGS] = { 1, 0, 0, 0, 5, 6 };
	static const __u64 slow[HYPERCALL_ARGS] = { 0, 1, 3, 2, 0x1000, 0x2000 };

	(void)state;
	assert_json(hypercall__decode(HYPERCALL_HYPERV, 8, fast, true),
		    "{\"fast\":true,\"var_cnt\":0,\"rep_cnt\":0,\"rep_idx\":0,\"input\":5,"
		    "\"output\":6}");
	assert_json(hypercall__decode(HYPERCALL_HYPERV, 3, slow, true),
		    "{\"fast\":false,\"var_cnt\":1,\"rep_cnt\":3,\"rep_idx\":2,\"input_gpa\":4096,"
		    "\"output_gpa\":8192}");
}

static struct json_object *decode(uint32_t cmd, uint64_t arg, int64_t ret, const void *data,
				  size_t len)
{
	return ioctl__decode(&(struct ioctl_seen){
		.cmd = cmd,
		.arg = arg,
		.ret = ret,
		.data = data,
		.len = len,
	});
}

static void test_ioctls(void **state)
{
	struct kvm_translation translation = { .linear_address = 5,
					       .physical_address = 6,
					       .valid = 1 };
	struct kvm_irqfd irqfd = { .fd = -1, .gsi = 7, .flags = 3, .resamplefd = 9 };
	struct kvm_interrupt irq = { .irq = 32 };

	(void)state;
	assert_json(decode(KVM_CREATE_VCPU, 7, 12, NULL, 0), "{\"vcpu_id\":7,\"fd\":12}");
	assert_json(decode(KVM_CREATE_VCPU, 7, -17, NULL, 0), "{\"vcpu_id\":7}");
	assert_json(decode(KVM_CHECK_EXTENSION, 0, 1, NULL, 0),
		    "{\"cap\":0,\"cap_name\":\"IRQCHIP\",\"value\":1}");
	/* What the call writes is there after a success only. */
	assert_json(decode(KVM_TRANSLATE, 0, 0, &translation, sizeof(translation)),
		    "{\"linear_address\":5,\"physical_address\":6,\"valid\":1,\"writeable\":0,"
		    "\"usermode\":0}");
	assert_json(decode(KVM_TRANSLATE, 0, -14, &translation, sizeof(translation)),
		    "{\"linear_address\":5}");
	assert_json(decode(KVM_IRQFD, 0, 0, &irqfd, sizeof(irqfd)),
		    "{\"fd\":-1,\"gsi\":7,\"flags\":3,\"flag_names\":[\"deassign\",\"resample\"],"
		    "\"resamplefd\":9}");
	assert_json(decode(KVM_INTERRUPT, 0, 0, &irq, sizeof(irq)), "{\"irq\":32}");
	/* The structure could not be read, or only its beginning. */
	assert_json(decode(KVM_INTERRUPT, 0, -14, NULL, 0), "{}");
	assert_json(decode(KVM_IRQFD, 0, 0, &irqfd, 8), "{\"fd\":-1,\"gsi\":7}");
	assert_json(decode(KVM_GET_REGS, 0, 0, NULL, 0), "{}");
	assert_json(decode(0x12345678, 0, 0, NULL, 0), "{}");
}

static void test_vcpu_events(void **state)
{
	struct kvm_vcpu_events events = {
		.exception = { .injected = 1, .nr = 14, .has_error_code = 1, .error_code = 2 },
		.exception_has_payload = 1,
		.exception_payload = 0x1000,
		.nmi.masked = 1,
		.sipi_vector = 8,
		.flags = KVM_VCPUEVENT_VALID_SMM,
		.smi.latched_init = 1,
	};

	(void)state;
	assert_json(decode(KVM_SET_VCPU_EVENTS, 0, 0, &events, sizeof(events)),
		    "{\"exception\":{\"injected\":1,\"nr\":14,\"has_error_code\":1,\"pending\":0,"
		    "\"error_code\":2,\"has_payload\":1,\"payload\":4096},"
		    "\"interrupt\":{\"injected\":0,\"nr\":0,\"soft\":0,\"shadow\":0},"
		    "\"nmi\":{\"injected\":0,\"pending\":0,\"masked\":1},\"sipi_vector\":8,"
		    "\"flags\":8,\"flag_names\":[\"valid_smm\"],\"smi\":{\"smm\":0,\"pending\":0,"
		    "\"smm_inside_nmi\":0,\"latched_init\":1},\"triple_fault\":{\"pending\":0}}");
	assert_json(decode(KVM_GET_VCPU_EVENTS, 0, -22, &events, sizeof(events)), "{}");
}

static void test_routes(void **state)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entries[2];
	} routes = {
		.head.nr = 100,
		.entries = {
			{ .gsi = 1, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = { 2, 3 } },
			{ .gsi = 24, .type = KVM_IRQ_ROUTING_MSI,
			  .u.msi = { .address_lo = 0xfee12000,
				     .address_hi = 0x300,
				     .data = 0x441 } },
		},
	};

	(void)state;
	assert_json(decode(KVM_SET_GSI_ROUTING, 0, 0, &routes, sizeof(routes)),
		    "{\"nr\":100,\"flags\":0,\"entries\":["
		    "{\"gsi\":1,\"type\":\"irqchip\",\"irqchip\":2,\"pin\":3},"
		    "{\"gsi\":24,\"type\":\"msi\",\"address\":3302811049984,\"data\":1089,"
		    "\"vector\":65,\"destination\":786,\"delivery_mode\":\"NMI\"}]}");
	assert_json(decode(KVM_SET_GSI_ROUTING, 0, 0, &routes, 8),
		    "{\"nr\":100,\"flags\":0,\"entries\":[]}");
	assert_json(decode(KVM_SET_GSI_ROUTING, 0, -14, NULL, 0), "{\"entries\":[]}");
}

/* The status comes over the irq, which is kept from before the call. */
static void test_line_status(void **state)
{
	struct kvm_irq_level level = { .status = -1, .level = 1 };

	(void)state;
	assert_json(ioctl__decode(&(struct ioctl_seen){ .cmd = KVM_IRQ_LINE_STATUS,
							.in = 1ULL << 32 | 6,
							.data = (void *)&level,
							.len = sizeof(level) }),
		    "{\"irq\":6,\"level\":1,\"status\":-1}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),	    cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_abis),	    cmocka_unit_test(test_hypercalls),
		cmocka_unit_test(test_hexadecimal), cmocka_unit_test(test_send_ipi_32),
		cmocka_unit_test(test_hyperv),	    cmocka_unit_test(test_ioctls),
		cmocka_unit_test(test_vcpu_events), cmocka_unit_test(test_routes),
		cmocka_unit_test(test_line_status),
	};

	return cmocka_run_group_tests_name("calls", tests, NULL, NULL);
}
