# SPDX-License-Identifier: GPL-2.0-only
# --nested and -e --l2 are exact: a guest that has a guest runs it N times. In each run that one reads an MSR K times,
# which KVM handles, or executes K CPUIDs, which the guest wants, and ends with a hypercall to the guest.
# Functions are called by way of together.
# shellcheck disable=SC2317
. "$(dirname "$0")/lib.sh"

case $(vendor) in
vmx)
	msr=MSR_READ cpuid=CPUID call=VMCALL enters='"VMLAUNCH", "VMRESUME"'
	# Not of the generator's doing: pages that L2 is the first to use, interrupts and timers of the host.
	hosts='"EPT_VIOLATION", "EXTERNAL_INTERRUPT", "EXCEPTION_NMI", "PREEMPTION_TIMER"'
	own='"VMWRITE", "VMREAD", "VMON", "IO_INSTRUCTION"'
	;;
*)
	msr=msr cpuid=cpuid call=hypercall enters='"vmrun"'
	hosts='"npf", "interrupt", "nmi"'
	own='"stgi", "io"'
	;;
esac

# total(MONITOR; FILTER; NAME): "vcpu:sum" of each vCPU; zero is left out, and nothing is "none".
ask_defs='def total(m; f; name): $watch | map(select(.monitor == m and .scope == "total" and (f))) |
	group_by([.pid, .tid]) | map({vcpu: .[0].vcpu, n: (map(name // 0) | add)} | select(.n > 0) |
		"\(.vcpu):\(.n)") | sort | join(" ") | if . == "" then "none" else . end;
def exits(r; name): total("nested"; .table == "NESTED_EXIT" and .reason == r; name);
def l2(r): total("vm_exit"; .table == "KVM_EXIT" and .l2 == true and .reason == r; .count);
def l1(r): total("vm_exit"; .table == "KVM_EXIT" and .l2 == false and .reason == r; .count);
def each(n): $guest | map(select(.what == "vcpu") | "\(.vcpu):\(n)") | sort | join(" ");'

# runs LABEL N K M J OPTION...: N runs with K reads of the MSR, M with J CPUIDs
runs()
{
	label=$1 n=$2 k=$3 m=$4 j=$5
	shift 5
	entries=$((n + m * (j + 1)))
	holds "$label: the generator does what it says" guest "$@" nested=$n:$k nested_cpuid=$m:$j cpuid=11
	watch_end && pass "$label: exit status 0" || fail "$label: exit status 0" "$watch_status"
	preempted "$label: every event" $hooks && return
	ask_lost "$label: nothing lost" 0 'lost | to_entries | map(select(.key != "exits_untraced") | .value) | add'
}

entries_are_exact()
{
	ask "$label: entries" "each($entries)" 'total("nested"; .table == "NESTED_ENTRY"; .entries)'
	ask_where '($guest | map(.stats.nested_run // 0) | add) > 0' "this kernel counts no entries" \
		"$label: entries, as KVM counts them" '$guest | map(.stats.nested_run // 0) | add' \
		'$watch | map(select(.table == "NESTED_ENTRY" and .scope == "total") | .entries) | add'
	ask_true "$label: times are those of the runs, and of what is between them" \
		'$watch | map(select(.monitor == "nested" and .scope == "total" and (.entries or .reflected > 0))) |
			length > 0 and all(.total_ns > 0 and .p50_ns > 0 and .max_ns <= .total_ns)'
}

nested_is_exact()
{
	if test -z "$no_entries"; then
		entries_are_exact
	else
		ask_true "$label: without entries no times" '$watch | map(select(.table == "NESTED_EXIT")) |
			length > 0 and all(.total_ns == null and .p50_ns == null)'
	fi
	ask "$label: reads of the MSR" "each($((n * k)))" "exits(\"$msr\"; .count)"
	ask "$label: reads of the MSR, all of them KVM's" "each($((n * k)))" "exits(\"$msr\"; .by_l0)"
	ask "$label: reads of the MSR, none of them the guest's" '"none"' "exits(\"$msr\"; .reflected + .injected)"
	ask "$label: CPUIDs" "each($((m * j)))" "exits(\"$cpuid\"; .count)"
	ask "$label: CPUIDs, all of them the guest's" "each($((m * j)))" "exits(\"$cpuid\"; .reflected)"
	ask "$label: CPUIDs that the guest was given" "each($((m * j)))" "exits(\"$cpuid\"; .injected)"
	ask "$label: hypercalls" "each($((n + m)))" "exits(\"$call\"; .count)"
	ask "$label: hypercalls, all of them the guest's" "each($((n + m)))" "exits(\"$call\"; .reflected)"
	ask "$label: CPUIDs and hypercalls, none of them KVM's" '"none"' \
		"total(\"nested\"; .reason == \"$cpuid\" or .reason == \"$call\"; .by_l0)"
	ask "$label: each entry ends with an exit that the guest is given" "each($entries)" \
		'total("nested"; .table == "NESTED_EXIT"; .injected)'
	ask "$label: no others but page faults and interrupts" "[\"$msr\", \"$cpuid\", \"$call\"] | sort" \
		"\$watch | map(select(.table == \"NESTED_EXIT\" and .scope == \"total\") | .reason) | unique - [$hosts]"
	ask "$label: page faults and interrupts are KVM's" '"none"' "total(\"nested\"; .reason | IN($hosts); .reflected)"
}

l2_is_exact()
{
	ask "$label: -e --l2: reads of the MSR by the guest's guest" "each($((n * k)))" "l2(\"$msr\")"
	ask "$label: -e --l2: CPUIDs of the guest's guest" "each($((m * j)))" "l2(\"$cpuid\")"
	ask "$label: -e --l2: hypercalls of the guest's guest" "each($((n + m)))" "l2(\"$call\")"
	ask "$label: -e --l2: CPUIDs of the guest itself" 'each(11)' "l1(\"$cpuid\")"
	ask "$label: -e --l2: entries, which are the guest's own" "each($entries)" \
		"total(\"vm_exit\"; .l2 == false and (.reason | IN($enters)); .count)"
	ask "$label: -e --l2: what else is the guest's own is not of its guest" '"none"' \
		"total(\"vm_exit\"; .l2 == true and (.reason | IN($enters, $own)); .count)"
	ask "$label: -e --l2: each exit of the guest's guest is one of --nested, reason by reason" \
		'$watch | map(select(.table == "NESTED_EXIT" and .scope == "total" and .count > 0) |
			[.tid, .reason, .count]) | sort' \
		'$watch | map(select(.table == "KVM_EXIT" and .scope == "total" and .l2) | [.tid, .reason, .count]) | sort'
}

if ! why=$(kvm_guest nested=1 2>&1 >/dev/null); then
	# The machines are there for it.
	if test -n "$KVM_WATCHER_MACHINE"; then
		fail "a guest has a guest here" "$why"
	else
		skip "guests of guests" "$why"
	fi
	done_testing
fi
no_entries=$(missing nested kvm_nested_vmenter) && skip "entries, and times" "$no_entries"

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
ask "-e alone: CPUIDs of both are one" "each($((5 * 2 + 11)))" \
	"total(\"vm_exit\"; .table == \"KVM_EXIT\" and .reason == \"$cpuid\"; .count)"
answers

if planned kinds; then
	for kind in raw_tp tp_btf tracepoint; do
		if why=$(lacks nested $kind "${no_entries:+exit|inject}"); then
			skip "--hooks=$kind" "$why"
			continue
		fi
		hooks=--hooks=$kind
		holds "$hooks: kvm_watcher starts" watch --nested $hooks
		runs "$hooks" 29 3 17 2 --vcpus=2
		nested_is_exact
		answers
	done
	part_ends
fi
if planned l2_kinds; then
	for kind in raw_tp tp_btf fentry kprobe tracepoint; do
		if why=$(lacks vm_exit $kind '^kvm_(exit|entry)$'); then
			skip "-e --l2 --hooks=$kind" "$why"
			continue
		fi
		hooks=--hooks=$kind
		holds "-e --l2 $hooks: kvm_watcher starts" watch -e --l2 $hooks
		runs "-e --l2 $hooks" 29 3 17 2 --vcpus=2
		ask "-e --l2 $hooks: CPUIDs of the guest's guest" "each($((17 * 2)))" "l2(\"$cpuid\")"
		ask "-e --l2 $hooks: CPUIDs of the guest itself" 'each(11)' "l1(\"$cpuid\")"
		answers
	done
	part_ends
fi
done_testing
