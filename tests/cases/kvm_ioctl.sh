# SPDX-License-Identifier: GPL-2.0-only
# -l is exact: the generator counts its own ioctls by command and errno, the
# totals say the same, whatever kind of hook is used; arguments are decoded;
# and strace sees the same calls in the same order.
. "$(dirname "$0")/lib.sh"

# Both as "cmd error count" lines, sorted; no error is "-".
truth()
{
	jq -rs 'map(select(.what == "ioctl")) | group_by([.cmd, .error]) |
		map("\(.[0].cmd) \(if .[0].error == "" then "-" else .[0].error end) \(map(.count) | add)") |
		.[]' "$TMP/guest.json" | sort
}

measured()
{
	jq -rs 'map(select(.monitor == "kvm_ioctl" and .scope == "total")) |
		map(.cmd as $cmd | (.errors | to_entries | map({cmd: $cmd, error: .key, count: .value})) +
			[{cmd: $cmd, error: "-", count: (.count - ([.errors[]] | add // 0))}]) |
		add | map(select(.count > 0)) | group_by([.cmd, .error]) |
		map("\(.[0].cmd) \(.[0].error) \(map(.count) | add)") | .[]' "$TMP/watch.json" | sort
}

# Whoever else uses KVM on this host: not of this test. The rest of the run is as it was written.
ours()
{
	pids=$(jq -s 'map(.pid // empty) | unique' "$TMP/guest.json")
	jq -c --argjson pids "$pids" 'select(.monitor != "kvm_ioctl" or
		(.pid | IN($pids[])))' "$TMP/watch.json" >"$TMP/ours.json"
	mv "$TMP/ours.json" "$TMP/watch.json"
}

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
	ours
	if test -n "$restricted" && test "$(summary .lost.programs_skipped)" -gt 0; then
		skip "$label: every command, every errno" \
			"this kernel preempts such programs: some runs were skipped, and counted"
		return
	fi
	is "$label: every command, every errno" "$(truth)" "$(measured)"
	is "$label: a time for each call" true "$(jq -s 'map(select(.scope == "total" and
		.monitor == "kvm_ioctl")) | all(.min_ns > 0 and .min_ns <= .p50_ns and
		.p50_ns <= .p99_ns and .p99_ns <= .max_ns and .total_ns >= .max_ns)' "$TMP/watch.json")"
	no_loss "$label: nothing lost"
}

# events NAME JQ: of the events of that name, in order
events()
{
	jq -cs --arg name "$1" 'map(select(.scope == "event" and .name == $name)) | '"$2" "$TMP/watch.json"
}

restricted=
why=$(missing kvm_ioctl ioctl_return)
if test -n "$why"; then
	skip "everything" "$why"
	done_testing
fi

exact "one vCPU" "ioctls=3 out=101 intr_user=7" --
exact "4 vCPUs in 2 processes" "--vms=2 --vcpus=2 --separate ioctls=2 out=53" --
exact "VMs one after the other" "--repeat=3 ioctls=1 out=11" --
restricted=1
for kind in $(kinds kprobe fentry tracepoint raw_tp); do
	if why=$(lacks kvm_ioctl $kind); then
		skip "--hooks=$kind" "$why"
	else
		exact "--hooks=$kind" "--vcpus=2 ioctls=2 out=29" -- --hooks=$kind
	fi
done
restricted=

# Each call with its argument.
exact "--events" "ioctls=2 out=10" -- --events
is "events: as many as calls, without KVM_RUN" \
	"$(jq -s 'map(select(.what == "ioctl" and .cmd != 44672) | .count) | add' "$TMP/guest.json")" \
	"$(jq -s 'map(select(.scope == "event")) | length' "$TMP/watch.json")"
is "descriptors told apart" \
	'["KVM_CHECK_EXTENSION kvm","KVM_CHECK_EXTENSION vm","KVM_CREATE_VM kvm","KVM_RUN vcpu"]' \
	"$(jq -cs 'map(select(.scope == "total" and (.name | test("^KVM_(CHECK_EXTENSION|CREATE_VM|RUN)$"))) |
		"\(.name) \(.fd_kind)") | unique' "$TMP/watch.json")"
is "KVM's number on another's descriptor is not KVM's" '[]' "$(events KVM_GET_REGS .)"
is "another's number on a descriptor of KVM's is there" '[2]' \
	"$(events 'UNKNOWN(0x5451)' '[length]')"
is "an unknown number is there" '[2,true]' "$(events 'UNKNOWN(0x1234aeff)' '[length, all(.ret < 0)]')"
is "KVM_CREATE_VM: type and descriptor" '[[0,true],[4660,"EINVAL"]]' \
	"$(events KVM_CREATE_VM '.[1:3] | [[.[0].decoded.type, .[0].ret == .[0].decoded.fd],
		[.[1].decoded.type, .[1].error]]')"
is "KVM_CHECK_EXTENSION" '["IRQCHIP",0,true,"NR_MEMSLOTS"]' "$(events KVM_CHECK_EXTENSION \
	'.[1:3] | [.[0].decoded.cap_name, .[0].decoded.cap, .[0].decoded.value == .[0].ret,
		.[1].decoded.cap_name]')"
is "KVM_CREATE_VCPU: the id is a number" '[[3,true],[3,"EEXIST"],[2147483647,"EINVAL"]]' \
	"$(events KVM_CREATE_VCPU '.[1:4] | [[.[0].decoded.vcpu_id, .[0].ret == .[0].decoded.fd],
		[.[1].decoded.vcpu_id, .[1].error], [.[2].decoded.vcpu_id, .[2].error]]')"
is "KVM_SET_USER_MEMORY_REGION" '[[8,["log_dirty_pages"],2147483648,65536,null],[8,["log_dirty_pages"],2147483648,0,null],[8,["log_dirty_pages"],2147483648,4097,"EINVAL"]]' \
	"$(events KVM_SET_USER_MEMORY_REGION '.[1:4] | map([.decoded.slot, .decoded.flag_names,
		.decoded.gpa, .decoded.size, .error])')"
is "KVM_SET_USER_MEMORY_REGION2" '[[8,2147483648,65536],[8,2147483648,0]]' \
	"$(events KVM_SET_USER_MEMORY_REGION2 '.[0:2] | map([.decoded.slot, .decoded.gpa, .decoded.size])')"
is "KVM_GET_DIRTY_LOG" '[[8,null],[8,"ENOENT"]]' \
	"$(events KVM_GET_DIRTY_LOG '.[0:2] | map([.decoded.slot, .error])')"
is "KVM_GET_VCPU_EVENTS and KVM_SET_VCPU_EVENTS" '[0,0,true]' \
	"$(jq -cs 'map(select(.scope == "event" and (.name | test("VCPU_EVENTS")))) |
		[.[0].decoded.exception.injected, .[1].decoded.nmi.masked,
		.[0].decoded == .[1].decoded]' "$TMP/watch.json")"
is "KVM_TRANSLATE: its result" '[[65536,65536,1],[65536,65536,1]]' "$(events KVM_TRANSLATE \
	'map([.decoded.linear_address, .decoded.physical_address, .decoded.valid])')"
is "KVM_INTERRUPT" '[[33,"ENXIO"],[33,"ENXIO"]]' \
	"$(events KVM_INTERRUPT 'map([.decoded.irq, .error])')"
is "KVM_IRQ_LINE" '[[5,1],[5,0]]' "$(events KVM_IRQ_LINE '.[0:2] | map([.decoded.irq, .decoded.level])')"
is "KVM_IRQ_LINE_STATUS: before and after" '[[6,1,true],[6,0,true]]' \
	"$(events KVM_IRQ_LINE_STATUS '.[0:2] | map([.decoded.irq, .decoded.level,
		(.decoded.status | type == "number")])')"
is "KVM_SIGNAL_MSI" '[4276224000,49,49,32]' "$(events KVM_SIGNAL_MSI \
	'.[0].decoded | [.address, .data, .vector, .destination]')"
is "KVM_IRQFD" '[[5,[],true],[5,["deassign"],true],[5,[],false]]' "$(events KVM_IRQFD \
	'.[0:3] | map([.decoded.gsi, .decoded.flag_names, .ret == 0])')"
is "KVM_IOEVENTFD" '[[7,4656,2,["datamatch","pio"],null],[7,4656,2,["datamatch","pio","deassign"],null],[7,4656,3,["pio"],"EINVAL"]]' \
	"$(events KVM_IOEVENTFD '.[0:3] | map([.decoded.datamatch, .decoded.addr, .decoded.len,
		.decoded.flag_names, .error])')"
is "KVM_SET_GSI_ROUTING" '[3,[[5,"irqchip",5],[6,"irqchip",6],[24,"msi",null]],50]' \
	"$(events KVM_SET_GSI_ROUTING '.[0].decoded | [.nr, (.entries | map([.gsi, .type, .pin])),
		.entries[2].vector]')"
is "KVM_ENABLE_CAP" '[["UNKNOWN(9999)",1,4,"EINVAL"]]' "$(events KVM_ENABLE_CAP \
	'.[0:1] | map([.decoded.cap_name, .decoded.arg0, .decoded.arg3, .error])')"
if test "$(events KVM_CREATE_DEVICE '[.[0].ret]')" = '[0]'; then
	is "device descriptors" '["device"]' "$(events KVM_HAS_DEVICE_ATTR 'map(.fd_kind) | unique')"
else
	skip "device descriptors" "this KVM has no device to create: $(events KVM_CREATE_DEVICE '.[0].error')"
fi

# Filters.
exact_none()
{
	is "$1" 0 "$(jq -s 'map(select(.monitor == "kvm_ioctl" and ('"$2"'))) | length' "$TMP/watch.json")"
}
watch -l --events --vm='no*such' && guest ioctls=1
watch_end
exact_none "--vm: other VMs are not there" true
watch -l --events --vcpu=1 && guest --vcpus=2 ioctls=1 out=5
watch_end
ours
exact_none "--vcpu: other vCPUs are not there" '.scope == "event" and .vcpu != 1 and .fd_kind == "vcpu"'
is "--vcpu: this one is, and runs" '[6,true]' "$(jq -cs '[(map(select(.scope == "total" and
	.name == "KVM_RUN"))[0].count), (map(select(.scope == "event" and .vcpu == 1)) | length > 0)]' \
	"$TMP/watch.json")"

# Call by call, per thread and in order: strace's view and -l's.
if ! command -v strace >/dev/null; then
	skip "strace agrees" "there is no strace here"
	done_testing
fi
watch -l --events
strace -ff -y -X raw -e trace=ioctl -o "$TMP/strace" kvm_guest --vcpus=2 ioctls=2 out=20 intr_user=3 >"$TMP/guest.json"
watch_end
ours
for file in "$TMP"/strace.*; do
	sed -nE "s/^ioctl\\(([0-9]+)<([^>]*kvm[^>]*)>, (0x[0-9a-f]+).*\\) += (-?[0-9a-fx]+)( (E[A-Z]+).*)?(<.*)?\$/${file##*.} \\1 \\3 \\4\\6/p" "$file"
done | sed -E 's/ -1E/ E/' >"$TMP/strace.all"
grep -v ' 0xae80 ' "$TMP/strace.all" | sed -E 's/<.*//' | while read -r tid fd cmd ret; do
	case $ret in
	E*) echo "$tid $fd $((cmd)) $ret" ;;
	*) echo "$tid $fd $((cmd)) $((ret))" ;;
	esac
done | sort -s -k1,1n >"$TMP/strace.calls"
jq -r 'select(.scope == "event") | "\(.tid) \(.fd) \(.cmd) \(.error // .ret)"' "$TMP/watch.json" |
	sort -s -k1,1n >"$TMP/watch.calls"
holds "strace agrees: $(wc -l <"$TMP/strace.calls") calls, one by one" \
	diff "$TMP/strace.calls" "$TMP/watch.calls"
is "strace agrees: KVM_RUN" "$(grep -c ' 0xae80 ' "$TMP/strace.all")" \
	"$(jq -s 'map(select(.scope == "total" and .name == "KVM_RUN") | .count) | add' "$TMP/watch.json")"
done_testing
