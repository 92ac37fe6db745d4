/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Structures are described by tables and not by the headers of the machine
 * that builds: the layout of user-space structures never changes, and older
 * headers lack the newer members.
 */
#include "ioctls.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "hex.h"
#include "irqs.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* The tables are written by scripts/gen-names.sh. */
struct number_name {
	uint32_t nr;
	const char *name;
};

static const struct number_name ioctls[] = {
#include "kvm_ioctls.h"
};

static const struct number_name caps[] = {
#include "kvm_caps.h"
};

static const struct number_name *find(const struct number_name *names, size_t nr, uint32_t number)
{
	for (size_t i = 0; i < nr; i++)
		if (names[i].nr == number)
			return &names[i];
	return NULL;
}

/* The one that was asked for last is mostly the next one, too. */
static const char *find_ioctl(uint32_t cmd)
{
	static _Thread_local const struct number_name *last = ioctls;
	const struct number_name *found =
		last->nr == cmd ? last : find(ioctls, ARRAY_SIZE(ioctls), cmd);

	if (!found)
		return NULL;
	last = found;
	return found->name;
}

const char *ioctl__name(uint32_t cmd, char *buf, size_t size)
{
	const char *name = find_ioctl(cmd);
	size_t len = name ? strlen(name) : 0;

	if (len && len < size)
		memcpy(buf, name, len + 1);
	else if (name)
		snprintf(buf, size, "%s", name);
	else
		snprintf(buf, size, "UNKNOWN(%#" PRIx32 ")", cmd);
	return buf;
}

const char *kvm_cap__name(uint32_t cap, char *buf, size_t size)
{
	const struct number_name *found = find(caps, ARRAY_SIZE(caps), cap);

	if (found)
		snprintf(buf, size, "%s", found->name);
	else
		snprintf(buf, size, "UNKNOWN(%" PRIu32 ")", cap);
	return buf;
}

/* What a number in a structure is. */
enum field_flags {
	FIELD_SIGNED = 1 << 0,
	FIELD_OUT = 1 << 1, /* written by the kernel: only after success */
	FIELD_CAP = 1 << 2, /* a capability: its name follows, as cap_name */
	FIELD_HEX = 1 << 3, /* people read it in hexadecimal */
};

struct field {
	const char *name; /* "exception.nr" is nr inside the object exception */
	uint16_t offset;
	uint8_t size; /* bytes */
	uint8_t flags;
};

/* The commands that are decoded; what an argument's number means when it is not a pointer. */
struct layout {
	const char *command;
	const char *arg_name;	  /* NULL: it is a pointer */
	const char *ret_name;	  /* of a result that is more than 0, such as a descriptor */
	const char *const *flags; /* names of the bits of the field "flags" */
	void (*more)(struct json_object *obj, const struct ioctl_seen *seen);
	struct field fields[28];
};

static uint64_t number_at(const unsigned char *data, size_t offset, size_t size)
{
	uint64_t value = 0;

	/* x86: little endian. */
	memcpy(&value, data + offset, size);
	return value;
}

static void add(struct json_object *obj, const char *name, uint64_t value)
{
	add_member(obj, name, json_object_new_uint64(value));
}

/* data: vector 7:0, delivery mode 10:8, trigger 15; address: destination 19:12, mode 2. */
static void add_msi(struct json_object *obj, uint64_t address, uint32_t data)
{
	bool high = address >> 32;

	add_hex(obj, "vector", data & 0xff);
	/* Above 255 the upper 24 bits are in the address's upper half (KVM_CAP_X2APIC_API). */
	add_hex(obj, "destination",
		(address >> 12 & 0xff) | (high ? address >> 32 & 0xffffff00 : 0));
	add_member(obj, "delivery_mode", json_object_new_string(irq__delivery(data >> 8)));
}

static void more_msi(struct json_object *obj, const struct ioctl_seen *seen)
{
	if (seen->len >= 12)
		add_msi(obj, number_at(seen->data, 0, 8), number_at(seen->data, 8, 4));
}

static struct json_object *new_route(const unsigned char *entry)
{
	enum { ROUTE_IRQCHIP = 1, ROUTE_MSI = 2, ROUTE_HV_SINT = 4, ROUTE_XEN_EVTCHN = 5 };
	struct json_object *obj = json_object_new_object();
	uint32_t type = number_at(entry, 4, 4);

	add(obj, "gsi", number_at(entry, 0, 4));
	if (type == ROUTE_IRQCHIP) {
		add_member(obj, "type", json_object_new_string("irqchip"));
		add(obj, "irqchip", number_at(entry, 16, 4));
		add(obj, "pin", number_at(entry, 20, 4));
	} else if (type == ROUTE_MSI) {
		add_member(obj, "type", json_object_new_string("msi"));
		add_hex(obj, "address", number_at(entry, 16, 8));
		add_hex(obj, "data", number_at(entry, 24, 4));
		add_msi(obj, number_at(entry, 16, 8), number_at(entry, 24, 4));
	} else if (type == ROUTE_HV_SINT) {
		add_member(obj, "type", json_object_new_string("hv_sint"));
		add(obj, "vcpu", number_at(entry, 16, 4));
		add(obj, "sint", number_at(entry, 20, 4));
	} else if (type == ROUTE_XEN_EVTCHN) {
		add_member(obj, "type", json_object_new_string("xen_evtchn"));
		add(obj, "port", number_at(entry, 16, 4));
		add(obj, "vcpu", number_at(entry, 20, 4));
	} else {
		add(obj, "type", type);
	}
	return obj;
}

/* The first entries; nr says how many there are. */
static void more_routes(struct json_object *obj, const struct ioctl_seen *seen)
{
	enum { HEAD = 8, ENTRY = 48 };
	struct json_object *entries = json_object_new_array();
	uint64_t nr = seen->len >= HEAD ? number_at(seen->data, 0, 4) : 0;

	for (size_t i = 0; i < nr && HEAD + (i + 1) * ENTRY <= seen->len; i++)
		json_object_array_add(entries, new_route(seen->data + HEAD + i * ENTRY));
	add_member(obj, "entries", entries);
}

/* The status lies over the irq. */
static void more_line_status(struct json_object *obj, const struct ioctl_seen *seen)
{
	add(obj, "irq", (uint32_t)seen->in);
	add(obj, "level", seen->in >> 32);
	if (seen->ret >= 0 && seen->len >= 4)
		add_member(obj, "status",
			   json_object_new_int64((int32_t)number_at(seen->data, 0, 4)));
}

static void more_extension(struct json_object *obj, const struct ioctl_seen *seen)
{
	char name[IOCTL_NAME_LEN];

	add_member(obj, "cap_name",
		   json_object_new_string(kvm_cap__name(seen->arg, name, sizeof(name))));
}

static const char *const slot_flags[] = { "log_dirty_pages", "readonly", "guest_memfd", NULL };
static const char *const irqfd_flags[] = { "deassign", "resample", NULL };
static const char *const ioeventfd_flags[] = {
	"datamatch", "pio", "deassign", "virtio_ccw_notify", "fast_mmio", NULL,
};
static const char *const msi_flags[] = { "valid_devid", NULL };
static const char *const event_flags[] = {
	"valid_nmi_pending", "valid_sipi_vector",  "valid_shadow", "valid_smm",
	"valid_payload",     "valid_triple_fault", NULL,
};

#define SLOT_FIELDS                                                                \
	{ "slot", 0, 2 }, { "address_space", 2, 2 }, { "flags", 4, 4, FIELD_HEX }, \
		{ "gpa", 8, 8 }, { "size", 16, 8 },                                \
	{                                                                          \
		"userspace_addr", 24, 8                                            \
	}

/* struct kvm_vcpu_events of asm/kvm.h; out: KVM_GET_VCPU_EVENTS */
#define EVENT_FIELDS(out)                                                                       \
	{ "exception.injected", 0, 1, out }, { "exception.nr", 1, 1, out },                     \
		{ "exception.has_error_code", 2, 1, out }, { "exception.pending", 3, 1, out },  \
		{ "exception.error_code", 4, 4, out }, { "exception.has_payload", 55, 1, out }, \
		{ "exception.payload", 56, 8, out }, { "interrupt.injected", 8, 1, out },       \
		{ "interrupt.nr", 9, 1, out }, { "interrupt.soft", 10, 1, out },                \
		{ "interrupt.shadow", 11, 1, out }, { "nmi.injected", 12, 1, out },             \
		{ "nmi.pending", 13, 1, out }, { "nmi.masked", 14, 1, out },                    \
		{ "sipi_vector", 16, 4, FIELD_HEX | (out) },                                    \
		{ "flags", 20, 4, FIELD_HEX | (out) }, { "smi.smm", 24, 1, out },               \
		{ "smi.pending", 25, 1, out }, { "smi.smm_inside_nmi", 26, 1, out },            \
		{ "smi.latched_init", 27, 1, out },                                             \
	{                                                                                       \
		"triple_fault.pending", 28, 1, out                                              \
	}

static const struct layout layouts[] = {
	{ "KVM_CREATE_VM", .arg_name = "type", .ret_name = "fd" },
	{ "KVM_CHECK_EXTENSION", .arg_name = "cap", .ret_name = "value", .more = more_extension },
	{ "KVM_CREATE_VCPU", .arg_name = "vcpu_id", .ret_name = "fd" },
	{ "KVM_SET_USER_MEMORY_REGION", .flags = slot_flags, .fields = { SLOT_FIELDS } },
	{ "KVM_SET_USER_MEMORY_REGION2", .flags = slot_flags,
	  .fields = { SLOT_FIELDS,
		      { "guest_memfd_offset", 32, 8 },
		      { "guest_memfd", 40, 4, FIELD_SIGNED } } },
	{ "KVM_GET_VCPU_EVENTS", .flags = event_flags, .fields = { EVENT_FIELDS(FIELD_OUT) } },
	{ "KVM_SET_VCPU_EVENTS", .flags = event_flags, .fields = { EVENT_FIELDS(0) } },
	{ "KVM_TRANSLATE", .fields = { { "linear_address", 0, 8 },
				       { "physical_address", 8, 8, FIELD_OUT },
				       { "valid", 16, 1, FIELD_OUT },
				       { "writeable", 17, 1, FIELD_OUT },
				       { "usermode", 18, 1, FIELD_OUT } } },
	{ "KVM_INTERRUPT", .fields = { { "irq", 0, 4, FIELD_HEX } } },
	{ "KVM_IRQ_LINE", .fields = { { "irq", 0, 4 }, { "level", 4, 4 } } },
	{ "KVM_IRQ_LINE_STATUS", .more = more_line_status },
	{ "KVM_SIGNAL_MSI", .ret_name = "delivered", .flags = msi_flags, .more = more_msi,
	  .fields = { { "address", 0, 8, FIELD_HEX },
		      { "data", 8, 4, FIELD_HEX },
		      { "flags", 12, 4, FIELD_HEX },
		      { "devid", 16, 4 } } },
	{ "KVM_IRQFD", .flags = irqfd_flags,
	  .fields = { { "fd", 0, 4, FIELD_SIGNED },
		      { "gsi", 4, 4 },
		      { "flags", 8, 4, FIELD_HEX },
		      { "resamplefd", 12, 4, FIELD_SIGNED } } },
	{ "KVM_IOEVENTFD", .flags = ioeventfd_flags,
	  .fields = { { "datamatch", 0, 8 },
		      { "addr", 8, 8 },
		      { "len", 16, 4 },
		      { "fd", 20, 4, FIELD_SIGNED },
		      { "flags", 24, 4, FIELD_HEX } } },
	{ "KVM_SET_GSI_ROUTING", .more = more_routes,
	  .fields = { { "nr", 0, 4 }, { "flags", 4, 4, FIELD_HEX } } },
	{ "KVM_GET_DIRTY_LOG",
	  .fields = { { "slot", 0, 2 }, { "address_space", 2, 2 }, { "bitmap", 8, 8 } } },
	{ "KVM_ENABLE_CAP", .fields = { { "cap", 0, 4, FIELD_CAP },
					{ "flags", 4, 4, FIELD_HEX },
					{ "arg0", 8, 8 },
					{ "arg1", 16, 8 },
					{ "arg2", 24, 8 },
					{ "arg3", 32, 8 } } },
};

static void add_names(struct json_object *obj, const char *const *names, uint64_t bits)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; names[i]; i++)
		if (bits & 1ULL << i)
			json_object_array_add(array, json_object_new_string(names[i]));
	add_member(obj, "flag_names", array);
}

/* The object a field goes into: "exception.nr" goes into exception. */
static struct json_object *parent_of(struct json_object *obj, const char **name)
{
	const char *dot = strchr(*name, '.');
	struct json_object *inner;
	char outer[32];

	if (!dot)
		return obj;
	snprintf(outer, sizeof(outer), "%.*s", (int)(dot - *name), *name);
	*name = dot + 1;
	if (json_object_object_get_ex(obj, outer, &inner))
		return inner;
	inner = json_object_new_object();
	json_object_object_add(obj, outer, inner);
	return inner;
}

static void add_field(struct json_object *obj, const struct layout *layout, const struct field *f,
		      const unsigned char *data)
{
	uint64_t value = number_at(data, f->offset, f->size);
	const char *name = f->name;
	struct json_object *at = parent_of(obj, &name);
	char cap[IOCTL_NAME_LEN];

	if (f->flags & FIELD_SIGNED)
		add_member(at, name, json_object_new_int64((int32_t)value));
	else if (f->flags & FIELD_HEX)
		add_hex(at, name, value);
	else
		add(at, name, value);
	if (f->flags & FIELD_CAP)
		add_member(at, "cap_name",
			   json_object_new_string(kvm_cap__name(value, cap, sizeof(cap))));
	if (layout->flags && !strcmp(name, "flags"))
		add_names(at, layout->flags, value);
}

static void add_fields(struct json_object *obj, const struct layout *layout,
		       const struct ioctl_seen *seen)
{
	for (const struct field *f = layout->fields; f->name; f++) {
		if (f->flags & FIELD_OUT && seen->ret < 0)
			continue;
		if ((size_t)f->offset + f->size <= seen->len)
			add_field(obj, layout, f, seen->data);
	}
}

/* name is one of the table's, or NULL. */
static const struct layout *find_layout(const char *name)
{
	static _Thread_local const char *last_name;
	static _Thread_local const struct layout *last;

	if (!name || name == last_name)
		return name ? last : NULL;
	last_name = name;
	last = NULL;
	for (size_t i = 0; !last && i < ARRAY_SIZE(layouts); i++)
		if (!strcmp(layouts[i].command, name))
			last = &layouts[i];
	return last;
}

struct json_object *ioctl__decode(const struct ioctl_seen *seen)
{
	const struct layout *layout = find_layout(find_ioctl(seen->cmd));
	struct json_object *obj = json_object_new_object();

	if (!layout)
		return obj;
	if (layout->arg_name)
		add(obj, layout->arg_name, seen->arg);
	add_fields(obj, layout, seen);
	if (layout->more)
		layout->more(obj, seen);
	if (layout->ret_name && seen->ret >= 0)
		add(obj, layout->ret_name, seen->ret);
	return obj;
}
