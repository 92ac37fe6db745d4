#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# diagnose: VMs that are really made sick are found to be so, each of that and of nothing else; then what the report says
# is to be done is done, and it is gone. Where a remedy is an option of QEMU, the generator's is in its place.
# alone
. "$(dirname "$0")/lib_diagnose.sh"

tick=timer_periodic=100000:20000	# a guest that does hardly anything
spin=spin=100000

# What needs no exits: the VMM's doings, and who has the CPUs. Who wants all of a CPU has the first one, and is started
# last: new VMs wait for a kernel thread, which may get no other one.
if planned vmm; then
	record_starts vmm-sick
	# Those two wait for a kernel thread each time: beside helpers that never sleep it gets no CPU.
	vm "routes all the time" route-churn --helper=routes:1000 $tick
	vm "slots that come and go" memslot-churn --forever memslot=10:0 timer_oneshot=1:2000
	vm "a log that nobody reads" dirty-log-left-on --log=none dirty=16:1 $tick
	vm "long stays in the VMM" vmm-slow --forever sleep=200 timer_oneshot=10:5000
	all_live
	vm "a line that is masked" masked-timer-line --helper=lines:200:20 $tick
	# Three: to a vCPU that waits for a busy host's CPU a message costs little.
	vm "messages by ioctl" irq-by-ioctl --helper=msi:20 --helper=msi:20 --helper=msi:20 $tick
	vm "lines by ioctl" irq-by-ioctl --helper=line:10:32 ioapic_irq=1 $tick
	all_live
	record_ends
	judge sick
	remedy masked-timer-line "-machine hpet=off"
	remedy irq-by-ioctl "a VMM that uses KVM_IRQFD"
	remedy route-churn "a guest driver that does not mask at each interrupt"
	remedy dirty-log-left-on "virsh shutdown"
	remedy memslot-churn "stop what toggles ROMs or BARs"
	remedy vmm-slow "disks: iothread"

	# Those that take a CPU are by themselves: what the VMMs above do many times a second is seldom beside them.
	record_starts vmm-sick-cpu
	vm "no interrupt chips in KVM" irqchip-in-vmm --cpu=0 hlt_user=100000000
	vm "an MSR that the VMM has" msr-to-vmm --cpu=0 usermsr=100000000
	all_live
	vm "signals all the time" kick-storm --cpu=0 --helper=kick:20 $spin
	all_live
	vm "a guest that resets itself" vm-crashes --cpu=0 --forever spin=50 triple=100000
	all_live
	record_ends
	judge sick
	remedy irqchip-in-vmm "-machine kernel-irqchip=on"
	remedy msr-to-vmm "allow that MSR in the VMM's MSR filter"
	remedy kick-storm "query the VMM less often"
	remedy vm-crashes "dmesg | tail -50"

	# By itself: it takes the second CPU from all others. A real-time task may have 95 % of it, and 90 % are a finding:
	# where this host is a guest whose own host takes more than 3 %, it is made again.
	for _ in 1 2 3; do
		no_cpu=$(cat /proc/loadavg)
		if crowded; then break; fi
		record_starts vmm-saturated
		stolen=$(stolen_ms 1)
		vm "a helper that has no time left" helper-saturated --cpu=0 --helper-cpu=1 --helper-rt --helper=vhost:0:10000 $tick
		all_live
		stolen=$(($(stolen_ms 1) - stolen))
		record_ends
		no_cpu=
		test $stolen -ge $((lives * 30)) || break
		no_cpu="its own host took $stolen ms"
	done
	if test -n "$no_cpu"; then
		skip "sick: a helper that has no time left" "this host has no CPU to give: $no_cpu"
	else
		judge sick
		remedy helper-saturated "<driver queues='N'/>"
	fi

	record_starts vmm-cured
	vm "no clock chip that raises it" none $tick
	vm "messages by irqfd" none --helper=irqfd:20 $tick
	vm "lines now and then" none --helper=line:10000:32 ioapic_irq=1 $tick
	vm "routes once" none --helper=irqfd:60000000 $tick
	vm "no log" none dirty=16:1 $tick
	vm "interrupt chips in KVM" none hlt=1000000:5000
	vm "another thread that waits" none --forever timer_oneshot=10:5000
	vm "an MSR that KVM has" none --cpu=0 rdmsr=1000000000
	vm "signals now and then" none --cpu=0 --helper=kick:50000 $spin
	all_live
	vm "a guest that does not reset itself" none --forever spin=50 timer_oneshot=1:50000
	vm "slots that stay" none --forever memslot=1:1000 timer_oneshot=1:900000
	vm "two queues" "none?helper-starved" --helper-cpu=0 --helper=vhost:6000:4000 --helper-cpu=1 --helper=vhost:6000:4000 $tick
	all_live
	record_ends
	judge cured
	part_ends
fi

# VMs that are busy, or odd, and well.
if planned healthy; then
	vm "stopped" none sleep=100000
	stays
	sleep 0.5
	record_starts healthy
	vm "a tick of 100 Hz" none timer_periodic=1000000:10000
	vm "a tick of 250 Hz" none timer_periodic=1000000:4000
	vm "halts, woken up" none hlt=1000000:3000
	vm "I/O by ioeventfd and irqfd" none --ioeventfd=0xc050 --helper=irqfd:200 --forever out2=50:0xc050 timer_oneshot=1:10000
	vm "a first touch of 256 MiB, then none" none touch=65536 $tick
	again "one that was stopped before" none
	vm "a burst each second" none --forever in=3000:0x71 mmio_read=300:0xd0000000 timer_oneshot=1:1000000
	vm "two vCPUs" none --vcpus=2 $tick
	sleep 1
	vm "one that computes" none --cpu=0 $spin
	while :; do kvm_guest --vms=4 out=20 spin=20 >/dev/null 2>&1; done &
	hog=$!
	all_live
	kill $hog
	wait $hog 2>/dev/null
	hog=
	record_ends
	judge well
	leaves
	part_ends
fi

# These VMs stay, and get well by what is done to them.
if planned cpus; then
	record_starts own-vm-sick
	vm "two vCPUs on one CPU" steal-own-vm --vcpus=2 --cpu=0 $spin
	stays
	all_live
	record_ends
	judge sick
	remedy steal-own-vm "taskset -p -c CPULIST TID"
	taskset -p -c 1 "$(thread_of "$stay_pid" 1)" >/dev/null
	record_starts own-vm-cured
	again "one of them on another CPU" none
	all_live
	record_ends
	judge cured
	leaves

	# By a name that nobody else has; its remedy is run as it is printed.
	cp "$(command -v sh)" "$TMP/kvmhog"
	taskset -c 0 "$TMP/kvmhog" -c 'while :; do :; done' &
	hog=$!
	vm "a task on its CPU" steal-host-task --cpu=0 $spin
	stays
	record_starts host-task-sick
	again "a task on its CPU" steal-host-task
	sleep $lives
	record_ends
	judge sick
	live "a task on its CPU" 3 -p "$stay_pid" --fail-on=steal-host-task
	is "live: the first line says it" 1 "$(head -n 2 "$TMP/text" | tr '\n' ' ' | grep -c "^1 finding.*Host tasks take")"
	is "live: no line but a command is longer than 80" 0 "$(awk 'length > 80' "$TMP/text" | grep -c -v "^            ")"
	remedy=$(sed -n 's/^  remedy  *\(renice .*\)/\1/p' "$TMP/text")
	is "live: the remedy names it" "renice -n 19 -p \$(pgrep -x kvmhog)" "$remedy"
	sh -c "$remedy" >/dev/null
	live "the remedy cures it: $remedy" 0 -p "$stay_pid" --fail-on=steal-host-task
	kill $hog
	wait $hog 2>/dev/null
	leaves

	record_starts other-vms-sick
	vm "another VM on its CPU" steal-other-vms --cpu=0 $spin
	stays
	vm "and that other one" steal-other-vms --cpu=0 $spin
	sleep $lives
	record_ends
	judge sick
	remedy steal-other-vms "virsh vcpupin"
	taskset -p -c 1 "$(thread_of "$stay_pid" 0)" >/dev/null
	record_starts other-vms-cured
	again "on a CPU of its own" none
	sleep $lives
	record_ends
	judge cured
	leaves
	all_live 0

	record_starts starved-sick
	taskset -c 1 "$TMP/kvmhog" -c 'while :; do :; done' &
	hog=$!
	vm "a helper that waits for a CPU" helper-starved --cpu=0 --helper-cpu=1 --helper=vhost:3000:6000 $tick
	stays
	all_live
	record_ends
	judge sick
	remedy helper-starved "taskset -p -c CPULIST TID"
	taskset -p -c 0 "$(thread_named "$stay_pid" 'vhost-*')" >/dev/null
	record_starts starved-cured
	# Others may take its CPU, too, where there are so many.
	if crowded; then expected="none?helper-starved"; else expected=none; fi
	again "a helper with a CPU" $expected
	all_live
	record_ends
	judge cured
	kill $hog
	wait $hog 2>/dev/null
	leaves

	record_starts observer-sick
	taskset -c 0 kvm_watcher -e -n -o -w -T -c -l --vm_state --vmm_threads --host --interval=10ms --format=json >/dev/null 2>&1 &
	hog=$!
	vm "kvm_watcher on its CPU" observer --cpu=0 $spin
	stays
	sleep 1
	all_live
	record_ends
	judge sick
	remedy observer "kvm_watcher diagnose -p"
	kill $hog
	wait $hog 2>/dev/null
	live "nobody else watches" 0 -p "$stay_pid" --fail-on=observer
	leaves
	part_ends
fi

# What exits tell. Those who want all of the one CPU of a test machine have it one after the other; those who are well
# now, or hardly do anything, are side by side. The generator has no x2APIC unless it says so: xapic may be true, too.
if planned exits; then
	record_starts exits-sick
	vm "a clock chip that ticks" "emulated-tick?steal-own-vm" --helper=line:3000:24 rtc_tick=1000000
	vm "pages that come late" userfault-wait touch_slow=1000:40
	vm "an instruction that KVM cannot emulate" vm-crashes --forever emulate_fail=1 timer_oneshot=1:500000
	all_live
	vm "a tick of 800 Hz" "tick-while-idle?xapic" timer_periodic=100000000:1250
	all_live
	vm "CPUID all the time" cpuid-loop cpuid=100000000
	all_live
	vm "a serial console all the time" pio-device out=100000000:0x3f8
	all_live
	vm "a doorbell without an ioeventfd" doorbell-in-vmm out2=100000000:0xc050
	all_live
	vm "reads of the ACPI timer" clock-reads-exit in=100000000:0x608
	all_live
	vm "a device's registers" mmio-device mmio_write=100000000:0xd0000000
	all_live
	vm "performance counters" pmu-msrs rdmsr=100000000:0xc0010000
	all_live
	vm "caches flushed" wbinvd wbinvd=100000000
	all_live
	vm "an APIC by memory" xapic timer_dropped=100000000
	all_live
	vm "interrupts by the x2APIC" ipi-storm x2apic_ipi=100000000
	all_live
	vm "a debugger" debugger-left-on --debug=step spin=100000
	all_live
	record_ends
	judge sick
	remedy emulated-tick "Linux: clocksource=tsc, or kvm-clock"
	remedy userfault-wait "wait for it"
	remedy vm-crashes "dmesg | tail -50"
	remedy tick-while-idle "CONFIG_HZ=250 or less"
	remedy cpuid-loop "fix the program"
	remedy pio-device "serial console: loglevel=4"
	remedy doorbell-in-vmm "ioeventfd=on"
	remedy clock-reads-exit "current_clocksource"
	remedy mmio-device "virtio-net with vhost=on"
	remedy pmu-msrs "lower its sampling rate"
	remedy wbinvd "the driver that does it"
	remedy xapic "+x2apic"
	remedy debugger-left-on "detach gdb"

	idle="timer_oneshot=1:200000"	# between what is done now and then
	record_starts exits-cured
	vm "no clock chip" none $tick
	vm "pages that are there" none touch=2000 $tick
	vm "an instruction that KVM can emulate" none --forever mmio_read=1 timer_oneshot=1:500000
	vm "a tick of 250 Hz" none timer_periodic=100000000:4000
	vm "CPUID now and then" none --forever cpuid=20 $idle
	vm "few messages" none --forever out=20:0x3f8 $idle
	vm "no reads of the ACPI timer" none --forever in=1:0x608 $idle
	vm "a device that is asked seldom" none --forever mmio_write=10:0xd0000000 $idle
	vm "a profile now and then" none --forever rdmsr=20:0xc0010000 $idle
	all_live
	# With an ioeventfd as often as without: it costs KVM alone.
	vm "a doorbell with an ioeventfd" none --ioeventfd=0xc050 --forever out2=300:0xc050 timer_oneshot=1:50000
	vm "caches that stay" none $tick
	vm "no debugger" none --forever spin=20 timer_oneshot=1:50000
	all_live
	vm "an APIC by MSR" none x2apic_timer=100000000
	all_live
	record_ends
	judge cured
	part_ends
fi

# The other vendor's exits. Bochs is slow: all side by side, each for a part of the time.
if planned vmx; then
	rest=timer_oneshot=1:20000
	record_starts vmx-sick
	vm "CPUID all the time" cpuid-loop --forever cpuid=1000 $rest
	vm "reads of the ACPI timer" clock-reads-exit --forever in=500:0x608 $rest
	vm "an APIC by memory" xapic --forever timer_dropped=500 $rest
	vm "an idle guest" none $tick
	all_live
	record_ends
	judge sick
	remedy cpuid-loop "fix the program"
	remedy clock-reads-exit "current_clocksource"
	vm "CPUID now and then" none --forever cpuid=2 $rest
	stays
	live "CPUID now and then" 0 -p "$stay_pid" --fail-on=cpuid-loop
	leaves
	record_starts vmx-cured
	vm "CPUID now and then" none --forever cpuid=2 $rest
	vm "no reads of the ACPI timer" none --forever in=1:0x608 $rest
	vm "an APIC by MSR" none --forever x2apic_timer=500
	all_live
	record_ends
	judge cured
	part_ends
fi

# What options of kvm_intel do. The same VMs get well by them, and by fewer vCPUs.
if planned options; then
	all=$record_options record_options="--interval=2 --summary -o -e -n --nested --vm_state --vmm_threads --host"
	flush=/sys/module/kvm_intel/parameters/vmentry_l1d_flush
	was=$(cat $flush)
	pauses="--cpu=0 --forever pause=300000 timer_oneshot=1:20000"

	module kvm_intel enable_shadow_vmcs=0
	record_starts options-sick
	vm "a guest with a guest" nested-amplification+cpuid-loop nested_cpuid=100000:1000
	all_live
	# shellcheck disable=SC2086
	vm "two vCPUs that wait for each other" lock-holder-preempted+steal-own-vm --vcpus=2 $pauses
	all_live
	# Fewer vCPUs, as the report says. kvm_watcher runs while this one is asleep: there is no steal.
	renice -20 $$ >/dev/null
	# shellcheck disable=SC2086
	vm "PAUSEs on a CPU of its own" ple-on-dedicated $pauses
	renice 0 $$ >/dev/null
	all_live
	record_ends
	judge sick
	remedy nested-amplification "kvm_intel.enable_shadow_vmcs=Y"
	remedy lock-holder-preempted "fewer vCPUs"
	remedy ple-on-dedicated "modprobe -r kvm_intel && modprobe kvm_intel ple_gap=0"

	module kvm_intel enable_shadow_vmcs=1 ple_gap=0
	echo always >$flush
	record_starts flush-sick
	vm "a flush at each entry" l1d-flush --forever vmcall=10 timer_oneshot=1:20000
	stays
	all_live
	record_ends
	judge sick
	remedy l1d-flush "echo cond > $flush"
	echo cond >$flush
	record_starts options-cured
	again "flushes where they are due" none
	vm "a guest with a guest, and a shadow" "none?cpuid-loop" nested_cpuid=100000:1000
	all_live
	renice -20 $$ >/dev/null
	# shellcheck disable=SC2086
	vm "one vCPU, whose PAUSEs stay in the guest" none $pauses
	renice 0 $$ >/dev/null
	all_live
	record_ends
	judge cured
	leaves
	module kvm_intel
	echo "$was" >$flush
	record_options=$all
	part_ends
fi

# What the host's settings do: the same VM gets well, by what the report says, word by word where it can be run.
if planned settings; then
	cg=$TMP/cgroup
	mkdir "$cg"
	mount -t cgroup2 none "$cg" && echo "+cpu +memory" >"$cg/cgroup.subtree_control"
	mkdir "$cg/quota" "$cg/small"
	echo "20000 100000" >"$cg/quota/cpu.max"
	vm "a quota" quota-throttled $spin
	stays
	echo "$stay_pid" >"$cg/quota/cgroup.procs"
	live "a quota" 3 -p "$stay_pid" --fail-on=quota-throttled
	is "live: the first line says it" 1 "$(head -n 2 "$TMP/text" | tr '\n' ' ' | grep -c "^[1-9] finding.*A CPU quota throttles the VM")"
	remedy=$(sed -n 's,^ *\(echo max > \)/sys/fs/cgroup\(/.*\)$,\1'"$cg"'\2,p' "$TMP/text")
	is "live: its remedy names the cgroup" "echo max > $cg/quota/cpu.max" "$remedy"
	sh -c "$remedy"
	live "the remedy cures it: $remedy" 0 -p "$stay_pid" --fail-on=quota-throttled,warning --ignore=observer
	leaves

	clock=/sys/devices/system/clocksource/clocksource0/current_clocksource
	clock_before=$(cat $clock) poll=/sys/module/kvm/parameters/halt_poll_ns
	poll_before=$(cat $poll)
	while read -r module; do insmod "/modules/$module" 2>/dev/null; done </modules/zram
	test -e /sys/block/zram0/disksize && echo 64M >/sys/block/zram0/disksize && mkswap /dev/zram0 >/dev/null && swapon /dev/zram0
	echo 16M >"$cg/small/memory.max"

	record_starts settings-sick
	echo acpi_pm >$clock
	vm "the host's clock is slow" kvmclock-unstable $tick
	all_live
	echo "$clock_before" >$clock
	echo "20000 100000" >"$cg/quota/cpu.max"
	vm "a quota" quota-throttled $spin
	echo "$vm_pid" >"$cg/quota/cgroup.procs"
	all_live
	vm "memory that is swapped" memory-from-disk --forever touch=8192
	echo "$vm_pid" >"$cg/small/cgroup.procs"
	all_live
	echo 9000000 >$poll
	vm "polling for timers" halt-poll-burns timer_oneshot=1000000:8000
	stays
	all_live
	record_ends
	judge sick
	remedy kvmclock-unstable "echo tsc > $clock"
	remedy halt-poll-burns "echo 50000 > $poll"
	remedy memory-from-disk "/memory.max"
	echo 50000 >$poll
	echo max >"$cg/small/memory.max"
	record_starts settings-cured
	again "short polls" none
	vm "a clock that is fast" none $tick
	vm "memory that is there" none --forever touch=8192 timer_oneshot=10:100000
	echo "$vm_pid" >"$cg/small/cgroup.procs"
	all_live
	record_ends
	judge cured
	leaves
	echo "$poll_before" >$poll
	swapoff /dev/zram0
	rmdir "$cg/quota" "$cg/small"
	umount "$cg"
	part_ends
fi

# Memory, in each way that a host makes it slow; settings of the host again, which the report's own commands put right.
if planned memory; then
	thp=/sys/kernel/mm/transparent_hugepage/enabled nx=/sys/module/kvm/parameters/nx_huge_pages
	small="--thp touch_read=270000 $tick"
	code="--huge --forever touch_exec=2048 timer_oneshot=1:500000"
	# mapped PID PAGES: once its guest has used so many
	mapped()
	{
		for _ in $(seq 60); do
			test "$(cat /sys/kernel/debug/kvm/"$1"-*/pages_4k 2>/dev/null || echo 0)" -lt "$2" || break
			sleep 0.5
		done
	}

	echo force >$nx
	# shellcheck disable=SC2086
	vm "code in large pages" nx-huge-page-splits $code
	code_pid=$vm_pid
	mapped "$code_pid" 2048
	echo never >$thp
	# shellcheck disable=SC2086
	vm "a GiB in small pages" small-pages $small
	small_pid=$vm_pid
	mapped "$small_pid" 262144
	record_starts memory-sick --unmaps -d --migration-bandwidth=1
	joins "$code_pid" nx-huge-page-splits "code in large pages"
	joins "$small_pid" small-pages "a GiB in small pages"
	vm "pages that the VMM takes away" refault-churn --forever dontneed=10 timer_oneshot=1:20000
	vm "a migration that is too slow" migration-diverges --forever dirty=1000:1 timer_oneshot=1:500000
	all_live
	record_ends
	judge sick
	remedy nx-huge-page-splits "echo off > $nx"
	remedy small-pages "echo madvise > $thp"
	remedy refault-churn "virsh dommemstat"
	remedy migration-diverges "virsh migrate-setspeed"

	echo off >$nx
	echo madvise >$thp
	record_starts memory-cured --unmaps -d --migration-bandwidth=1000
	# shellcheck disable=SC2086
	vm "code in pages that stay large" none $code
	# shellcheck disable=SC2086
	vm "the same GiB in large pages" none $small
	vm "pages that stay with the guest" none --forever touch=10 timer_oneshot=1:20000
	vm "a migration that is fast enough" none --forever dirty=1000:1 timer_oneshot=1:500000
	all_live
	record_ends
	judge cured
	echo always >$thp
	echo off >$nx

	module kvm_amd npt=0
	echo 1 >/sys/kernel/mm/ksm/run
	record_starts shadow-sick
	vm "a guest that unmaps memory" no-tdp+ksm-without-need --forever invlpg=1000 timer_oneshot=1:20000
	vm "a guest while KSM runs" ksm-without-need $tick
	all_live
	record_ends
	judge sick
	remedy no-tdp "modprobe -r kvm_amd && modprobe kvm_amd npt=1"
	remedy ksm-without-need "echo 2 > /sys/kernel/mm/ksm/run"
	module kvm_amd npt=1
	echo 2 >/sys/kernel/mm/ksm/run
	record_starts shadow-cured
	vm "the same with nested page tables" none --forever invlpg=1000 timer_oneshot=1:20000
	vm "a guest while KSM does not run" none $tick
	all_live
	record_ends
	judge cured
	echo 0 >/sys/kernel/mm/ksm/run
	part_ends
fi

done_testing
