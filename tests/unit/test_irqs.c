/* SPDX-License-Identifier: GPL-2.0-only */
/* Registers and messages of the interrupt chips, bit by bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../decode/irqs.h"

static void check(struct irq_route got, struct irq_route want)
{
	assert_int_equal(got.dest, want.dest);
	assert_int_equal(got.vector, want.vector);
	assert_int_equal(got.delivery, want.delivery);
	assert_int_equal(got.logical, want.logical);
	assert_int_equal(got.level, want.level);
	assert_int_equal(got.masked, want.masked);
	assert_int_equal(got.hint, want.hint);
}

/* Each field alone, at its place in the data sheets, and none of the bits between them. */
static void test_ioapic(void **state)
{
	(void)state;
	check(irq__ioapic(0), (struct irq_route){});
	check(irq__ioapic(0xff), (struct irq_route){ .vector = 0xff });
	for (unsigned int mode = 0; mode < 8; mode++)
		check(irq__ioapic(mode << 8), (struct irq_route){ .delivery = mode });
	check(irq__ioapic(0x800), (struct irq_route){ .logical = true });
	check(irq__ioapic(0x8000), (struct irq_route){ .level = true });
	check(irq__ioapic(0x10000), (struct irq_route){ .masked = true });
	check(irq__ioapic(0xa5ULL << 56), (struct irq_route){ .dest = 0xa5 });
	/* Delivery status, polarity, remote IRR and what is reserved. */
	check(irq__ioapic(0x00fffffffffe7000), (struct irq_route){});
}

static void test_msi(void **state)
{
	(void)state;
	check(irq__msi(0xfee00000, 0), (struct irq_route){});
	check(irq__msi(0xfeea5000, 0x41), (struct irq_route){ .dest = 0xa5, .vector = 0x41 });
	for (unsigned int mode = 0; mode < 8; mode++)
		check(irq__msi(0xfee00000, mode << 8), (struct irq_route){ .delivery = mode });
	check(irq__msi(0xfee00004, 0), (struct irq_route){ .logical = true });
	check(irq__msi(0xfee00008, 0), (struct irq_route){ .hint = true });
	check(irq__msi(0xfee00000, 0x8000), (struct irq_route){ .level = true });
	/* The level and what is reserved. */
	check(irq__msi(0xfee00ff3, 0xffff7800), (struct irq_route){});
}

/* Bits 8..31 of the id are in the upper half; its low byte is no part of it. */
static void test_x2apic(void **state)
{
	(void)state;
	check(irq__msi(0x12345600fee78000, 0x30),
	      (struct irq_route){ .dest = 0x12345678, .vector = 0x30 });
	check(irq__msi(0xffffffffffeff000, 0), (struct irq_route){ .dest = 0xffffffff });
	check(irq__msi(0x000000fffee01000, 0), (struct irq_route){ .dest = 1 });
}

static void test_names(void **state)
{
	static const char *const names[] = {
		"Fixed", "LowPrio", "SMI", "Res3", "NMI", "INIT", "SIPI", "ExtINT",
	};
	struct irq_route route = { .delivery = 4 };
	char buf[64];

	(void)state;
	for (unsigned int i = 0; i < 8; i++)
		assert_string_equal(irq__delivery(i), names[i]);
	assert_string_equal(irq__others(&route, false, buf, sizeof(buf)), "NMI|physical|edge");
	route = (struct irq_route){ .logical = true, .level = true, .masked = true };
	assert_string_equal(irq__others(&route, false, buf, sizeof(buf)),
			    "Fixed|logical|level|masked");
	route = (struct irq_route){ .delivery = 1, .hint = true };
	assert_string_equal(irq__others(&route, true, buf, sizeof(buf)),
			    "LowPrio|physical|edge|rh|coalesced");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ioapic),
		cmocka_unit_test(test_msi),
		cmocka_unit_test(test_x2apic),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
