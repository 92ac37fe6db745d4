// SPDX-License-Identifier: GPL-2.0-only
#include "devices.h"

#include <stdio.h>
#include <string.h>

enum { PAGE = 4096, LEAST_EVENTS = 200, MOST_DEVICES = 256 };

static const double SLOW_NS = 15e3;

/* Where a PC has them. */
static const struct known {
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

static bool is_of(const struct devices *d, const struct fact *row)
{
	const char *class = fact__get_text(row, "class"),
		   *kind = fact__get_text(row, "detail_kind");
	double number = fact__get(row, "number");

	return class && kind && is_one_of(d->class, class) && !is_one_of("others|none", kind) &&
	       number >= d->first && number <= d->last;
}

static void add(struct devices *d, const struct fact *row)
{
	double to_vmm = fact__get(row, "to_vmm"), count = fact__get(row, "count");

	d->count += count;
	d->to_vmm += isnan(to_vmm) ? 0 : to_vmm;
	d->total_ns += fact__get(row, "total_ns");
	if (fact__get(row, "write") > 0)
		d->writes += count;
}

/*
 * What was in the VMM: its share of all stays for such exits. A device that is memory leaves for a
 * fault on SVM, and comes back as MMIO.
 */
static void split(struct devices *d, const struct look *l)
{
	const char *user = is_one_of(d->class, "mmio") ? "mmio" : d->class;
	const struct fact *row = NULL;
	double went = 0;

	while (d->to_vmm > 0 && (row = look__next(l, "KVM_EXIT_DETAIL", row))) {
		const char *class = fact__get_text(row, "class");

		if (class && is_one_of(d->class, class) && fact__get(row, "to_vmm") > 0)
			went += fact__get(row, "to_vmm");
	}
	look__split(l, user, d->total_ns, went > 0 ? d->to_vmm / went : 0, &d->kvm_ns, &d->vmm_ns);
}

void devices__count(struct devices *d, const struct look *l)
{
	const struct fact *row = NULL;

	while ((row = look__next(l, "KVM_EXIT_DETAIL", row)))
		if (is_of(d, row))
			add(d, row);
	split(d, l);
}

/* Whose port or page it is. */
static struct devices device_at(const char *class, double number, bool single)
{
	bool ports = is_one_of(class, "io");
	uint64_t size = single ? 1 : ports ? 8 : PAGE;
	struct devices d = { .class = class, .first = (double)((uint64_t)number & ~(size - 1)) };
	size_t nr = ports ? sizeof(known_ports) / sizeof(*known_ports) :
			    sizeof(known_pages) / sizeof(*known_pages);

	d.last = d.first + size - 1;
	for (size_t i = 0; i < nr && !single; i++) {
		const struct known *known = ports ? &known_ports[i] : &known_pages[i];

		if (number < known->first || number > known->last)
			continue;
		d.first = known->first;
		d.last = known->last;
		d.name = known->name;
	}
	return d;
}

struct devices devices__worst(const struct look *l, const char *class,
			      bool (*takes)(const struct fact *row), double *all_to_vmm)
{
	struct devices list[MOST_DEVICES], worst = { .class = class };
	const struct devices any = { .class = class, .last = INFINITY };
	const struct fact *row = NULL;
	size_t nr = 0;

	*all_to_vmm = 0;
	while ((row = look__next(l, "KVM_EXIT_DETAIL", row))) {
		struct devices d;
		size_t i = 0;

		if (!is_of(&any, row) || (takes && !takes(row)))
			continue;
		d = device_at(class, fact__get(row, "number"), takes);
		if (fact__get(row, "to_vmm") > 0)
			*all_to_vmm += fact__get(row, "to_vmm");
		while (i < nr && list[i].first != d.first)
			i++;
		/* So many are none that is half of all. */
		if (i == MOST_DEVICES)
			continue;
		if (i == nr)
			list[nr++] = d;
		add(&list[i], row);
	}
	for (size_t i = 0; i < nr; i++)
		if (list[i].to_vmm > worst.to_vmm)
			worst = list[i];
	split(&worst, l);
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
