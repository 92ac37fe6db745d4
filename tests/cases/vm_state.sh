# SPDX-License-Identifier: GPL-2.0-only
# --vm_state is what KVM counted: the generator asks KVM itself (KVM_GET_STATS_FD, before Linux 5.14
# debugfs), and does things whose number is known.
. "$(dirname "$0")/lib.sh"

# sum(NAME) is of all vCPUs, vms(NAME) of all VMs; kvm(NAME) is KVM's own sum over both VMs.
ask_defs='def rows(t): $watch | map(select(.scope == "total" and .table == t));
def sum($name): rows("VCPU_STATE") | map(.[$name]) | if any(. == null) then null else add end;
def vms($name): rows("VM_STATE") | map(.[$name]) | if any(. == null) then null else add end;
def kvm($name): $guest | map(select(.what == "vm") | .stats[$name] // 0) | add;
'"$(cat <<END
def counted: "exits io_exits mmio_exits signal_exits irq_window_exits nmi_window_exits halt_exits request_irq_exits
irq_exits notify_window_exits insn_emulation insn_emulation_fail hypercalls irq_injections nmi_injections req_event
host_state_reload fpu_reload l1d_flush tlb_flush invlpg pf_taken pf_fixed pf_emulate pf_spurious pf_fast pf_guest
nested_run directed_yield_attempted directed_yield_successful preemption_reported preemption_other
mmu_shadow_zapped mmu_pte_write mmu_pde_zapped mmu_flooded mmu_recycled mmu_cache_miss mmu_unsync pages_4k pages_2m
pages_1g lpages nx_lpage_splits remote_tlb_flush remote_tlb_flush_requests" | [splits("[ \n]+")];
END
)"

rm -f "$TMP/gone"
watch --vm_state || fail "kvm_watcher starts"
# One VM has chips, and says to Hyper-V who it is, where this host can do that.
chips=timer_oneshot=1
! guest_can hv_call || chips="$chips hv_call=2"
fails=
! guest_can emulate_fail || fails=emulate_fail=9
for guest in "--vms=2 --vcpus=2 cpuid=50 out=7 in=3 mmio_write=5 dirty=8 touch=20 $fails" "$chips"; do
	# shellcheck disable=SC2086
	kvm_guest --end-on="$TMP/gone" $guest >>"$TMP/guest.json" 2>>"$TMP/guest.err" &
	generators="$generators $!"
done
while test "$(grep -c '"what":"vm"' "$TMP/guest.json")" -lt 3 && kill -0 $! 2>/dev/null; do
	sleep 0.1
done
watch_end && pass "exit status 0" || fail "exit status 0" "$watch_status"
: >"$TMP/gone"
for generator in $generators; do
	holds "the generator does what it says" wait "$generator"
done

ask "a row for each VM" 3 'rows("VM_STATE") | length'
ask "a row for each vCPU" 5 'rows("VCPU_STATE") | map([.vm_id, .vcpu]) | unique | length'
ask "threads are the generator's" '$guest | map(select(.what == "vcpu").tid) | sort' \
	'rows("VCPU_STATE") | map(.tid) | sort'
ask "what a vCPU counts is what KVM counts" '[]' 'rows("VCPU_STATE")[0] | keys |
	map(select(. as $n | counted | index($n))) | map(select(sum(.) != null and sum(.) != kvm(.)) |
	"\(.): \(sum(.)), and KVM says \(kvm(.))")'
ask "what a VM counts is what KVM counts" '[]' 'rows("VM_STATE")[0] | keys |
	map(select(. as $n | counted | index($n))) | map(select(vms(.) != null and vms(.) != kvm(.)) |
	"\(.): \(vms(.)), and KVM says \(kvm(.))")'
ask_true "what KVM says is there, but what other monitors are for" '$guest | map(select(.what == "vm").stats | keys[]) |
	unique | map(select(test("halt_|max_mmu|blocking|guest_mode|exits_|pf_mmio|park|kicks") | not)) - counted == []'
ask_true "these every kernel has" '["exits", "io_exits", "mmio_exits", "insn_emulation", "l1d_flush"] |
	all(sum(.) != null)'
# kvm_pvm counts one with each interrupt that it delivers, too.
ask_where "$(test -n "$fails" && echo true || echo false)" "no KVM that gives up on an instruction" \
	"instructions that KVM could not emulate: as many as there were" 36 '($guest | map(select(.ops.emulate_fail).tid)) as $those |
	rows("VCPU_STATE") | map(select(.tid as $t | $those | index($t)).insn_emulation_fail) | add'
ask "none of them is a confidential VM" '[true, null]' 'rows("VM_STATE") | [all(has("confidential")), (map(.confidential) | unique[])]'
ask "nor does their line say so" '[true, null]' '$watch | map(select(.scope == "vm")) | [all(has("confidential")), (map(.confidential) | unique[])]'
ask "vCPUs" '[1, 2, 2]' 'rows("VM_STATE") | map(.vcpus) | sort'
ask "the log's slot logs" '[0, 1, 1]' 'rows("VM_STATE") | map(.logged_slots) | sort'
# On VMX KVM has slots of its own: 3 pages of a TSS, one of an identity map, one of the APIC.
slots='$guest | map(select(.what == "vm") | [.ram_slot, .touch_slot, .log_slot | .pages? // 0] | add) | add'
ask_range "memory is that of the slots" "$slots" "($slots) + $(test "$(vendor)" = vmx && echo 15 || echo 0)" 'vms("memory_pages")'
ask "one VM has chips" '["kernel", "none", "none"]' 'rows("VM_STATE") | map(.irqchip) | sort'
ask_where "$(guest_can hv_call && echo true || echo false)" "no Hyper-V hypercalls here" \
	"one VM says who it is" '["0x1", null, null]' 'rows("VM_STATE") | map(.guest_os) | sort | reverse'
ask "nobody debugs" '[false]' 'rows("VCPU_STATE") | map(.guest_debug) | unique'
# PAUSEs do not exit where the processor can't count them, which KVM knows.
ask_true "the VMM has switched no exits off" 'rows("VM_STATE") | all(.disabled_exits | test("^(none|PAUSE)$"))'
ask_true "what inhibits APICv has a name" 'rows("VM_STATE") | all(.apicv_inhibits |
	test("^[A-Z_0-9]+(,[A-Z_0-9]+)*$|^none$"))'
ask_where "$(test "$(vendor)" != none && echo true || echo false)" "this vendor has neither APICv nor AVIC" \
	"APICv is on where nothing inhibits it" '[]' '(rows("VM_STATE") | map({(.vm_id): .apicv_inhibits}) | add) as $why |
	rows("VCPU_STATE") | map(select(.apicv_active != null and .apicv_active != ($why[.vm_id] == "none")))'
ask_lost "nothing lost" 0 'lost | add'
answers
done_testing
