# SPDX-License-Identifier: GPL-2.0-only
# -e --detail is exact: the generator does N of a thing, and the row of that MSR, port, address, CPUID leaf,
# register, exception or hypercall says N; the details of a reason are all of its exits and all of their time; the
# kernel's own histograms agree; and a guest that uses many gets no more than its share.
# Functions are called by way of together.
# shellcheck disable=SC2317
. "$(dirname "$0")/lib.sh"

no_exits=$(missing vm_exit kvm_exit)
if test -n "$no_exits"; then
	skip "everything" "$no_exits"
	done_testing
fi

# shellcheck disable=SC2016
ask_defs='def total(t): $watch | map(select(.scope == "total" and .table == t));
def details: total("KVM_EXIT_DETAIL");
def of(k): details | map(select(.detail_kind == k)) | group_by(.tid) | map(group_by(.detail) |
	map("\(.[0].detail): \(map(.count) | add)") | sort | join(", ")) | unique | join(" | ");
def sums(t): total(t) | map(select(.kind == "kvm")) | group_by([.tid, .reason]) |
	map("\(.[0].tid) \(.[0].reason) \(map(.count) | add) \(map(.total_ns) | add)") | sort;
def longest(t): total(t) | map(select(.kind == "kvm")) | group_by([.tid, .reason]) |
	map("\(.[0].tid) \(.[0].reason) \(map(.max_ns) | max)") | sort;
def numbers(k): details | map(select(.detail_kind == k)) | group_by([.number, .more, .write]) |
	map([.[0].number, .[0].more, if .[0].write then 1 else 0 end, (map(.count) | add)]);'

# run LABEL GUEST_OPTION...: both tables
run()
{
	label=$1
	shift
	guest "$@" && pass "$label: the generator does what it says" || fail "$label: the generator does what it says"
	watch_end && pass "$label: exit status 0" || fail "$label: exit status 0" "$watch_status"
	ask "$label: details are all exits of their reasons, and all of their time" 'sums("KVM_EXIT")' 'sums("KVM_EXIT_DETAIL")'
	ask "$label: the longest of a reason is one of its details" 'longest("KVM_EXIT")' 'longest("KVM_EXIT_DETAIL")'
	if test "$stage" != ask; then
		ask "$label: all exits, as KVM counts them" '$guest | map(select(.what == "vm") | .stats.exits) | add' \
			'(details | map(.count) | add) + lost.exits_untraced'
	fi
	ask_lost "$label: nothing lost" 0 'lost | to_entries | map(select(.key != "exits_untraced") | .value) | add'
}

# hist EVENT KEYS: has the kernel count it too
events=/sys/kernel/tracing/events/kvm
hists=
hist()
{
	if echo "hist:keys=$2:size=1024" 2>/dev/null >$events/"$1"/trigger; then
		hists="$hists $1"
	else
		skip "$1: tracefs agrees" "this kernel refuses a hist trigger on it"
	fi
}

# hist_asks EVENT KEYS PATTERN JQ: what it counted, as a list of lists
hist_asks()
{
	case "$hists " in *" $1 "*) ;; *) return ;; esac
	counted=$(sed -nE "s/^\{ $3 \} hitcount: *([0-9]+).*/[\1,\2,\3],/p" $events/"$1"/hist)
	echo "!hist:keys=$2:size=1024" >$events/"$1"/trigger
	ask "$1: tracefs agrees" "[$counted empty] | sort" "$4 | sort"
}

if test -n "$KVM_WATCHER_MACHINE"; then
	hist kvm_msr ecx,write
	hist kvm_pio port,size
	hist kvm_mmio gpa,type
	hist kvm_cpuid function,index
fi
ops="cpuid=20 cpuid=21:4 cpuid=22:0x80000000 out=23 out2=24:0x3f8 out4=25:0xcf8 in=26:0x71 in2=27 in4=28:0x608 insb=29
	mmio_read=30 mmio_write=31:0xfed000f0 mmio_read=32:0xfed40030 rdmsr=33 wrmsr=34 rdmsr=35:0x277
	vmcall=36 hc_kick=37 hlt=2 ud2=38 wrcr4=39 x2apic_ipi=9"

# told_apart LABEL: each of ops is in a row of its own
told_apart()
{
	ask "$1: CPUID leaves" '"0x0 vendor: 20, 0x4 caches: 21, 0x80000000 extended leaves: 22"' 'of("cpuid")'
	ask "$1: ports" '"in 0x608 4 B ACPI PM timer: 28, in 0x71 1 B CMOS data: 26, in 0x80 1 B POST code: 29, in 0x80 2 B POST code: 27, out 0x3f8 2 B UART 1: 24, out 0x80 1 B POST code: 23, out 0xcf8 4 B PCI config address: 25, out 0xf4 4 B: 1"' \
		'of("pio")'
	ask "$1: addresses" '"read 0xd0000000: 30, read 0xfed40030 TPM: 32, write 0xfed000f0 HPET counter: 31"' 'of("mmio")'
	ask "$1: MSRs" '"read 0x1b IA32_APICBASE: 34, read 0x277 IA32_CR_PAT: 35, write 0x1b IA32_APICBASE: 1, write 0x2ff MTRRdefType: 34, write 0x830 X2APIC_ICR: 9"' \
		'of("msr")'
	ask "$1: control registers" '"write CR4: 39"' 'of("cr")'
	ask "$1: exceptions" '"6 #UD: 38"' 'of("exception")'
	ask "$1: hypercalls" '"kvm KICK_CPU: 37, kvm UNKNOWN(1000): 36"' 'of("hypercall")'
	ask "$1: ports and addresses go to the VMM" '[true]' \
		'details | map(select(.detail_kind | IN("pio", "mmio")) | .to_vmm == .count) | unique'
	ask "$1: others do not" '[0]' 'details | map(select(.detail_kind | IN("msr", "cpuid", "hypercall")) | .to_vmm) | unique'
}

watch -e --detail || fail "kvm_watcher starts"
# shellcheck disable=SC2086
run "details" --vcpus=2 $ops
ask "details: exits have the hook that costs least" '"attached"' \
	'$watch[-1].hooks | map(select(.monitor == "vm_exit" and .need == "kvm_exit"))[0].state'
told_apart "details"
hist_asks kvm_msr ecx,write 'ecx: *([0-9]+), write: *([0-9]+)' 'numbers("msr") | map([.[0], .[2], .[3]])'
hist_asks kvm_pio port,size 'port: *([0-9]+), size: *([0-9]+)' \
	'numbers("pio") | group_by([.[0], .[1]]) | map([.[0][0], .[0][1], (map(.[3]) | add)])'
hist_asks kvm_cpuid function,index 'function: *([0-9]+), index: *([0-9]+)' 'numbers("cpuid") | map([.[0], .[1], .[3]])'
# Reads that user space answers are traced twice, first as type 0.
hist_asks kvm_mmio gpa,type 'gpa: *([0-9]+), type: *([0-9]+)' \
	'numbers("mmio") | map(if .[2] == 1 then [.[0], 2, .[3]] else [.[0], 0, .[3]], [.[0], 1, .[3]] end)'
answers

# One vCPU that uses more than its share. The machine's KVM has 32 banks of 4 MSRs.
watch -e --detail || fail "kvm_watcher starts"
run "many" rdmsrs=100 rdmsrs=100
ask "many: 64 are told apart, the others are counted" '[64, 128, 72]' 'details | map(select(.detail_kind == "msr")) as $own |
	[($own | length), ($own | map(.count) | add), (map(select(.detail == "(others)" and .class == "msr") | .count) | add)]'
answers

if planned kinds; then
	if why=$(lacks vm_exit raw_tp); then
		skip "--hooks=raw_tp" "$why"
	elif watch -e --detail --hooks=raw_tp; then
		# shellcheck disable=SC2086
		run "--hooks=raw_tp" --vcpus=2 $ops
		preempted "--hooks=raw_tp" --hooks=raw_tp || told_apart "--hooks=raw_tp"
		answers
	else
		fail "--hooks=raw_tp: kvm_watcher starts"
	fi
	# No event of a detail has such a program; ports are in what the VMM is asked.
	if why=$(lacks vm_exit tp_btf '^kvm_(exit|entry|userspace_exit)$'); then
		skip "--hooks=tp_btf" "$why"
	elif watch -e --detail --hooks=tp_btf; then
		guest out=20 cpuid=21 rdmsr=22 vmcall=23
		watch_end && pass "without events: exit status 0" || fail "without events: exit status 0" "$watch_status"
		if ! preempted "without events: which exits" --hooks=tp_btf; then
			ask "without events: details are all exits of their reasons" 'sums("KVM_EXIT")' 'sums("KVM_EXIT_DETAIL")'
			ask "without events: ports alone" '["none", "pio"]' 'details | map(.detail_kind) | unique'
			holds "without events: what is missing is said" grep -q 'missing: which MSRs' "$TMP/watch.err"
		fi
		answers
	else
		fail "--hooks=tp_btf: kvm_watcher starts"
	fi
	part_ends
fi
done_testing
