#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# machine: --cpus=2 --numa --pstates --instruction=1 --append=isolcpus=nohz,domain,1
# diagnose, where it takes two CPUs, each a NUMA node with its memory, the second one isolated, and frequencies to choose
# from: this machine is another one than that of the other cases, and an exit in it takes a quarter of the time, so the
# host is not slow. Sick, found, cured by what the report says, gone.
. "$(dirname "$0")/lib_diagnose.sh"

tick=timer_periodic=100000:20000 lives=6 odd=
governors=/sys/devices/system/cpu/cpufreq/policy poll=/sys/module/kvm/parameters/halt_poll_ns
prefix=/sys/module/kvm/parameters/force_emulation_prefix
cg=$TMP/cgroup
# What these rules need, no more: each monitor makes an exit longer, and this is about how long it takes.
record_options="--interval=2 --summary -o -e -w -n --vm_state --vmm_threads --host"
# governor NAME: of both CPUs
governor()
{
	for governor_cpu in 0 1; do echo "$1" >$governors$governor_cpu/scaling_governor; done
}

# Interrupts for whoever has that line: the console says something now and then.
chatter()
{
	while :; do
		echo >/dev/ttyS0
		sleep 0.02
	done
}

# The whole of the isolated CPU, for what an exit has to be quick for: before the TSC is given up below.
if planned fast; then
	all=$record_options lives=7
	record_options="--interval=2 --summary -o -e -w"
	poll_before=$(cat $poll)
	echo 0 >$poll
	record_starts quick-fast-sick
	vm "short halts without polling" slow-wakeup --cpu=1 timer_oneshot=100000000:100
	all_live
	record_ends
	judge sick
	remedy slow-wakeup "echo 200000 > $poll"
	# A setting for developers of KVM, by which it reads what is there first: like that it takes long enough. 105,000
	# of them a second are seen, of the 100,000 that the rule asks for: with -w it is 2,000 less.
	record_options="--interval=2 --summary -o -e"
	echo 1 >$prefix
	record_starts quick-stuck-sick
	vm "an exception for ever" spins-without-progress --cpu=1 stuck
	all_live
	echo 0 >$prefix
	record_ends
	judge sick
	remedy spins-without-progress "a newer kernel"
	record_options="--interval=2 --summary -o -e -w"
	echo 200000 >$poll
	record_starts quick-fast-cured
	vm "short halts with polling" "none?halt-poll-burns" --cpu=1 timer_oneshot=100000000:100
	vm "exceptions that end" none --cpu=0 --forever ud2=100 timer_oneshot=1:20000
	all_live
	record_ends
	judge cured
	echo "$poll_before" >$poll
	record_options=$all lives=6
	part_ends
fi

if planned nodes; then
	line=$(awk '/ttyS0/ { sub(":", "", $1); print $1 }' /proc/interrupts)
	irq=/proc/irq/$line/smp_affinity_list
	mkdir "$cg"
	mount -t cgroup2 none "$cg" && echo "+cpuset +memory" >"$cg/cgroup.subtree_control"
	mkdir "$cg/remote"
	echo 1 >"$cg/remote/cpuset.mems"
	# What the end of this part leaves behind, where it runs once more.
	grep -q tsc /sys/devices/system/clocksource/clocksource0/current_clocksource || odd="?kvmclock-unstable"
	chatter &
	hog=$!
	echo 1 >"$irq"
	record_starts quick-nodes-sick
	vm "memory of the other node" "numa-remote$odd" --cpu=0 --start-on="$TMP/go" --thp touch=70000 $tick
	numa_pid=$vm_pid
	echo "$numa_pid" >"$cg/remote/cgroup.procs"
	: >"$TMP/go"
	stays
	vm "interrupts for its isolated CPU" "isolated-cpu-disturbed+idle-is-hidden$odd" --cpu=1 --disable-exits=hlt $tick
	all_live
	echo 0 >"$irq"
	vm "HLT that does not leave the guest" "idle-is-hidden$odd" --cpu=1 --disable-exits=hlt $tick
	all_live
	record_ends
	judge sick
	remedy numa-remote "migratepages $numa_pid"
	remedy idle-is-hidden "drop -overcommit cpu-pm=on"
	remedy isolated-cpu-disturbed "echo CPULIST > /proc/irq/N/smp_affinity_list"

	# As numatune --live does it: the memory moves.
	echo 0 >"$cg/remote/cpuset.mems"
	record_starts quick-nodes-cured
	again "memory of its own node" "none$odd"
	vm "HLT that leaves the guest" "none$odd" --cpu=1 $tick
	all_live
	record_ends
	judge cured
	leaves
	kill $hog
	hog=
	rmdir "$cg/remote"
	umount "$cg"

	# The TSC of this processor goes as fast as the CPU: once that has changed, Linux does not trust it.
	while read -r module; do insmod "/modules/$module" 2>/dev/null; done </modules/cpufreq
	governor powersave
	record_starts quick-powersave-sick
	vm "a host that saves power" cpu-powersave+kvmclock-unstable $tick
	all_live
	record_ends
	judge sick
	remedy cpu-powersave "cpupower frequency-set -g schedutil"
	governor schedutil
	record_starts quick-powersave-cured
	vm "a host that scales" kvmclock-unstable $tick
	all_live
	record_ends
	judge cured
	rmmod acpi_cpufreq
	part_ends
fi

done_testing
