# SPDX-License-Identifier: GPL-2.0-only
# -f, -h and -w at once: one program on kvm_entry ends what each of them waits for, and none of them misses an entry
# because of the others; nor where each has a program of its own, without raw_tp. With -e, -o and -m this program calls
# theirs as well, and another one does on kvm_exit.
. "$(dirname "$0")/lib.sh"

ask_defs='def total(m; f): $watch | map(select(.monitor == m and .scope == "total") | f // 0) | add // 0;
def did(op): $guest | map(select(.what == "vcpu") | .ops[op] // 0) | add;
def hooks_on(m; event): $watch[-1].hooks | map(select(.monitor == m and (.hook | endswith("/" + event))));
def hooks(m): hooks_on(m; "kvm_entry");'

# As many as there are exits: not a multiple. Exits to user space and fast ones differ by a few.
exits='($guest | map(select(.what == "vm") | .stats.exits) | add)'

# counts LABEL WATCH_OPTION...: all three are exact
counts()
{
	label=$1
	shift
	if ! watch -f -h -w --summary --self-cost "$@"; then
		fail "$label: kvm_watcher starts"
		return 1
	fi
	holds "$label: the generator does what it says" guest --vms=2 --vcpus=2 vmcall=60 touch=40 hlt=20 vmcall=7
	watch_end && pass "$label: exit status 0" || fail "$label: exit status 0" "$watch_status"
	preempted "$label: every count" "$@" && return 1
	ask_lost "$label: nothing lost" 0 'lost | to_entries | map(select(.key != "exits_untraced") | .value) | add'
	ask "$label: hypercalls" 'did("vmcall")' 'total("hypercall"; .count)'
	ask "$label: each vCPU's hypercalls have times" 4 \
		'$watch | map(select(.monitor == "hypercall" and .scope == "total" and .p50_ns > 0)) | length'
	# KVM repeats a fault when the process's memory changes meanwhile, until 5.12 wherever in it.
	ask_range "$label: touched pages" 'did("touch")' 'did("touch") + 4' \
		'total("kvmmmu_page_fault"; if .kind == "tdp" and .slot == 1 then .count else 0 end)'
}

why=$(missing hypercall kvm_entry)
if test -n "$why"; then
	skip "everything" "$why"
	done_testing
fi

if counts "one program"; then
	# Every halt is followed by an entry.
	ask "one program: every wake-up is timed until the guest" 'total("vcpu_wakeup"; .count)' \
		'total("vcpu_wakeup"; .wake_count)'
	ask "one program: each has its need" '["attached","attached","attached"]' \
		'["kvmmmu_page_fault", "hypercall", "vcpu_wakeup"] | map(. as $m | hooks($m)[0].state)'
	ask "one program: and no runs of its own" '[false,false,false]' \
		'["kvmmmu_page_fault", "hypercall", "vcpu_wakeup"] | map(. as $m | hooks($m)[0] | has("runs"))'
	# The program runs for all VMs.
	test -n "$others" ||
		ask_range "one program: runs, as KVM counts exits" "$exits * 0.9" "$exits * 1.1" 'hooks("kvm_watcher") | map(.runs) | add'
	answers
fi
if counts "each exit and entry" -e -o -m; then
	ask "each exit and entry: all exits, as KVM counts them" "$exits" \
		'total("vm_exit"; if .kind == "kvm" then .count else 0 end) + lost.exits_untraced'
	ask_true "each exit and entry: the budget adds up" '$watch | map(select(.monitor == "vcpu_load" and .scope == "total")) |
		length > 0 and all(.[]; .wall_ns > 0 and (.guest_ns // 0) > 0 and (.guest_ns + .kvm_ns + .poll_ns + .vmm_ns +
			.halted_ns + .steal_ns + .blocked_ns + .unaccounted_ns - .wall_ns | fabs <= 1000))'
	# Without the vendor's types -e has a program of its own on kvm_exit.
	events=kvm_entry
	test ! -e /sys/kernel/btf/kvm_intel -a ! -e /sys/kernel/btf/kvm_amd || events="kvm_entry kvm_exit"
	for event in $events; do
		ask "each exit and entry: $event: each has its need, and no runs of its own" '[["attached",false],["attached",false]]' \
			"[\"vm_exit\", \"vcpu_load\"] | map(. as \$m | hooks_on(\$m; \"$event\")[0] | [.state, has(\"runs\")])"
		test -n "$others" ||
			ask_range "each exit and entry: $event: runs, as KVM counts exits" "$exits * 0.9" "$exits * 1.1" \
				"hooks_on(\"kvm_watcher\"; \"$event\") | map(.runs) | add"
	done
	answers
fi
# Who reads holds what is called, and what calls it.
if watch -e -o; then
	kill -KILL "$(broker_of "$watch_pid")"
	guest cpuid=50
	watch_end
	is "the privileged process is killed: calls go on" 50 "$(jq -s 'map(select(.monitor == "vm_exit" and
		.scope == "total" and .kind == "kvm" and (.reason | ascii_downcase) == "cpuid") | .count) | add' "$TMP/watch.json")"
else
	fail "the privileged process is killed: kvm_watcher starts"
fi
if planned kinds; then
	counts "without raw_tp" --hooks=tp_btf,fentry,kprobe,tracepoint &&
		ask "without raw_tp: no shared program" 0 'hooks("kvm_watcher") | length' &&
		answers
fi
done_testing
