# SPDX-License-Identifier: GPL-2.0-only
# --nested and -e --l2 are exact: a guest that has a guest runs it N times, with K CPUIDs and a VMMCALL that ends each
# run. KVM always takes CPUIDs; once alone, and once because the guest wants them, too.
# Functions are called by way of together.
# shellcheck disable=SC2317
. "$(dirname "$0")/lib.sh"

# total(MONITOR; FILTER; NAME): "vcpu:sum" of each vCPU; zero is left out, and nothing is "none".
ask_defs='def total(m; f; name): $watch | map(select(.monitor == m and .scope == "total" and (f))) |
	group_by([.pid, .tid]) | map({vcpu: .[0].vcpu, n: (map(name // 0) | add)} | select(.n > 0) |
		"\(.vcpu):\(.n)") | sort | join(" ") | if . == "" then "none" else . end;
def exits(r; name): total("nested"; .table == "NESTED_EXIT" and .reason == r; name);
def l2(r): total("vm_exit"; .table == "KVM_EXIT" and .l2 == true and .reason == r; .count);
def l1(r): total("vm_exit"; .table == "KVM_EXIT" and .l2 == false and .reason == r; .count);
def each(n): $guest | map(select(.what == "vcpu") | "\(.vcpu):\(n)") | sort | join(" ");'

# runs LABEL N K M J OPTION...: N runs with K CPUIDs of KVM's, M with J of the guest's
runs()
{
	label=$1 n=$2 k=$3 m=$4 j=$5
	shift 5
	holds "$label: the generator does what it says" guest "$@" nested=$n:$k nested_cpuid=$m:$j cpuid=11
	watch_end && pass "$label: exit status 0" || fail "$label: exit status 0" "$watch_status"
	preempted "$label: every event" $hooks && return
	ask_lost "$label: nothing lost" 0 'lost | map_values(select(. != null)) | to_entries |
		map(select(.key != "exits_untraced") | .value) | add'
}

nested_is_exact()
{
	ask "$label: entries" "each($((n + m * (j + 1))))" 'total("nested"; .table == "NESTED_ENTRY"; .entries)'
	ask "$label: CPUIDs" "each($((n * k + m * j)))" 'exits("cpuid"; .count)'
	ask "$label: CPUIDs that KVM handled" "each($((n * k)))" 'exits("cpuid"; .by_l0)'
	ask "$label: CPUIDs that the guest was given" "each($((m * j)))" 'exits("cpuid"; .reflected)'
	ask "$label: CPUIDs of the guest's guest, to the guest" "each($((m * j)))" 'exits("cpuid"; .injected)'
	ask "$label: VMMCALLs" "each($((n + m)))" 'exits("hypercall"; .count)'
	ask "$label: VMMCALLs, all of them the guest's" "each($((n + m)))" 'exits("hypercall"; .reflected)'
	ask "$label: VMMCALLs, none of them KVM's" '"none"' 'exits("hypercall"; .by_l0)'
	ask "$label: each exit that the guest was given ends a run" "each($((n + m * (j + 1))))" \
		'total("nested"; .table == "NESTED_EXIT"; .injected)'
	# What is not of the generator's doing: the pages that L2 is the first to use, and the host's interrupts.
	ask "$label: no others but page faults and interrupts" '["cpuid", "hypercall"]' \
		'$watch | map(select(.table == "NESTED_EXIT" and .scope == "total") | .reason) | unique - ["npf", "interrupt", "nmi"]'
	ask "$label: page faults and interrupts are KVM's" '"none"' \
		'total("nested"; .table == "NESTED_EXIT" and (.reason | IN("npf", "interrupt", "nmi")); .reflected)'
	ask_true "$label: times are those of the runs, and of what is between them" \
		'$watch | map(select(.monitor == "nested" and .scope == "total" and (.entries or .reflected > 0))) |
			length > 0 and all(.total_ns > 0 and .p50_ns > 0 and .max_ns <= .total_ns)'
	ask_where '($guest | map(.stats.nested_run // 0) | add) > 0' "this kernel counts no entries" \
		"$label: entries, as KVM counts them" '$guest | map(.stats.nested_run // 0) | add' \
		'$watch | map(select(.table == "NESTED_ENTRY" and .scope == "total") | .entries) | add'
}

l2_is_exact()
{
	ask "$label: -e --l2: CPUIDs of the guest's guest" "each($((n * k + m * j)))" 'l2("cpuid")'
	ask "$label: -e --l2: VMMCALLs of the guest's guest" "each($((n + m)))" 'l2("hypercall")'
	ask "$label: -e --l2: CPUIDs of the guest itself" 'each(11)' 'l1("cpuid")'
	ask "$label: -e --l2: VMRUNs, which only the guest itself can" "each($((n + m * (j + 1))))" 'l1("vmrun")'
	ask "$label: -e --l2: the guest's guest has made no others" '"none"' \
		'total("vm_exit"; .l2 == true and (.reason | IN("vmrun", "io", "msr", "stgi")); .count)'
	ask "$label: -e --l2: each exit of the guest's guest is one of --nested, reason by reason" \
		'$watch | map(select(.table == "NESTED_EXIT" and .scope == "total" and .count > 0) |
			[.tid, .reason, .count]) | sort' \
		'$watch | map(select(.table == "KVM_EXIT" and .scope == "total" and .l2) | [.tid, .reason, .count]) | sort'
}

why=$(missing nested kvm_nested_vmexit) && skip "exits of a guest's guest" "$why"
if ! guest_can nested; then
	skip "guests of guests" "no guest has a guest here"
	done_testing
fi

hooks=''
both()
{
	runs "one vCPU" 101 3 67 5
	nested_is_exact
	l2_is_exact
	answers
	runs "4 vCPUs in 2 VMs" 53 1 31 2 --vms=2 --vcpus=2
	nested_is_exact
	l2_is_exact
	answers
}
together both --nested -e --l2

holds "-e alone: kvm_watcher starts" watch -e
runs "-e alone" 13 3 5 2
ask "-e alone: no exit is said to be of a guest's guest" '[null]' '$watch | map(select(.kind == "kvm") | .l2) | unique'
ask "-e alone: CPUIDs of both are one" "each($((13 * 3 + 5 * 2 + 11)))" \
	'total("vm_exit"; .table == "KVM_EXIT" and .reason == "cpuid"; .count)'
answers

if planned kinds; then
	for kind in raw_tp tp_btf tracepoint; do
		if why=$(lacks nested $kind); then
			skip "--hooks=$kind" "$why"
			continue
		fi
		hooks=--hooks=$kind
		holds "$hooks: kvm_watcher starts" watch --nested $hooks
		runs "$hooks" 29 3 17 2 --vcpus=2
		nested_is_exact
		answers
	done
	for kind in raw_tp tp_btf fentry kprobe tracepoint; do
		if why=$(lacks vm_exit $kind '^kvm_(exit|entry)$'); then
			skip "-e --l2 --hooks=$kind" "$why"
			continue
		fi
		hooks=--hooks=$kind
		holds "-e --l2 $hooks: kvm_watcher starts" watch -e --l2 $hooks
		runs "-e --l2 $hooks" 29 3 17 2 --vcpus=2
		ask "-e --l2 $hooks: CPUIDs of the guest's guest" "each($((29 * 3 + 17 * 2)))" 'l2("cpuid")'
		ask "-e --l2 $hooks: CPUIDs of the guest itself" 'each(11)' 'l1("cpuid")'
		answers
	done
	part_ends
fi
done_testing
