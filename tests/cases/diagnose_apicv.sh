#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# machine: --cpu=corei7_skylake_x
# diagnose, on an Intel processor that delivers interrupts by itself (APICv), which the one of the other cases does not:
# what hinders it, what it leaves to KVM, and what options of kvm_intel do. Sick, found, cured, gone.
. "$(dirname "$0")/lib_diagnose.sh"

lives=5.5
# What these rules need: Bochs is slow.
record_options="--interval=2 --summary -o -e -n --nested --vm_state --vmm_threads --host"
flush=/sys/module/kvm_intel/parameters/vmentry_l1d_flush
cpuid="--forever cpuid=10 timer_oneshot=1:20000"

if planned apicv; then
	record_starts apicv-sick
	vm "an interrupt that ends by itself" "apicv-not-used?xapic" --auto-eoi timer_oneshot=100000000:200
	all_live
	vm "lines that stay until they are heard" intx-eoi --helper=irqfd:300:32 level_irq=100000000
	all_live
	record_ends
	judge sick
	remedy apicv-not-used "HYPERV: -cpu ...,hv-apicv"
	remedy intx-eoi "let the driver use MSI"

	record_starts apicv-cured
	vm "interrupts that the guest ends" none timer_oneshot=100000000:200
	all_live
	vm "messages instead of lines" none --helper=irqfd:300 level_irq=100000000
	all_live
	record_ends
	judge cured
	part_ends
fi

if planned options; then
	was=$(cat $flush)
	echo always >$flush
	record_starts flush-sick
	vm "a flush at each entry" l1d-flush $cpuid
	stays
	all_live
	record_ends
	judge sick
	remedy l1d-flush "echo cond > $flush"
	echo cond >$flush
	record_starts flush-cured
	again "flushes where they are due" none
	all_live
	record_ends
	judge cured
	leaves
	echo "$was" >$flush

	module kvm_intel enable_shadow_vmcs=0
	record_starts options-sick
	vm "a guest with a guest" nested-amplification nested_cpuid=100000:1000
	all_live
	vm "two vCPUs that wait for each other" lock-holder-preempted+steal-own-vm --vcpus=2 --cpu=0 pause=1000000000
	all_live
	record_ends
	judge sick
	remedy nested-amplification "kvm_intel.enable_shadow_vmcs=Y"
	remedy lock-holder-preempted "fewer vCPUs"
	# kvm_watcher takes more than a hundredth of the one CPU, unless it looks seldom, and at little.
	all=$record_options record_options="--interval=3 --summary -o -e -n --vmm_threads"
	record_starts loops-sick
	vm "PAUSEs on a CPU of its own" ple-on-dedicated --cpu=0 pause=1000000000
	all_live 10
	record_ends
	judge sick
	remedy ple-on-dedicated "modprobe kvm_intel ple_gap=0"

	module kvm_intel enable_shadow_vmcs=1 ple_gap=0
	record_options=$all
	record_starts options-cured
	vm "a guest with a guest, and a shadow" none nested_cpuid=100000:1000
	all_live
	vm "one vCPU, whose PAUSEs stay in the guest" none --cpu=0 pause=1000000000
	all_live
	record_ends
	judge cured
	module kvm_intel
	part_ends
fi

done_testing
