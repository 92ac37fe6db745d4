// SPDX-License-Identifier: GPL-2.0-only
#include "irqs.h"

#include <stdio.h>

/*
 * Intel 82093AA (I/O APIC) data sheet, IOREDTBL: vector 0..7, delivery mode
 * 8..10, destination mode 11, trigger mode 15, mask 16, destination 56..63.
 */
struct irq_route irq__ioapic(uint64_t entry)
{
	return (struct irq_route){
		.dest = entry >> 56,
		.vector = entry,
		.delivery = entry >> 8 & 7,
		.logical = entry >> 11 & 1,
		.level = entry >> 15 & 1,
		.masked = entry >> 16 & 1,
	};
}

/*
 * Intel SDM volume 3, "Message Address Register Format" and "Message Data
 * Register Format"; the upper half as KVM_X2APIC_API_USE_32BIT_IDS has it.
 */
struct irq_route irq__msi(uint64_t address, uint64_t data)
{
	return (struct irq_route){
		.dest = (address >> 12 & 0xff) | (address >> 32 & 0xffffff00),
		.vector = data,
		.delivery = data >> 8 & 7,
		.logical = address >> 2 & 1,
		.level = data >> 15 & 1,
		.hint = address >> 3 & 1,
	};
}

const char *irq__delivery(unsigned int mode)
{
	static const char *const names[] = {
		"Fixed", "LowPrio", "SMI", "Res3", "NMI", "INIT", "SIPI", "ExtINT",
	};

	return names[mode & 7];
}

const char *irq__others(const struct irq_route *route, bool coalesced, char *buf, size_t size)
{
	snprintf(buf, size, "%s|%s|%s%s%s%s", irq__delivery(route->delivery),
		 route->logical ? "logical" : "physical", route->level ? "level" : "edge",
		 route->masked ? "|masked" : "", route->hint ? "|rh" : "",
		 coalesced ? "|coalesced" : "");
	return buf;
}
