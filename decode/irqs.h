/* SPDX-License-Identifier: GPL-2.0-only */
/* What the interrupt chips' registers and messages say. */
#ifndef KVM_WATCHER_IRQS_H
#define KVM_WATCHER_IRQS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where an interrupt goes, and how. */
struct irq_route {
	uint32_t dest; /* APIC id, or with logical a set of them */
	uint8_t vector;
	uint8_t delivery; /* irq__delivery() has its name */
	bool logical;
	bool level;
	bool masked; /* of an I/O APIC's pin */
	bool hint;   /* of a message: redirection hint, whoever is least busy */
};

/* A redirection entry of the I/O APIC. */
struct irq_route irq__ioapic(uint64_t entry);

/*
 * A message as KVM takes it: the APIC id's bits 0..7 are in the address, bits 8..31 in the
 * address' upper half, which KVM leaves out unless the VM uses the x2APIC format.
 */
struct irq_route irq__msi(uint64_t address, uint64_t data);

/* "Fixed", "LowPrio", "SMI", "Res3", "NMI", "INIT", "SIPI", "ExtINT" */
const char *irq__delivery(unsigned int mode);

/* "Fixed|physical|edge|masked": what of it is said, coalesced included. */
const char *irq__others(const struct irq_route *route, bool coalesced, char *buf, size_t size);

#endif
