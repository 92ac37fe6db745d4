# SPDX-License-Identifier: GPL-2.0-only
# -e is exact: the generator does N of a thing, the totals say N; for one vCPU
# and for four in two VMs, whatever kind of hook is used, and in agreement with
# KVM's own count of exits.
# Functions are called by way of together.
# shellcheck disable=SC2317
. "$(dirname "$0")/lib.sh"

case $(vendor) in
vmx)
	cpuid='.reason == "CPUID"' io='.reason == "IO_INSTRUCTION"' hlt='.reason == "HLT"'
	rdmsr='.reason == "MSR_READ"' wrmsr='.reason == "MSR_WRITE"' vmcall='.reason == "VMCALL"'
	fault='.reason == "EPT_VIOLATION" or .reason == "EPT_MISCONFIG"'
	;;
*)
	cpuid='.reason == "cpuid"' io='.reason == "io"' hlt='.reason == "hlt"'
	rdmsr='.reason == "msr"' wrmsr='.reason == "msr"' vmcall='.reason == "hypercall"'
	fault='.reason == "npf"'
	;;
esac

# kvm_total NAME REASON_FILTER GENERATOR_JQ
kvm_total()
{
	ask "$1" "guests($3)" "per_vcpu(.kind == \"kvm\" and ($2))"
}

# user_total NAME REASON
user_total()
{
	ask "$1" "guests(.user_exits.$2)" "per_vcpu(.kind == \"userspace\" and .reason == \"$2\")"
}

kvms_exits='($guest | map(select(.what == "vm") | .stats.exits) | add)'
our_exits='($watch | map(select(.scope == "total" and .kind == "kvm") | .count) | add)'

# exact LABEL GUEST_OPTIONS -- WATCH_OPTIONS: one run, every count
exact()
{
	label=$1 options=$2
	shift 3
	if ! watch -e "$@"; then
		fail "$label: kvm_watcher starts"
		return
	fi
	# shellcheck disable=SC2086
	guest $options $ops && pass "$label: the generator does what it says" ||
		fail "$label: the generator does what it says"
	watch_end && pass "$label: exit status 0" || fail "$label: exit status 0" "$watch_status"
	# Only exits to user space fire where the kernel may preempt the programs.
	if ! preempted "$label: user-space exits" "$@"; then
		user_total "$label: user-space exits IO" IO
		user_total "$label: user-space exits MMIO" MMIO
		user_total "$label: user-space exits INTR" INTR
		ask_lost "$label: nothing lost" 0 'lost | to_entries | map(select(.key != "exits_untraced") | .value) | add'
	fi
	if test -z "$no_exits"; then
		kvm_total "$label: CPUID" "$cpuid" .ops.cpuid
		kvm_total "$label: port I/O" "$io" .user_exits.IO
		kvm_total "$label: HLT" "$hlt" .ops.hlt
		kvm_total "$label: hypercalls" "$vmcall" .ops.vmcall
		if test "$(vendor)" = svm; then
			kvm_total "$label: MSR reads and writes" "$rdmsr" '(.ops.rdmsr + .ops.wrmsr)'
		else
			kvm_total "$label: MSR reads" "$rdmsr" .ops.rdmsr
			kvm_total "$label: MSR writes" "$wrmsr" .ops.wrmsr
		fi
		# The guest's page tables and code fault too, and KVM may take a mapping away
		# again: how often is in no generator's hand, but in the sum over all reasons below.
		ask_true "$label: page faults: those of the generator, and the guest's own" \
			"(\$watch | map(select(.scope == \"total\" and .kind == \"kvm\" and ($fault)) | .count) | add) >
			(\$guest | map(select(.what == \"vcpu\") | .ops.touch + .ops.mmio_read + .ops.mmio_write) | add)"
		# KVM counts an exit in its fast path too, which some kernels do not trace; those are known.
		if test "$stage" = ask; then
			# Those are known of all the runs together only.
			ask_range "$label: all exits, as KVM counts them, but those that were not traced" \
				"$kvms_exits - lost.exits_untraced" "$kvms_exits" "$our_exits"
		else
			ask "$label: all exits, as KVM counts them" "$kvms_exits" "$our_exits + lost.exits_untraced"
		fi
	fi
	answers
}

no_exits=$(missing vm_exit kvm_exit)
test -z "$no_exits" || skip "exits to KVM" "$no_exits"

ops="out=211:0x80 in=23 mmio_read=31 mmio_write=37 intr_user=5"
test -n "$no_exits" || ops="cpuid=503 $ops rdmsr=53 wrmsr=59 vmcall=61 hlt=13 touch=67"

all_hooks()
{
	exact "one vCPU" "--vms=1 --vcpus=1" --
	exact "4 vCPUs in 2 VMs" "--vms=2 --vcpus=2" --
	exact "real mode" "--mode=real --vcpus=2" --
}

together all_hooks -e
if test -z "$no_exits"; then
	mv "$TMP/together.json" "$TMP/watch.json"
	mv "$TMP/guests.json" "$TMP/guest.json"
	ask "one vCPU, 4 vCPUs and real mode: all exits, as KVM counts them" "$kvms_exits" "$our_exits + lost.exits_untraced"
	answers
fi
# exact_kinds KIND...: each by itself
exact_kinds()
{
	for kind; do
		# What this kind alone can't reach here, beyond what no kind can.
		if why=$(lacks vm_exit $kind "${no_exits:+^kvm_(run|userspace_exit)$}"); then
			skip "--hooks=$kind" "$why"
		else
			exact "--hooks=$kind" "--vms=2 --vcpus=2" -- --hooks=$kind
		fi
	done
}

# grouped OPTION...: two VMs of a name that no other VM has, so that nobody else is in sums over the host
grouped()
{
	watch -e --vm="$name*" "$@" || fail "$*: kvm_watcher starts"
	"$TMP/$name" --vms=2 --vcpus=2 $ops >"$TMP/guest.json" && pass "$*: the generator does what it says" ||
		fail "$*: the generator does what it says"
	watch_end && pass "$*: exit status 0" || fail "$*: exit status 0" "$watch_status"
}

exits='$watch | map(select(.scope == "total" and .reason == "IO" and .count))'
per_vm='$guest | map(select(.what == "vcpu")) | group_by(.vm) | map(map(.user_exits.IO) | add) | sort'

if planned grouped; then
	# A process' name has 15 characters.
	name=by$$
	cp "$(command -v kvm_guest)" "$TMP/$name"
	grouped --by=host --histogram --where=reason=IO --top=1
	ask "--by=host: one row, of all vCPUs" "[$per_vm | add]" "[$exits | .[].count]"
	ask "--by=host: a VM, a process or a vCPU it has none" '[[null, null, null, null]]' \
		"[$exits | .[] | [.vm, .pid, .tid, .vcpu]]"
	# The last one of each vCPU is not over when it ends.
	ask_range "--histogram: it has every exit that is over" "($exits | .[0].count) - 4" "$exits | .[0].count" \
		'$watch | map(select(.scope == "total") | .time_buckets // [] | .[][1]) | add'
	ask_true "--where: no other reason" '$watch | map(select(.reason and .reason != "IO")) == []'
	answers
	grouped --by=vm --sort=-count --where='count>0'
	ask "--by=vm: a row for each VM, of all its vCPUs" "$per_vm" "$exits | map(.count) | sort"
	ask "--by=vm: its name, and no vCPU" '[null]' "$exits | map(.vcpu) | unique"
	ask "--sort=-count: the least first" '$watch | map(select(.kind == "userspace" and .scope == "total") | .count) | sort' \
		'$watch | map(select(.kind == "userspace" and .scope == "total") | .count)'
	answers
	part_ends
fi

planned kinds && exact_kinds raw_tp tp_btf tracepoint
# A kprobe can't see the end of KVM_RUN: a tracepoint stands in there.
planned vendor_kinds && exact_kinds fentry kprobe,tracepoint
done_testing
