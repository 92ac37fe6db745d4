# SPDX-License-Identifier: GPL-2.0-only
# An unmodified Linux with a virtio disk and its timer: the messages of the disk that -c sees are the interrupts that the
# guest itself counted, -i's injections are KVM's own count and tracefs', and of -T's timers each fired or was replaced.
. "$(dirname "$0")/lib.sh"

name="a Linux guest's interrupts"
has_tool "$name" start-linux-guest || done_testing
if why=$(missing irq_inject kvm_inj_virq); then
	skip "$name" "$why"
	done_testing
fi
ask_defs='def all(m): $watch | map(select(.monitor == m and .scope == "total"));
def sum(f): map(f) | add // 0;
def timers: all("kvm_timer") | map(select(.mode != "PERIODIC"));'

hist_begin kvm_inj_virq vector || hist_begin kvm_inj_virq irq
if ! watch -c -i -T --summary; then
	fail "kvm_watcher starts"
	done_testing
fi
dd if=/dev/zero of="$TMP/disk" bs=64k count=16 2>/dev/null
timeout 250 start-linux-guest --memory=160 --rounds=1 -drive "file=$TMP/disk,if=none,id=disk,format=raw" \
	-device virtio-blk-pci,drive=disk >"$TMP/console" 2>&1
if grep -q "guest done" "$TMP/console"; then
	pass "the Linux guest boots and ends"
else
	fail "the Linux guest boots and ends" "$(tail -n 20 "$TMP/console")"
fi
watch_end
theirs=$(hist_end | awk '{ n += $2 } END { print n }')
# The functions are called with and without preemption: no kind of hook is free of it.
preempted "$name" --hooks=any && done_testing
# "24:  205  PCI-MSIX-0000:00:02.0  0-edge  virtio0-config"
disk=$(awk '/virtio[0-9]+-/ { n += $2 } END { print n + 0 }' "$TMP/console")
sed -n 's/.*\(virtio[0-9].*\)/# the guest: &/p' "$TMP/console"

ask_true "$name: at least the disk's 200 reads" "$disk >= 200"
ask "$name: -c: messages are what the guest counted" "$disk" 'all("kvm_irqchip") | map(select(.chip == "MSI")) | sum(.count)'
ask_true "$name: -c: the console's pin of the IOAPIC" 'all("kvm_irqchip") | any(.chip == "IOAPIC" and .pin == 4 and .count > 0)'
ask "$name: -i: all injections, by KVM's own count" 'all("irq_inject") | map(.injections) | max' \
	'all("irq_inject") | sum(.count)'
if test -n "$hist_refused"; then
	skip "$name: -i: as tracefs counts" "$hist_refused"
else
	ask "$name: -i: as tracefs counts" "$theirs" 'all("irq_inject") | sum(.count)'
fi
ask_true "$name: -i: raised, injected, ended" 'all("irq_inject") | any(.inject_count > 0 and .eoi_count > 0)'
ask_true "$name: -T: timers were armed and fired" 'timers | sum(.fired) > 0'
ask "$name: -T: each fired, or another one came first" 'timers | sum(.count)' 'timers | sum(.fired + .never_fired)'
ask_lost "$name: nothing lost" '{}' 'lost | map_values(select(. != 0))'
answers
done_testing
