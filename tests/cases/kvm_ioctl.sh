# SPDX-License-Identifier: GPL-2.0-only
# -l is exact: the generator counts its own ioctls by command and errno, the
# totals say the same, whatever kind of hook is used; arguments are decoded;
# and strace sees the same calls in the same order.
# Functions are called by way of together.
# shellcheck disable=SC2317
. "$(dirname "$0")/lib.sh"

# Whoever else uses KVM on this host is not of this test: "calls" are the generator's. What it
# did and what was measured, as "cmd error count"; no error is "-".
ask_defs='def calls: ($guest | map(.pid // empty) | unique) as $pids |
	$watch | map(select(.monitor == "kvm_ioctl" and (.pid | IN($pids[]))));
def named(name): calls | map(select(.scope == "event" and .name == name));
def totals: calls | map(select(.scope == "total"));
def by_errno: group_by([.cmd, .error]) | map("\(.[0].cmd) \(.[0].error) \(map(.count) | add)") | sort | join(", ");
def truth: $guest | map(select(.what == "ioctl") | .error |= if . == "" then "-" else . end) | by_errno;
def measured: totals | map(.cmd as $cmd | (.errors | to_entries | map({cmd: $cmd, error: .key, count: .value})) +
	[{cmd: $cmd, error: "-", count: (.count - ([.errors[]] | add // 0))}]) | add | map(select(.count > 0)) | by_errno;'

# exact LABEL GUEST_OPTIONS -- WATCH_OPTIONS
exact()
{
	label=$1 options=$2
	shift 3
	if ! watch -l "$@"; then
		fail "$label: kvm_watcher starts"
		return 1
	fi
	# shellcheck disable=SC2086
	holds "$label: the generator does what it says" guest $options
	watch_end && pass "$label: exit status 0" || fail "$label: exit status 0" "$watch_status"
	preempted "$label: every command, every errno" "$@" && return
	ask "$label: every command, every errno" truth measured
	ask_true "$label: a time for each call" 'totals | all(.min_ns > 0 and .min_ns <= .p50_ns and
		.p50_ns <= .p99_ns and .p99_ns <= .max_ns and .total_ns >= .max_ns)'
	ask_lost "$label: nothing lost" 0 'lost | add'
	answers
}

why=$(missing kvm_ioctl ioctl_return)
if test -n "$why"; then
	skip "everything" "$why"
	done_testing
fi

totals_alone()
{
	exact "one vCPU" "ioctls=3 out=101 intr_user=7" --
	exact "4 vCPUs in 2 processes" "--vms=2 --vcpus=2 --separate ioctls=2 out=53" --
	if planned rounds; then
		exact "VMs one after the other" "--repeat=3 ioctls=1 out=11" --
		part_ends
	fi
}

together totals_alone -l
if planned kinds; then
	for kind in kprobe fentry tracepoint raw_tp; do
		if why=$(lacks kvm_ioctl $kind); then
			skip "--hooks=$kind" "$why"
		else
			exact "--hooks=$kind" "--vcpus=2 ioctls=2 out=29" -- --hooks=$kind
		fi
	done
	part_ends
fi

# KVM gives the next VM the memory of the last one.
exact "VMs at an address that comes again" "--repeat=20 out=2" --
ask_true "each VM has its own calls" 'totals | map(select(.name == "KVM_CREATE_VCPU") | .count) |
	length > 1 and all(. == 1)'
answers

# Each call with its argument.
exact "--events" "ioctls=2 out=10" -- --events
ask "events: as many as calls, without KVM_RUN" \
	'$guest | map(select(.what == "ioctl" and .cmd != 44672) | .count) | add' \
	'calls | map(select(.scope == "event")) | length'
ask "descriptors told apart" \
	'["KVM_CHECK_EXTENSION kvm","KVM_CHECK_EXTENSION vm","KVM_CREATE_VM kvm","KVM_RUN vcpu"]' \
	'totals | map(select(.name | test("^KVM_(CHECK_EXTENSION|CREATE_VM|RUN)$")) |
		"\(.name) \(.fd_kind)") | unique'
ask "KVM's number on another's descriptor is not KVM's" '[]' \
	'named("KVM_GET_REGS") | .'
ask "another's number on a descriptor of KVM's is there" '[2]' \
	'named("UNKNOWN(0x5451)") | [length]'
ask "an unknown number is there" '[2,true]' \
	'named("UNKNOWN(0x1234aeff)") | [length, all(.ret < 0)]'
ask "KVM_CREATE_VM: type and descriptor" '[[0,true],[4660,"EINVAL"]]' \
	'named("KVM_CREATE_VM") | .[1:3] | [[.[0].decoded.type, .[0].ret == .[0].decoded.fd],
		[.[1].decoded.type, .[1].error]]'
ask "KVM_CHECK_EXTENSION" '["IRQCHIP",0,true,"NR_MEMSLOTS"]' \
	'named("KVM_CHECK_EXTENSION") | .[1:3] | [.[0].decoded.cap_name, .[0].decoded.cap, .[0].decoded.value == .[0].ret,
		.[1].decoded.cap_name]'
ask "KVM_CREATE_VCPU: the id is a number" '[[3,true],[3,"EEXIST"],[2147483647,"EINVAL"]]' \
	'named("KVM_CREATE_VCPU") | .[1:4] | [[.[0].decoded.vcpu_id, .[0].ret == .[0].decoded.fd],
		[.[1].decoded.vcpu_id, .[1].error], [.[2].decoded.vcpu_id, .[2].error]]'
ask "KVM_SET_USER_MEMORY_REGION" '[[8,["log_dirty_pages"],2147483648,65536,null],[8,["log_dirty_pages"],2147483648,0,null],[8,["log_dirty_pages"],2147483648,4097,"EINVAL"]]' \
	'named("KVM_SET_USER_MEMORY_REGION") | .[1:4] | map([.decoded.slot, .decoded.flag_names,
		.decoded.gpa, .decoded.size, .error])'
ask "KVM_SET_USER_MEMORY_REGION2" '[[8,2147483648,65536],[8,2147483648,0]]' \
	'named("KVM_SET_USER_MEMORY_REGION2") | .[0:2] | map([.decoded.slot, .decoded.gpa, .decoded.size])'
ask "KVM_GET_DIRTY_LOG" '[[8,null],[8,"ENOENT"]]' \
	'named("KVM_GET_DIRTY_LOG") | .[0:2] | map([.decoded.slot, .error])'
ask "KVM_GET_VCPU_EVENTS and KVM_SET_VCPU_EVENTS" '[0,0,true]' \
	'calls | map(select(.scope == "event" and (.name | test("VCPU_EVENTS")))) |
		[.[0].decoded.exception.injected, .[1].decoded.nmi.masked, .[0].decoded == .[1].decoded]'
ask "KVM_TRANSLATE: its result" '[[65536,65536,1],[65536,65536,1]]' \
	'named("KVM_TRANSLATE") | map([.decoded.linear_address, .decoded.physical_address, .decoded.valid])'
ask "KVM_INTERRUPT" '[[33,"ENXIO"],[33,"ENXIO"]]' \
	'named("KVM_INTERRUPT") | map([.decoded.irq, .error])'
ask "KVM_IRQ_LINE" '[[5,1],[5,0]]' \
	'named("KVM_IRQ_LINE") | .[0:2] | map([.decoded.irq, .decoded.level])'
ask "KVM_IRQ_LINE_STATUS: before and after" '[[6,1,true],[6,0,true]]' \
	'named("KVM_IRQ_LINE_STATUS") | .[0:2] | map([.decoded.irq, .decoded.level,
		(.decoded.status | type == "number")])'
ask "KVM_SIGNAL_MSI" '[4276224000,49,49,32]' \
	'named("KVM_SIGNAL_MSI") | .[0].decoded | [.address, .data, .vector, .destination]'
ask "KVM_IRQFD" '[[5,[],true],[5,["deassign"],true],[5,[],false]]' \
	'named("KVM_IRQFD") | .[0:3] | map([.decoded.gsi, .decoded.flag_names, .ret == 0])'
ask "KVM_IOEVENTFD" '[[7,4656,2,["datamatch","pio"],null],[7,4656,2,["datamatch","pio","deassign"],null],[7,4656,3,["pio"],"EINVAL"]]' \
	'named("KVM_IOEVENTFD") | .[0:3] | map([.decoded.datamatch, .decoded.addr, .decoded.len,
		.decoded.flag_names, .error])'
ask "KVM_SET_GSI_ROUTING" '[3,[[5,"irqchip",5],[6,"irqchip",6],[24,"msi",null]],50]' \
	'named("KVM_SET_GSI_ROUTING") | .[0].decoded | [.nr, (.entries | map([.gsi, .type, .pin])),
		.entries[2].vector]'
ask "KVM_ENABLE_CAP" '[["UNKNOWN(9999)",1,4,"EINVAL"]]' \
	'named("KVM_ENABLE_CAP") | .[0:1] | map([.decoded.cap_name, .decoded.arg0, .decoded.arg3, .error])'
no_device=$(jq -rs 'map(select(.scope == "event" and .name == "KVM_CREATE_DEVICE"))[0].error // empty' \
	"$TMP/watch.json")
if test -z "$no_device"; then
	ask "device descriptors" '["device"]' 'named("KVM_HAS_DEVICE_ATTR") | map(.fd_kind) | unique'
else
	skip "device descriptors" "this KVM has no device to create: $no_device"
fi
answers

# Filters.
if planned filters; then
	watch -l --events --vm='no*such' && guest ioctls=1
	watch_end
	ask "--vm: other VMs are not there" 0 '$watch | map(select(.monitor == "kvm_ioctl")) | length'
	answers
	watch -l --events --vcpu=1 && guest --vcpus=2 ioctls=1 out=5
	watch_end
	ask "--vcpu: other vCPUs are not there" 0 \
		'calls | map(select(.scope == "event" and .vcpu != 1 and .fd_kind == "vcpu")) | length'
	ask "--vcpu: this one is, and runs" '[6,true]' '[(totals | map(select(.name == "KVM_RUN"))[0].count),
		(calls | map(select(.scope == "event" and .vcpu == 1)) | length > 0)]'
	answers
	part_ends
fi

# Call by call, per thread and in order: strace's view and -l's.
planned strace && has_tool "strace agrees" strace || done_testing
watch -l --events
strace -ff -y -X raw -e trace=ioctl -o "$TMP/strace" kvm_guest --vcpus=2 ioctls=2 out=20 intr_user=3 >"$TMP/guest.json"
watch_end
for file in "$TMP"/strace.*; do
	sed -nE "s/^ioctl\\(([0-9]+)<([^>]*kvm[^>]*)>, (0x[0-9a-f]+).*\\) += (-?[0-9a-fx]+)( (E[A-Z]+).*)?(<.*)?\$/${file##*.} \\1 \\3 \\4\\6/p" "$file"
done | sed -E 's/ -1E/ E/' >"$TMP/strace.all"
grep -v ' 0xae80 ' "$TMP/strace.all" | sed -E 's/<.*//' | while read -r tid fd cmd ret; do
	case $ret in
	E*) echo "$tid $fd $((cmd)) $ret" ;;
	*) echo "$tid $fd $((cmd)) $((ret))" ;;
	esac
done | sort -s -k1,1n >"$TMP/strace.calls"
pids=$(jq -cs 'map(.pid // empty) | unique' "$TMP/guest.json")
jq -r --argjson pids "$pids" 'select(.scope == "event" and (.pid | IN($pids[]))) |
	"\(.tid) \(.fd) \(.cmd) \(.error // .ret)"' "$TMP/watch.json" | sort -s -k1,1n >"$TMP/watch.calls"
holds "strace agrees: $(wc -l <"$TMP/strace.calls") calls, one by one" \
	diff "$TMP/strace.calls" "$TMP/watch.calls"
is "strace agrees: KVM_RUN" "$(grep -c ' 0xae80 ' "$TMP/strace.all")" \
	"$(jq -s --argjson pids "$pids" 'map(select(.scope == "total" and .name == "KVM_RUN" and
		(.pid | IN($pids[]))) | .count) | add' "$TMP/watch.json")"
done_testing
