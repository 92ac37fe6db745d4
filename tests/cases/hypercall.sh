# SPDX-License-Identifier: GPL-2.0-only
# -h is exact: N hypercalls with known arguments are N, by name and by vCPU,
# from 64-bit and from 32-bit guests, of KVM's, Hyper-V's and Xen's numbering,
# and HYPERCALLS is what KVM counts itself; each call's arguments are decoded,
# in a file or with --events in the output.
# Functions are called by way of together.
# shellcheck disable=SC2317
. "$(dirname "$0")/lib.sh"

# calls LABEL NAME OP: as many as the generator's vCPUs say
calls()
{
	ask "$1: $2" "guests(.ops.$3)" "per_vcpu(.monitor == \"hypercall\" and .name == \"$2\")"
}

# counts_as_kvm LABEL: all vCPUs of all VMs; KVM's sum against the last HYPERCALLS of each vCPU
counts_as_kvm()
{
	ask "$1: HYPERCALLS is KVM's own count" '$guest | map(select(.what == "vm") | .stats.hypercalls) | add' \
		'$watch | map(select(.monitor == "hypercall" and .scope == "total")) | group_by(.tid) |
			map(map(.vcpu_total) | max) | add'
}

all_names()
{
	calls "$1" KICK_CPU hc_kick
	calls "$1" CLOCK_PAIRING hc_clock
	calls "$1" SEND_IPI hc_ipi
	calls "$1" SCHED_YIELD hc_yield
	calls "$1" MAP_GPA_RANGE hc_map_gpa
	calls "$1" "UNKNOWN(1000)" vmcall
	counts_as_kvm "$1"
}

# exact LABEL GUEST_OPTIONS -- WATCH_OPTIONS: a run, to be asked about; false when the kernel
# skipped programs in it
exact()
{
	label=$1 options=$2
	shift 3
	if ! watch -h --temp-dir="$TMP/calls" "$@"; then
		fail "$label: kvm_watcher starts"
		return 1
	fi
	# shellcheck disable=SC2086
	holds "$label: the generator does what it says" guest $options
	watch_end && pass "$label: exit status 0" || fail "$label: exit status 0" "$watch_status"
	preempted "$label: every call" "$@" && return 1
	ask_lost "$label: nothing lost" 0 'lost | add'
}

# why_not OP: what the generator said when it was tried
why_not()
{
	jq -rs --arg op "$1" 'map(select(.what == "probe" and .op == $op) | .why)[0]' "$kept/probe.json"
}

# written JQ_NAME JQ: of the calls of that name in the file
written()
{
	echo "\$file | map(select(.name == \"$1\") | $2) | unique"
}

why=$(missing hypercall kvm_hypercall)
if test -n "$why"; then
	skip "everything" "$why"
	done_testing
fi
ask_defs='def all_events: $watch | map(select(.scope == "event" and .monitor == "hypercall"));'
ops="hc_kick=31 hc_clock=7 hc_ipi=23 hc_yield=19 hc_map_gpa=5 vmcall=41"

exact "64-bit" "$ops" --
all_names "64-bit"
is "the file: its path is said" "$(ls "$TMP"/calls/*)" \
	"$(sed -n 's/.*hypercall: writing to //p' "$TMP/watch.err")"
is "the file: its mode" "-rw-------" "$(ls -l "$TMP"/calls/* | cut -c1-10)"
ask "the file: each call" 126 '$file | map(select(.scope == "event")) | length'
# KVM counts a call before it traces it since 6.14, else after.
ask_true "the file: HYPERCALLS of each" '$file | map(.vcpu_total) | . == [range(126)] or . == [range(1; 127)]'
ask "KICK_CPU: apic id" '[[[0,77,17,34],0,77]]' \
	"$(written KICK_CPU '[.args, .decoded.flags, .decoded.apic_id]')"
ask "CLOCK_PAIRING: GPA and clock" '[[true,0,"wallclock"]]' \
	"$(written CLOCK_PAIRING '[.decoded.gpa == .args[0], .decoded.clock_type, .decoded.clock]')"
ask "SEND_IPI: destinations, 64-bit" '[[5,2,100,253,253,"Fixed",[100,102,165]]]' \
	"$(written SEND_IPI '.decoded | [.bitmap_low, .bitmap_high, .lowest_apic_id, .icr, .vector,
		.delivery_mode, .destinations]')"
ask "SCHED_YIELD: apic id" '[{"apic_id":78}]' "$(written SCHED_YIELD .decoded)"
ask "MAP_GPA_RANGE" '[[1073741824,16,16,"4K",true]]' \
	"$(written MAP_GPA_RANGE '.decoded | [.gpa, .pages, .attributes, .page_size, .encrypted]')"
ask "an unknown one" '[[1000,{}]]' "$(written 'UNKNOWN(1000)' '[.nr, .decoded]')"
ask_true "times" '$watch | map(select(.monitor == "hypercall" and .scope == "total")) |
	all(.p50_ns > 0 and .p50_ns <= .p99_ns and .abi == "kvm")'
answers "$TMP"/calls/hypercall-*.json
rm -rf "$TMP/calls"

no_xen=$(missing hypercall kvm_xen_hypercall)
guest_can xen_call || no_xen="no Xen guest ran here: $(why_not xen_call)"
with_events()
{
	exact "32-bit" "--mode=real $ops" -- --events
	all_names "32-bit"
	ask "32-bit: SEND_IPI's destinations" '[[100,102,133]]' 'events("SEND_IPI") | map(.decoded.destinations) | unique'
	ask "--events: in the output" 126 'all_events | map(select(.abi == "kvm")) | length'
	answers

	if ! guest_can hv_call; then
		skip "Hyper-V" "no Hyper-V guest ran here: $(why_not hv_call)"
	else
		exact "Hyper-V" "--vcpus=2 hv_call=37" -- --events
		calls "Hyper-V" NOTIFY_LONG_SPIN_WAIT hv_call
		counts_as_kvm "Hyper-V"
		ask "Hyper-V: its arguments" '[["hyperv",8,true,0,4660,22136]]' 'all_events | map([.abi, .nr,
			.decoded.fast, .decoded.rep_cnt, .decoded.input, .decoded.output]) | unique'
		answers
	fi
	if test -n "$no_xen"; then
		skip "Xen" "$no_xen"
	else
		exact "Xen" "--vcpus=2 xen_call=29" -- --events
		calls "Xen" xen_version xen_call
		ask "Xen: its arguments" '[["xen",17,[1,2,3,4,5,6]]]' 'all_events | map([.abi, .nr, .args]) | unique'
		answers
	fi
}

together with_events -h --temp-dir="$TMP/calls" --events
holds "--events: no file" test ! -e "$TMP/calls"

exact "4 vCPUs in 2 VMs" "--vms=2 --vcpus=2 --separate $ops" --
all_names "4 vCPUs in 2 VMs"
answers

if planned kinds; then
	for kind in raw_tp tp_btf tracepoint; do
		if why=$(lacks hypercall $kind '^kvm_(entry|hypercall|hv_hypercall)$'); then
			skip "--hooks=$kind" "$why"
			continue
		fi
		if exact "--hooks=$kind" "--vcpus=2 $ops" -- --hooks=$kind; then
			all_names "--hooks=$kind"
			answers
		fi
		if guest_can hv_call && exact "--hooks=$kind, Hyper-V" "hv_call=37" -- --hooks=$kind --events; then
			ask "--hooks=$kind: Hyper-V's arguments" '[[8,[1,0,0,0,4660,22136]]]' \
				'all_events | map([.nr, .args]) | unique'
			answers
		fi
		if test -z "$no_xen" && exact "--hooks=$kind, Xen" "xen_call=29" -- --hooks=$kind --events; then
			ask "--hooks=$kind: Xen's arguments" '[[17,[1,2,3,4,5,6]]]' 'all_events | map([.nr, .args]) | unique'
			answers
		fi
	done
	part_ends
fi

if planned beside; then
	exact "another monitor beside it" "--vcpus=2 $ops cpuid=50" -- -e -l
	all_names "another monitor beside it"
	answers
	exact "--vcpu=1" "--vcpus=2 $ops" -- --vcpu=1
	ask "--vcpu=1: only that one" '[1]' '$watch | map(select(.monitor == "hypercall") | .vcpu) | unique'
	answers
fi
done_testing
