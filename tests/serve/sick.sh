#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Inside a test machine: VMs that suffer from what the alerts are about, and one that does something of everything. Leaves what
# kvm_watcher serves of them, two seconds apart, in the current directory as 0, 1 ... keep-texts.sh starts it.
kvm_watcher serve --config=/dev/null -c -d -e -f -h -i -l -n -o -T -w --nested --unmaps --vm_state --vmm_threads \
	--migration-bandwidth=1 --listen=127.0.0.1:9909 2>err &
watcher=$!
tries=300
while ! grep -qs "watching .* until" err && test $tries -gt 0; do
	sleep 0.1
	tries=$((tries - 1))
done

scrape()
{
	wget -q -O "$1" http://127.0.0.1:9909/metrics || cat err >&2
}

# Something of everything; it stays, and does no more.
kvm_guest --end-on=end cpuid=30 rdmsr=20 wrmsr=10 out=50 mmio_read=10 vmcall=7 ioapic_irq=5 timer_oneshot=5 touch=20 \
	dontneed=10 hlt=10:1000 nested=5:3 >all 2>&1 &
tries=100
while ! grep -qs '"what":"vm"' all && test $tries -gt 0; do
	sleep 0.1
	tries=$((tries - 1))
done
scrape 0
# Exits whose page comes late.
kvm_guest touch_slow=200:10 --timeout=12 --repeat=4 >faults 2>&1 &
sick=$!
# More pages than can be sent.
kvm_guest dirty=1000:40 --timeout=12 >dirty 2>&1 &
sick="$sick $!"
# Wake-ups that find the only CPU taken.
kvm_guest --vms=2 spin=12000 --timeout=12 >spin 2>&1 &
sick="$sick $!"
(renice -n 19 -p "$(sh -c 'echo $PPID')" >/dev/null; exec kvm_guest hlt=10000:1000 --timeout=12) >late 2>&1 &
sick="$sick $!"
for nr in 1 2 3 4 5; do
	sleep 2
	scrape $nr
done
# KVM polls only where nobody else wants the CPU.
# shellcheck disable=SC2086
wait $sick
# Halts that are now shorter and now longer than KVM polls at most: a poll in two fails.
kvm_guest --halt-poll=9000 --forever timer_oneshot=2:8000 timer_oneshot=1:12000 --timeout=8 >polls 2>&1 &
# An instruction that KVM cannot emulate, of a vCPU that two scrapes have seen before.
kvm_guest --end-on=end sleep=5000 emulate_fail=3 >fails 2>&1 &
for nr in 6 7 8 9; do
	sleep 2
	scrape $nr
done
grep -hv "^{" faults dirty spin late polls fails >messages
touch end
kill -INT $watcher
wait $watcher
