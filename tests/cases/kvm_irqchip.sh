# SPDX-License-Identifier: GPL-2.0-only
# -c is exact: every pin of PICs and IOAPIC, raised and lowered in every setting, and messages of every mode, from
# ioctls, from another process through an irqfd and from kernel threads, are one event each with the fields that the
# generator set and the answer that KVM gave it; the counts per pin are those events, and tracefs'.
. "$(dirname "$0")/lib.sh"

# Other VMs may run on this host: theirs are none of ours.
ask_defs='def pids: $guest | map(.pid // empty) | unique;
def told: $guest | map(select(.what == "irq"));
def all: pids as $pids | (told | map(.raiser_tid) | unique) as $tids | $watch | map(select(.monitor == "kvm_irqchip" and
	(if .pid != null then .pid | IN($pids[]) else .raiser_comm != "kvm_guest" or (.raiser_tid | IN($tids[])) end)));
def seen: all | map(select(.scope == "event"));
def functions: $watch[-1].hooks | map(select(.need | test("_event$") | not)) | all(.state != "missing");
def known: functions or (seen | all(.pid != null));
def totals: known as $known | all | map(select(.scope == "total" and (.pid != null or ($known | not))));
def fields(known): (if functions then . else
		(if .chip == "MSI" then .coalesced = null else . end) | .asserted = null end) |
	(if known then . else .pid = null end) |
	(if .raiser_comm // "kworker" | test("^kworker") then .raiser_comm = null | .raiser_tid = null else . end) |
	[.pid, .chip, .pin, .dest, .vector, .delivery, .dest_mode, .trigger, .masked, .redirection_hint,
	 .coalesced, .asserted, .raiser_comm, .raiser_tid];
def different: known as $known | (told | map(fields($known))) as $want | (seen | map(fields($known))) as $got |
	[range([$want, $got | length] | max) | select($want[.] != $got[.]) | [$want[.], $got[.]]];'

why=$(missing kvm_irqchip kvm_ioapic_set_irq_event)
if test -n "$why"; then
	skip "everything" "$why"
	done_testing
fi
no_calls=$(lacks kvm_irqchip "" '^kvm_(set_msi|arch_set_irq_inatomic|pic_set_irq|ioapic_set_irq)(_return)?$')

# exact LABEL GUEST_OPTIONS -- WATCH_OPTIONS: a run, to be asked about; false when the kernel
# skipped programs in it
exact()
{
	label=$1 options=$2
	shift 3
	if ! watch -c "$@"; then
		fail "$label: kvm_watcher starts"
		return 1
	fi
	# shellcheck disable=SC2086
	holds "$label: the generator does what it says" guest $options
	watch_end && pass "$label: exit status 0" || fail "$label: exit status 0" "$watch_status"
	preempted "$label: every interrupt" "$@" && return 1
	ask_lost "$label: nothing lost" '{}' 'lost | map_values(select(. != 0))'
}

# each N: all events of the run are those the generator tells, in their order
each()
{
	ask "$label: as many events" "$1" 'seen | length'
	ask "$label: every field of every event" '[]' 'different | .[:2]'
	# Without functions the VM is looked for by the thread, which may have ended when a busy host comes to it.
	ask_where known "the VM of an interrupt was not known on this busy host" "$label: counted as events" 'seen | group_by([.chip, .pin, .dest, .vector, .delivery, .dest_mode, .trigger]) |
		map([length, (map(select(.coalesced)) | length), (map(select(.masked)) | length)]) | sort' \
		'totals | map([.count, .coalesced_count, .masked_count]) | sort'
	ask_true "$label: DELAY where functions can be hooked" 'functions as $f | seen |
		all(if $f then .delay_ns > 0 else .delay_ns == null end)'
	ask_true "$label: each is timed" 'functions as $f | totals | all(.delay_count == if $f then .count else 0 end and
		(.delay_p50_ns == null or (.delay_p50_ns <= .delay_p99_ns and .delay_p99_ns <= .delay_max_ns)))'
}

# Both answers have to be among them, or the comparison proves little.
both_answers()
{
	ask_true "$label: some were pending, some masked" 'told | group_by(.chip) | map(select(.[0].chip != "MSI")) |
		length == 3 and all(any(.coalesced) and any(.coalesced | not) and any(.masked))'
}

from_ioctls()
{
	hist_begin kvm_ioapic_set_irq pin
	exact "ioctls" "intr_user=1 irq_lines=1 msi=1" --
	each 266
	both_answers
	if test -n "$hist_refused"; then
		skip "ioctls: by pin of the IOAPIC, as tracefs counts" "$hist_refused"
	else
		ask "ioctls: by pin of the IOAPIC, as tracefs counts" "\"$(hist_end | tr '\n' ' ')\"" 'totals |
			map(select(.chip == "IOAPIC")) | sort_by(.pin) | map("\(.pin) \(.count) ") | join("")'
	fi
	answers

	if planned ids32; then
		exact "32-bit ids" "intr_user=1 msi=1:1" --
		each 66
		answers
		part_ends
	fi
	test -z "$no_calls" || return 0
	exact "irqfd" "intr_user=1 irqfd=3 irqfd=2:1" --
	each 7
	answers
}

if test -z "$no_calls"; then
	together from_ioctls -c
else
	from_ioctls
fi
if test -n "$no_calls"; then
	exact "irqfd, by tracepoints" "intr_user=1 irqfd=3" --
	ask "irqfd, by tracepoints: raised elsewhere, the VM is not known" '[["irq_raiser",null,null,"MSI",82]]' \
		'seen | map(select(.raiser_comm != "kvm_guest") | [.raiser_comm, .pid, .vm, .chip, .vector]) | unique'
	ask "irqfd, by tracepoints: each" '[5,5]' '[(seen | length), (totals | map(.count) | add)]'
	answers
fi

exact "guests" "--vcpus=2 --vms=2 --separate ioapic_irq=20" -- -i --events
ask "guests: their pins" '[[16,0,85,40,20],[17,1,85,40,20],[16,0,85,40,20],[17,1,85,40,20]]' \
	'totals | sort_by([.pid, .pin]) | map([.pin, .dest, .vector, .count, if functions then .lowered else 20 end])'
ask "guests: raised by their vCPUs" 'guests(40)' 'seen | group_by(.raiser_tid) | map("\(.[0].raiser_tid):\(length)") |
	sort | join(" ")'
answers

if planned kinds; then
	for kind in kprobe fentry tracepoint raw_tp tp_btf; do
		case $kind in
		kprobe | fentry) all=$kind,tracepoint need='' ;;
		*) all=$kind need=_event ;;
		esac
		if why=$(lacks kvm_irqchip "$all" "$need\$"); then
			skip "--hooks=$all" "$why"
		elif exact "--hooks=$all" "intr_user=1 irq_lines=1 msi=1" -- "--hooks=$all"; then
			each 266
			answers
		fi
	done
	part_ends
fi

if planned summary; then
	exact "--summary" "intr_user=1 irq_lines=1 msi=1" -- --summary
	ask "--summary: no events, all counted" '[0,266]' '[(seen | length), (totals | map(.count) | add)]'
	answers
fi
done_testing
