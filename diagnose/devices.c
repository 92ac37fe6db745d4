// SPDX-License-Identifier: GPL-2.0-only
#include "devices.h"

#include <stdio.h>
#include <string.h>

enum { PAGE = 4096, LEAST_EVENTS = 200 };

static const double SLOW_NS = 15e3;

/* Where a PC has them. */
static const struct {
	double first, last;
	const char *name;
} known_ports[] = {
	{ 0x20, 0x21, "the interrupt controller (PIC)" },
	{ 0x40, 0x43, "the timer (PIT)" },
	{ 0x60, 0x64, "the keyboard" },
	{ 0x70, 0x71, "the clock (RTC)" },
	{ 0x92, 0x92, "firmware" },
	{ 0xa0, 0xa1, "the interrupt controller (PIC)" },
	{ 0x170, 0x177, "IDE" },
	{ 0x1f0, 0x1f7, "IDE" },
	{ 0x2f8, 0x2ff, "the serial port COM2" },
	{ 0x3c0, 0x3df, "VGA" },
	{ 0x3f0, 0x3f7, "the floppy or IDE" },
	{ 0x3f8, 0x3ff, "the serial port COM1" },
	{ 0x402, 0x402, "firmware's log" },
	{ 0x510, 0x51b, "fw_cfg" },
	{ 0x600, 0x607, "ACPI" },
	{ 0x608, 0x60b, "the ACPI timer" },
	{ 0xb000, 0xb007, "ACPI" },
	{ 0xb008, 0xb00b, "the ACPI timer" },
	{ 0xcf8, 0xcff, "PCI configuration" },
	{ 0x5658, 0x5659, "VMware's port" },
}, known_pages[] = {
	{ 0xfee00000, 0xfee00fff, "the local APIC" },
	{ 0xfec00000, 0xfec00fff, "the IOAPIC" },
	{ 0xfed00000, 0xfed00fff, "the HPET" },
	{ 0xa0000, 0xbffff, "VGA memory" },
};

/* One of "fault|mmio". */
static bool is_one_of(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = list; p; p = strchr(p, '|'), p = p ? p + 1 : NULL)
		if (!strncmp(p, word, len) && (!p[len] || p[len] == '|'))
			return true;
	return false;
}

#define FIND(_list, _number)                                                                   \
	({                                                                                     \
		const char *_name = NULL;                                                      \
		for (size_t _i = 0; _i < sizeof(_list) / sizeof(*(_list)) && !_name; _i++)     \
			if ((_number) >= (_list)[_i].first && (_number) <= (_list)[_i].last) { \
				_name = (_list)[_i].name;                                      \
				first = (_list)[_i].first;                                     \
				last = (_list)[_i].last;                                       \
			}                                                                      \
		_name;                                                                         \
	})

void devices__add(struct devices *d, const struct look *l, const struct fact *row)
{
	const char *class = fact__get_text(row, "class"),
		   *kind = fact__get_text(row, "detail_kind");
	double number = fact__get(row, "number"), count = fact__get(row, "count"),
	       to_vmm = fact__get(row, "to_vmm"), kvm_ns, vmm_ns;

	if (!class || !kind || !strcmp(kind, "others") || !strcmp(kind, "none"))
		return;
	if (!is_one_of(d->class, class) || number < d->first || number > d->last)
		return;
	to_vmm = isnan(to_vmm) ? 0 : to_vmm;
	look__split(l, class, fact__get(row, "total_ns"), to_vmm, &kvm_ns, &vmm_ns);
	d->count += count;
	d->to_vmm += to_vmm;
	if (fact__get(row, "write") > 0)
		d->writes += count;
	d->kvm_ns += kvm_ns;
	d->vmm_ns += vmm_ns;
}

void devices__count(struct devices *d, const struct look *l)
{
	const struct fact *row = NULL;

	while ((row = look__next(l, "KVM_EXIT_DETAIL", row)))
		devices__add(d, l, row);
}

struct devices devices__worst(const struct look *l, const char *class, double *all_to_vmm)
{
	bool ports = !strcmp(class, "io");
	struct devices worst = {};
	const struct fact *row = NULL;

	*all_to_vmm = 0;
	while ((row = look__next(l, "KVM_EXIT_DETAIL", row))) {
		const char *of = fact__get_text(row, "class");
		double number = fact__get(row, "number"), first, last;
		struct devices d = { .class = class };

		if (!of || !is_one_of(class, of) || !(fact__get(row, "to_vmm") > 0) ||
		    isnan(number))
			continue;
		*all_to_vmm += fact__get(row, "to_vmm");
		first = ports ? (double)((uint64_t)number & ~7ULL) :
				(double)((uint64_t)number & ~(uint64_t)(PAGE - 1));
		last = first + (ports ? 7 : PAGE - 1);
		d.name = ports ? FIND(known_ports, number) : FIND(known_pages, number);
		d.first = first;
		d.last = last;
		if (d.first == worst.first && worst.count > 0)
			continue;
		devices__count(&d, l);
		if (d.to_vmm > worst.to_vmm)
			worst = d;
	}
	return worst;
}

bool host_is_slow(const struct look *l, double *p50_ns)
{
	const struct look all = { .facts = l->facts,
				  .window = &l->facts->total,
				  .vcpu = UINT32_MAX };
	double cheapest = NAN;

	for (size_t vm = 1; vm < l->facts->nr_vms; vm++) {
		struct look of = all;
		const struct fact *row = NULL;

		of.vm_at = vm;
		while ((row = look__next(&of, "KVM_EXIT", row))) {
			const char *class = fact__get_text(row, "class");
			double p50 = fact__get(row, "p50_ns");

			if (!class || !is_one_of("cpuid|msr|interrupt", class) ||
			    fact__get(row, "count") < LEAST_EVENTS)
				continue;
			if (!(p50 >= cheapest))
				cheapest = p50;
		}
	}
	if (p50_ns)
		*p50_ns = cheapest;
	return cheapest > SLOW_NS;
}
