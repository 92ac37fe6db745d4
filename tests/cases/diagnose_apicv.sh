#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# machine: --cpu=corei7_skylake_x --append=tsc=unstable --append=lapic=notscdeadline
# diagnose, on an Intel processor that delivers interrupts by itself (APICv), which the one of the other cases does not:
# what hinders it, and what it leaves to KVM. Sick, found, cured, gone. Its TSC says that it has 3500 MHz, but Bochs'
# instructions are 100 million a second: time by it would go 35 times slower.
. "$(dirname "$0")/lib_diagnose.sh"

lives=7
# Who takes the one CPU from them: the kernel's thread for irqfds, and the generator's.
task='steal-host-task?steal-own-vm'
# What these rules need: Bochs is slow.
record_options="--interval=2 --summary -o -e --detail --vm_state --host"

if planned apicv; then
	record_starts apicv-sick
	vm "an interrupt that ends by itself" "apicv-not-used+kvmclock-unstable?xapic?$task" --auto-eoi timer_oneshot=100000000:300
	vm "lines that stay until they are heard" "intx-eoi+kvmclock-unstable?$task" --helper=irqfd:300:32 level_irq=100000000
	all_live
	record_ends
	judge sick
	remedy apicv-not-used "HYPERV: -cpu ...,hv-apicv"
	remedy intx-eoi "let the driver use MSI"

	record_starts apicv-cured
	vm "interrupts that the guest ends" "none?kvmclock-unstable" timer_oneshot=100000000:300
	vm "messages instead of lines" "none?kvmclock-unstable?$task" --helper=irqfd:300 level_irq=100000000
	all_live
	record_ends
	judge cured
	part_ends
fi

done_testing
