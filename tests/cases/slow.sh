# SPDX-License-Identifier: GPL-2.0-only
# --slower-than: of a guest that does N things that take long, and others that do not, the N are shown, with where
# their time went; halts are not slow. --keep: the longest of them, which are those that the tables call the longest.
. "$(dirname "$0")/lib.sh"

no_exits=$(missing vm_exit kvm_exit)
if test -n "$no_exits"; then
	skip "everything" "$no_exits"
	done_testing
fi

# shellcheck disable=SC2016
ask_defs='def slow: $watch | map(select(.table == "SLOW_EXIT"));
def in_vmm: slow | map(select(.vmm_ns > 0));
def totals: $watch | map(select(.scope == "total" and .table == "KVM_EXIT" and .class != "halt"));
def table(t): $watch | map(select(.scope == "event" and .table == t));
def of_vms(t): table(t) | map(select(.fd_kind != "kvm")) | group_by(.vm_id);
def tid: $watch | map(select(.scope == "total" and .table == "KVM_EXIT") | .tid) | unique;'

# Two stays in user space, three faults whose page comes late, halts of 30 ms, and what takes no time.
holds "-e: kvm_watcher starts" watch -e -f -w -n --slower-than=20ms
holds "-e: the generator does what it says" guest out=20 cpuid=50 sleep=25 sleep=40 hlt=3:30000 touch_slow=3:30
watch_end
ask "-e: as many exits as take longer" 5 'slow | length'
ask "-e: of which vCPU" 'tid' 'slow | map(.tid) | unique'
ask "-e: two of them in user space" '[25, 40]' 'in_vmm | map(.vmm_ns / 1e6 - 1 | floor + 1 | if . < 30 then 25 else 40 end) | sort'
ask "-e: whose class is io" '["io"]' 'in_vmm | map(.class) | unique'
ask "-e: the others are faults" '["fault"]' 'slow | map(select(.vmm_ns == 0) | .class) | unique'
ask "-e: the time is that in KVM and in user space" true 'slow | all(.time_ns == .kvm_ns + .vmm_ns)'
ask "-e: of which user space had nearly all" true 'in_vmm | all(.vmm_ns > 0.8 * .time_ns)'
ask "-e: all slept nearly all of it" true 'slow | all(.off_ns > 0.7 * .time_ns and .off_ns <= .time_ns)'
ask "-e: and nobody kept them from the CPU" '[null]' 'slow | map(.by) | unique'
ask "-e: where the guest goes on is known" true 'slow | all(.rip != null and .rip > 0)'
ask "-e: those that are longer are all of the table" true \
	'([slow[] | .time_ns] | max) == ([totals[] | .max_ns] | max)'
ask "-f: its faults, and no others" 3 'table("KVMMMU_PAGE_FAULT") | length'
ask "-f: with their time" true 'table("KVMMMU_PAGE_FAULT") | all(.delay_ns > 20000000)'
ask "-w: no wake-up took so long" 0 'table("SLOW_WAKEUP") | length'
ask "-n: its events have no time, and are not there" 0 'table("HALT_POLL_NS") | length'
answers
no_loss "-e: nothing lost"

# All are slow, whatever they are: three are kept of each.
holds "--keep: kvm_watcher starts" watch -e --detail -w -l -i -c --slower-than=1us --keep=3
holds "--keep: the generator does what it says" guest --vms=2 out=20 cpuid=50 hlt=6:2000 timer_oneshot=5:2000
watch_end
ask "--keep: of each VM so many" '[3, 3]' 'slow | group_by(.vm) | map(length)'
ask "--keep: its longest, in that order" true \
	'slow | group_by(.vm) | all(map(.time_ns) == (map(.time_ns) | sort | reverse))'
ask "--keep: which the table has, too" 'totals | group_by(.vm) | map(map(.max_ns) | max)' \
	'slow | group_by(.vm) | map(.[0].time_ns)'
ask "--keep: with what they were for" 0 'slow | map(select(.detail == null)) | length'
ask "--keep: wake-ups, the longest first" true \
	'table("SLOW_WAKEUP") | group_by(.vm) | all(map(.latency_ns) == (map(.latency_ns) | sort | reverse))'
ask "--keep: of each VM the longest" '$watch | map(select(.scope == "total" and .table == "HALTS")) | group_by(.vm) | map(map(.wake_max_ns) | max)' \
	'table("SLOW_WAKEUP") | group_by(.vm) | map(.[0].latency_ns)'
ask "--keep: -l: the longest call but KVM_RUN" \
	'[$watch[] | select(.scope == "total" and .table == "KVM_IOCTL" and .name != "KVM_RUN") | .max_ns] | max' \
	'[table("KVM_IOCTL_CALLS")[] | .duration_ns] | max'
for kept in KVM_IOCTL_CALLS:duration_ns IRQ_INJECT:delay_ns KVM_IRQCHIP:delay_ns; do
	ask "--keep: ${kept%:*}: there are some, three of a VM at most" true \
		'of_vms("'"${kept%:*}"'") | map(length) | length == 2 and all(. <= 3)'
	ask "--keep: ${kept%:*}: the longest of each VM first" true \
		'of_vms("'"${kept%:*}"'") | all(map(.'"${kept#*:}"') | . == (sort | reverse) and all(. > 1000))'
done
answers
no_loss "--keep: nothing lost"

# Somebody else wants the only CPU, which the guest never gives away by itself.
holds "a thief: kvm_watcher starts" watch -e --slower-than=500us
sh -c 'while :; do :; done' &
thief=$!
holds "a thief: the generator does what it says" guest spin=200
kill $thief
watch_end
ask "a thief: is named" "[$thief]" 'slow | map(.by_pid) | unique | map(select(. == '$thief'))'
ask "a thief: had the CPU for no longer than the exit took" true 'slow | all(.off_ns <= .time_ns)'
ask "a thief: what it took is no time of the VMM's" true \
	'slow | map(select(.by_pid == '$thief' and .vmm_ns == 0)) | length > 0 and all(.off_ns <= .kvm_ns)'
answers
done_testing
