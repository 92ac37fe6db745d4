/* SPDX-License-Identifier: GPL-2.0-only */
#include "hypercalls.h"

#include <inttypes.h>
#include <stdio.h>

#include <json-c/json.h>

#include "hex.h"
#include "irqs.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* include/uapi/linux/kvm_para.h; arguments: Documentation/virt/kvm/x86/hypercalls.rst */
enum { KICK_CPU = 5, CLOCK_PAIRING = 9, SEND_IPI = 10, SCHED_YIELD = 11, MAP_GPA_RANGE = 12 };

struct call {
	uint32_t nr;
	const char *name;
};

/* Written by scripts/gen-names.sh. */
static const struct call kvm_calls[] = {
#include "kvm_hypercalls.h"
};

/* Call codes of the Hyper-V Top Level Functional Specification, appendix A. */
static const struct call hyperv_calls[] = {
	{ 0x0001, "SWITCH_VIRTUAL_ADDRESS_SPACE" },
	{ 0x0002, "FLUSH_VIRTUAL_ADDRESS_SPACE" },
	{ 0x0003, "FLUSH_VIRTUAL_ADDRESS_LIST" },
	{ 0x0004, "GET_LOGICAL_PROCESSOR_RUN_TIME" },
	{ 0x0008, "NOTIFY_LONG_SPIN_WAIT" },
	{ 0x000b, "SEND_IPI" },
	{ 0x000c, "MODIFY_VTL_PROTECTION_MASK" },
	{ 0x000d, "ENABLE_PARTITION_VTL" },
	{ 0x000f, "ENABLE_VP_VTL" },
	{ 0x0011, "VTL_CALL" },
	{ 0x0012, "VTL_RETURN" },
	{ 0x0013, "FLUSH_VIRTUAL_ADDRESS_SPACE_EX" },
	{ 0x0014, "FLUSH_VIRTUAL_ADDRESS_LIST_EX" },
	{ 0x0015, "SEND_IPI_EX" },
	{ 0x0040, "CREATE_PARTITION" },
	{ 0x0041, "INITIALIZE_PARTITION" },
	{ 0x0042, "FINALIZE_PARTITION" },
	{ 0x0043, "DELETE_PARTITION" },
	{ 0x0044, "GET_PARTITION_PROPERTY" },
	{ 0x0045, "SET_PARTITION_PROPERTY" },
	{ 0x0046, "GET_PARTITION_ID" },
	{ 0x0048, "DEPOSIT_MEMORY" },
	{ 0x0049, "WITHDRAW_MEMORY" },
	{ 0x004b, "MAP_GPA_PAGES" },
	{ 0x004c, "UNMAP_GPA_PAGES" },
	{ 0x004d, "INSTALL_INTERCEPT" },
	{ 0x004e, "CREATE_VP" },
	{ 0x0050, "GET_VP_REGISTERS" },
	{ 0x0051, "SET_VP_REGISTERS" },
	{ 0x0052, "TRANSLATE_VIRTUAL_ADDRESS" },
	{ 0x0053, "READ_GPA" },
	{ 0x0054, "WRITE_GPA" },
	{ 0x0057, "CREATE_PORT" },
	{ 0x0058, "DELETE_PORT" },
	{ 0x0059, "CONNECT_PORT" },
	{ 0x005b, "DISCONNECT_PORT" },
	{ 0x005c, "POST_MESSAGE" },
	{ 0x005d, "SIGNAL_EVENT" },
	{ 0x0069, "POST_DEBUG_DATA" },
	{ 0x006a, "RETRIEVE_DEBUG_DATA" },
	{ 0x006b, "RESET_DEBUG_SESSION" },
	{ 0x007c, "MAP_DEVICE_INTERRUPT" },
	{ 0x007d, "UNMAP_DEVICE_INTERRUPT" },
	{ 0x007e, "RETARGET_DEVICE_INTERRUPT" },
	{ 0x0094, "ASSERT_VIRTUAL_INTERRUPT" },
	{ 0x0099, "START_VP" },
	{ 0x009a, "GET_VP_ID_FROM_APIC_ID" },
	{ 0x00af, "FLUSH_GUEST_PHYSICAL_ADDRESS_SPACE" },
	{ 0x00b0, "FLUSH_GUEST_PHYSICAL_ADDRESS_LIST" },
	{ 0x00db, "MODIFY_SPARSE_GPA_PAGE_HOST_VISIBILITY" },
	{ 0x8001, "EXT_CALL_QUERY_CAPABILITIES" },
};

/* __HYPERVISOR_* of Xen's public/xen.h (include/xen/interface/xen.h in Linux), in order. */
static const char *const xen_calls[] = {
	"set_trap_table",
	"mmu_update",
	"set_gdt",
	"stack_switch",
	"set_callbacks",
	"fpu_taskswitch",
	"sched_op_compat",
	"platform_op",
	"set_debugreg",
	"get_debugreg",
	"update_descriptor",
	NULL,
	"memory_op",
	"multicall",
	"update_va_mapping",
	"set_timer_op",
	"event_channel_op_compat",
	"xen_version",
	"console_io",
	"physdev_op_compat",
	"grant_table_op",
	"vm_assist",
	"update_va_mapping_otherdomain",
	"iret",
	"vcpu_op",
	"set_segment_base",
	"mmuext_op",
	"xsm_op",
	"nmi_op",
	"sched_op",
	"callback_op",
	"xenoprof_op",
	"event_channel_op",
	"physdev_op",
	"hvm_op",
	"sysctl",
	"domctl",
	"kexec_op",
	"tmem_op",
	"argo_op",
	"xenpmu_op",
	"dm_op",
	"hypfs_op",
};

const char *hypercall__abi(uint32_t abi)
{
	switch (abi) {
	case HYPERCALL_KVM:
		return "kvm";
	case HYPERCALL_HYPERV:
		return "hyperv";
	case HYPERCALL_XEN:
		return "xen";
	}
	return "unknown";
}

size_t hypercall__nr_args(uint32_t abi)
{
	return abi == HYPERCALL_KVM ? 4 : HYPERCALL_ARGS;
}

static const char *find(const struct call *calls, size_t nr_calls, uint64_t nr)
{
	for (size_t i = 0; i < nr_calls; i++)
		if (calls[i].nr == nr)
			return calls[i].name;
	return NULL;
}

const char *hypercall__name(uint32_t abi, uint64_t nr, char *buf, size_t size)
{
	const char *name = NULL;

	if (abi == HYPERCALL_KVM)
		name = find(kvm_calls, ARRAY_SIZE(kvm_calls), nr);
	else if (abi == HYPERCALL_HYPERV)
		name = find(hyperv_calls, ARRAY_SIZE(hyperv_calls), nr);
	else if (abi == HYPERCALL_XEN && nr < ARRAY_SIZE(xen_calls))
		name = xen_calls[nr];
	if (name)
		snprintf(buf, size, "%s", name);
	else
		snprintf(buf, size, "UNKNOWN(%" PRIu64 ")", nr);
	return buf;
}

static void add(struct json_object *obj, const char *name, uint64_t value)
{
	json_object_object_add(obj, name, json_object_new_uint64(value));
}

static void add_text(struct json_object *obj, const char *name, const char *text)
{
	json_object_object_add(obj, name, json_object_new_string(text));
}

static void add_bits(struct json_object *array, uint64_t bitmap, uint64_t first)
{
	for (unsigned int bit = 0; bit < 64; bit++)
		if (bitmap & 1ULL << bit)
			json_object_array_add(array, new_hex(first + bit));
}

/* kvm_pv_send_ipi() in arch/x86/kvm/lapic.c: a bitmap is as wide as the caller's registers. */
static void decode_send_ipi(struct json_object *obj, const __u64 *args, bool long_mode)
{
	struct json_object *destinations = json_object_new_array();
	unsigned int width = long_mode ? 64 : 32;

	add_bits(destinations, args[0], args[2]);
	add_bits(destinations, args[1], args[2] + width);
	add_hex(obj, "bitmap_low", args[0]);
	add_hex(obj, "bitmap_high", args[1]);
	add_hex(obj, "lowest_apic_id", args[2]);
	add_hex(obj, "icr", args[3]);
	add_hex(obj, "vector", args[3] & 0xff);
	add_text(obj, "delivery_mode", irq__delivery(args[3] >> 8));
	json_object_object_add(obj, "destinations", destinations);
}

static void decode_map_gpa_range(struct json_object *obj, const __u64 *args)
{
	static const char *const sizes[] = { "4K", "2M", "1G" };
	unsigned int size = args[2] & 0xf;

	add(obj, "gpa", args[0]);
	add(obj, "pages", args[1]);
	add_hex(obj, "attributes", args[2]);
	add_text(obj, "page_size", size < ARRAY_SIZE(sizes) ? sizes[size] : "unknown");
	json_object_object_add(obj, "encrypted", json_object_new_boolean(args[2] >> 4 & 1));
}

static void decode_kvm(struct json_object *obj, uint64_t nr, const __u64 *args, bool long_mode)
{
	switch (nr) {
	case KICK_CPU:
		add_hex(obj, "flags", args[0]);
		add_hex(obj, "apic_id", args[1]);
		break;
	case CLOCK_PAIRING:
		add(obj, "gpa", args[0]);
		add(obj, "clock_type", args[1]);
		add_text(obj, "clock", args[1] ? "unknown" : "wallclock");
		break;
	case SEND_IPI:
		decode_send_ipi(obj, args, long_mode);
		break;
	case SCHED_YIELD:
		add_hex(obj, "apic_id", args[0]);
		break;
	case MAP_GPA_RANGE:
		decode_map_gpa_range(obj, args);
		break;
	}
}

static void decode_hyperv(struct json_object *obj, const __u64 *args)
{
	json_object_object_add(obj, "fast", json_object_new_boolean(args[0]));
	add(obj, "var_cnt", args[1]);
	add(obj, "rep_cnt", args[2]);
	add(obj, "rep_idx", args[3]);
	/* Registers themselves with fast, else addresses. */
	add(obj, args[0] ? "input" : "input_gpa", args[4]);
	add(obj, args[0] ? "output" : "output_gpa", args[5]);
}

struct json_object *hypercall__decode(uint32_t abi, uint64_t nr, const __u64 args[HYPERCALL_ARGS],
				      bool long_mode)
{
	struct json_object *obj = json_object_new_object();

	if (abi == HYPERCALL_HYPERV)
		decode_hyperv(obj, args);
	else if (abi == HYPERCALL_KVM)
		decode_kvm(obj, nr, args, long_mode);
	return obj;
}
