# SPDX-License-Identifier: GPL-2.0-only
# diagnose, live: the second pass has what the first one left open, and finds the same as all at once; a VM that does
# nothing needs no second look, and is well although this host may tell little; a baseline knows what was there before.
. "$(dirname "$0")/lib.sh"

no_exits=$(missing vm_exit kvm_exit)

# of ARGUMENT...: a generator, in $pid, until ends
of()
{
	kvm_guest --timeout=200 "$@" >/dev/null 2>&1 &
	pid=$!
	sleep 0.5
}

# Long stays in the VMM, for a minute; on a busy host what is between them takes longer, and stays do not. A test
# machine attaches for some ten seconds before each pass.
of_stays()
{
	# shellcheck disable=SC2046
	of $(printf 'sleep=1800 spin=100 %.0s' 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 \
		17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32)
}

ends()
{
	kill $pid 2>/dev/null
	wait $pid 2>/dev/null
}

# diagnosed OPTION...: of $pid; $code, and what it says
diagnosed()
{
	kvm_watcher diagnose -p $pid --after=0 -t 5 --format=json "$@" >"$TMP/rows" 2>"$TMP/err"
	code=$?
}

passes()
{
	jq -rs 'map(select(.scope == "start") | .passes) | tostring' "$TMP/rows"
}

# state RULE
state()
{
	jq -rs --arg rule "$1" 'map(select(.table == "DIAGNOSIS" and .rule == $rule) | .state) | unique | join(" ")' "$TMP/rows"
}

# Findings that are of what this VM does; who takes its CPU is another question, and true on a busy host.
found()
{
	jq -rs 'map(select(.table == "DIAGNOSIS" and .state == "finding" and (.rule | test("^steal-|^observer|^helper-") | not)) |
		.rule) | unique | join(" ")' "$TMP/rows"
}

said()
{
	tail -n 3 "$TMP/err"
}

if planned quiet; then
	of hlt=2000:100000
	diagnosed --fail-on=vmm-slow,cpuid-loop,msr-to-vmm,kick-storm,pio-device
	is "a VM that halts: nothing is undecided" 0 $code
	is "nothing is found" "nothing" "$(found | sed 's/^$/nothing/')"
	is "what can't be seen passes, since nothing takes time" pass "$(state cpuid-loop)"
	diagnosed --fail-on=vm-crashes
	is "what claims no time is judged by what this host tells" 0 $code
	ends
	part_ends
fi

if planned second; then
	# Only the second pass has ioctls, which tell kicks from a migration.
	of_stays
	diagnosed
	is "long stays in the VMM: two passes" "[2]" "$(passes)"
	holds "it is said what the first saw: $(said)" grep -q "first pass, 5 s: .*above 5 %; second pass, 5 s" "$TMP/err"
	is "they are found" vmm-slow "$(found)"
	is "the second pass had ioctls" pass "$(state kick-storm)"
	ends
	of_stays
	diagnosed --all
	is "all at once: no passes" "[null]" "$(passes)"
	is "the same is found" vmm-slow "$(found)"
	ends
	if test -z "$no_exits"; then
		of out=1000000000:0x3f8
		diagnosed
		is "a serial console all the time: two passes" "[2]" "$(passes)"
		is "the second pass has details of exits" pio-device "$(found)"
		is "and names the device" "the serial port COM1" \
			"$(jq -r 'select(.rule == "pio-device" and .state == "finding") | .object' "$TMP/rows")"
		ends
	else
		of spin=1000000
		diagnosed --fail-on=cpuid-loop
		is "KVM's time is not told from the guest's: undecided" 4 $code
		diagnosed --fail-on=cpuid-loop --undecided=pass
		is "unless that is to pass" 0 $code
		ends
	fi
	part_ends
fi

if planned baseline; then
	of_stays
	diagnosed --record="$TMP/before.zst" --force --fail-on=vmm-slow
	is "before: a finding" 3 $code
	is "a recording is of all at once" "[null]" "$(passes)"
	ends
	kvm_watcher diagnose "$TMP/before.zst" --width=40 >"$TMP/out" 2>/dev/null
	is "40 columns: nothing is wider but commands to paste, and the account has its greatest column" "0 1" \
		"$(awk 'wide && !/^            \(/ { n++ } { wide = length > 40 } END { print n + 0 }' "$TMP/out") $(
			grep -c '^VM  *PID VCPU STEAL' "$TMP/out")"
	of_stays
	diagnosed --baseline="$TMP/before.zst" --fail-on=vmm-slow
	is "a baseline knows it" 0 $code
	is "it is shown as known" "finding true" \
		"$(jq -rs 'map(select(.rule == "vmm-slow" and .state == "finding") | "\(.state) \(.known)") | unique | join(" ")' "$TMP/rows")"
	kvm_watcher diagnose "$TMP/before.zst" --after=0 --fail-on=vmm-slow --baseline="$TMP/before.zst" >"$TMP/text" 2>"$TMP/err"
	is "a recording against itself: 0" 0 $?
	holds "the first line counts it" grep -q "^[0-9]* finding.* ([0-9]* known)" "$TMP/text"
	ends
	of hlt=2000:100000
	diagnosed --record="$TMP/well.zst" --force
	ends
	of_stays
	diagnosed --baseline="$TMP/well.zst" --fail-on=vmm-slow
	is "what a baseline does not have is new" 3 $code
	diagnosed --baseline="$TMP/nothing" --fail-on=vmm-slow
	is "a baseline that is not there: 1" 1 $code
	ends
	part_ends
fi

if planned cost; then
	of spin=100000
	kvm_watcher diagnose -p $pid --after=0 -t 5 --self-cost >"$TMP/text" 2>"$TMP/err"
	tr '\n' ' ' <"$TMP/text" | tr -s ' ' >"$TMP/line"
	holds "what watching took, and its programs" \
		grep -q "COST watching took [0-9.]* % of a CPU; its BPF programs ran [0-9]* times, [0-9]* ns each" "$TMP/line"
	is "no line but a command is longer than 80" 0 "$(awk 'length > 80' "$TMP/text" | grep -c -v "^            ")"
	ends
	part_ends
fi
done_testing
