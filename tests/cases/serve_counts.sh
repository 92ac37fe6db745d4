# SPDX-License-Identifier: GPL-2.0-only
# serve and --format=prometheus count: of guests that do exactly N of a thing, what is scraped, the file for node_exporter and the
# totals of a recording of the same run are N, also for what this host's KVM does not tell (serve.sh has the rest). A VM that
# ends is shown once more.
. "$(dirname "$0")/lib.sh"

port=9909

# scrape FILE: a fresh sample
scrape()
{
	sleep 1.1
	wget -q -O "$1" "http://127.0.0.1:$port/metrics" || : >"$1"
}

# value FILE FAMILY [LABELS]: the sum of its series of $name that have these labels; none where there is none
value()
{
	awk -v family="$2{vm=\"$name\"" -v labels="$3" 'index($0, family) == 1 && (labels == "" || index($0, labels)) { sum += $NF; found = 1 }
		END { if (found) printf "%.9g\n", sum; else print "none" }' "$1"
}

starts()
{
	starts_tries=300
	while ! grep -qs "watching .* until" "$1" && test $starts_tries -gt 0; do
		starts_tries=$((starts_tries - 1))
		sleep 0.1
	done
	grep -qs "watching .* until" "$1"
}

monitors="-d -e -f -o -T -w --vm_state"
# shellcheck disable=SC2086
kvm_watcher serve --config=/dev/null $monitors --listen=127.0.0.1:$port --record="$TMP/run.zst" --record-interval=1 2>"$TMP/serve.err" &
serve_pid=$!
# shellcheck disable=SC2086
kvm_watcher $monitors --format=prometheus --output="$TMP/kvm.prom" --interval=1 2>"$TMP/file.err" &
file_pid=$!
starts "$TMP/serve.err" && pass "serve: it watches" || fail "serve: it watches" "$(cat "$TMP/serve.err")"
starts "$TMP/file.err" && pass "file: it watches" || fail "file: it watches" "$(cat "$TMP/file.err")"

# Two VMs in processes of their own, and one whose pages are logged.
kvm_guest --end-on="$TMP/end" --vms=2 --vcpus=2 --separate cpuid=31 rdmsr=13 wrmsr=41 out=53 hlt=17:1000 timer_oneshot=11 \
	touch=23 emulate_fail=3 >"$TMP/guest" 2>&1 &
guest=$!
kvm_guest --end-on="$TMP/end" cpuid=7 dirty=19 touch=5 >"$TMP/guest.dirty" 2>&1 &
guest_dirty=$!
tries=300
while test "$(cat "$TMP/guest" "$TMP/guest.dirty" | grep -c '"what":"vm"')" -lt 3 && test $tries -gt 0; do
	tries=$((tries - 1))
	sleep 0.1
done
scrape "$TMP/scraped"
# The file is replaced each second.
sleep 1
cp "$TMP/kvm.prom" "$TMP/file"

touch "$TMP/end"
holds "the generator does what it says" wait $guest
holds "so does the other one" wait $guest_dirty
scrape "$TMP/once"
scrape "$TMP/gone"
kill -INT $serve_pid $file_pid
wait $serve_pid && pass "serve: exit status 0" || fail "serve: exit status 0" "$(tail -3 "$TMP/serve.err")"
wait $file_pid
is "file: exit status" 0 $?
kvm_watcher replay "$TMP/run.zst" --format=json >"$TMP/total.json" 2>"$TMP/replay.err" || fail "it is replayed" "$(cat "$TMP/replay.err")"
jq -c 'select(.scope == "total")' "$TMP/total.json" >"$TMP/totals"

# reason NAME: of this vendor
reason()
{
	case $(vendor).$1 in
	svm.msr | svm.cpuid | svm.io | svm.hlt) echo "$1" ;;
	vmx.cpuid) echo CPUID ;;
	vmx.io) echo IO_INSTRUCTION ;;
	vmx.hlt) echo HLT ;;
	esac
}

# counts NAME N FAMILY LABELS TABLE COLUMN CONDITION: the series of the VM and the total, for scrape, file and JSON
counts()
{
	is "$pid: $1: scraped" "$2" "$(value "$TMP/scraped" "$3" "$4")"
	is "$pid: $1: in the file" "$2" "$(value "$TMP/file" "$3" "$4")"
	is "$pid: $1: the total of the recording" "$2" "$(jq -s --argjson pid "$pid" "[.[] | select(.table == \"$5\" and .pid == \$pid and
		($7)) | .$6] | add // \"none\"" "$TMP/totals")"
}

# same NAME FAMILY LABELS TABLE COLUMN CONDITION: what the generator can't foretell is the same number in all three
same()
{
	same_total=$(jq -s --argjson pid "$pid" "[.[] | select(.table == \"$4\" and .pid == \$pid and ($6)) | .$5] | add" "$TMP/totals")
	is "$pid: $1: scraped, as the total" "$same_total" "$(value "$TMP/scraped" "$2" "$3")"
}

for pid in $(jq -r 'select(.what == "vm") | .pid' "$TMP/guest"); do
	name=$(sed -n "s/^kvm_vm_info{vm=\"\([^\"]*\)\",pid=\"$pid\".*/\1/p" "$TMP/scraped")
	test -n "$name" && pass "$pid: it is shown" || fail "$pid: it is shown" "$(grep vm_info "$TMP/scraped")"
	is "$pid: by the same name in the file" "$name" \
		"$(sed -n "s/^kvm_vm_info{vm=\"\([^\"]*\)\",pid=\"$pid\".*/\1/p" "$TMP/file")"
	counts "CPUID" 62 kvm_exits_total "to=\"kvm\",reason=\"$(reason cpuid)\"" KVM_EXIT count ".reason == \"$(reason cpuid)\""
	if test "$(vendor)" = svm; then
		counts "MSRs, read and written" 108 kvm_exits_total 'to="kvm",reason="msr"' KVM_EXIT count '.reason == "msr"'
	else
		counts "MSRs read" 26 kvm_exits_total 'to="kvm",reason="MSR_READ"' KVM_EXIT count '.reason == "MSR_READ"'
		counts "MSRs written" 82 kvm_exits_total 'to="kvm",reason="MSR_WRITE"' KVM_EXIT count '.reason == "MSR_WRITE"'
	fi
	user=$(jq -s --argjson pid "$pid" '[.[] | select(.what == "vcpu" and .pid == $pid) | .user_exits.IO] | add' "$TMP/guest")
	counts "ports, to user space" "$user" kvm_exits_total 'to="userspace",reason="IO"' KVM_USERSPACE_EXIT count '.reason == "IO"'
	halts=$(jq -s --argjson pid "$pid" '[.[] | select(.what == "vm" and .pid == $pid) | .stats.halt_exits] | add' "$TMP/guest")
	counts "halts, as KVM counted" "$halts" kvm_exits_total 'halt="true"' KVM_EXIT count '.class == "halt"'
	test "$halts" -ge 34 && pass "$pid: of which 34 are asked for" || fail "$pid: of which 34 are asked for" "$halts"
	counts "instructions that KVM could not emulate" 6 kvm_stat_emulation_failures_total "" VCPU_STATE insn_emulation_fail true
	counts "each of them, to user space" 6 kvm_exits_total 'to="userspace",reason="INTERNAL_ERROR"' KVM_USERSPACE_EXIT count \
		'.reason == "INTERNAL_ERROR"'
	counts "timers" 22 kvm_timer_fired_total 'mode="ONESHOT"' KVM_TIMER fired '.mode == "ONESHOT"'
	counts "exits, as KVM counted" "$(jq -s --argjson pid "$pid" '[.[] | select(.what == "vm" and .pid == $pid) | .stats.exits] | add' \
		"$TMP/guest")" kvm_vcpu_exits_total "" VCPU_STATE exits true
	same "halts that slept" kvm_halts_total 'how="wait"' HALTS waited true
	same "loads" kvm_vcpu_loads_total "" VCPU_LOAD count true
done

pid=$(jq -r 'select(.what == "vm") | .pid' "$TMP/guest.dirty")
name=$(sed -n "s/^kvm_vm_info{vm=\"\([^\"]*\)\",pid=\"$pid\".*/\1/p" "$TMP/scraped")
counts "dirty pages" 19 kvm_dirtied_pages_total "" DIRTY_SLOTS dirtied true
counts "CPUID" 7 kvm_exits_total "to=\"kvm\",reason=\"$(reason cpuid)\"" KVM_EXIT count ".reason == \"$(reason cpuid)\""

# What a VM had when it ended is there once more, and then nothing of it.
exits_before=$(value "$TMP/scraped" kvm_vcpu_exits_total)
is "a VM that ended is shown once more" "$exits_before" "$(value "$TMP/once" kvm_vcpu_exits_total)"
is "and then no more" 0 "$(grep -c 'vm="' "$TMP/gone")"
is "nothing was lost" 0 "$(awk '/^kvm_watcher_lost_events_total/ { sum += $NF } END { print sum + 0 }' "$TMP/gone")"
done_testing
