# SPDX-License-Identifier: GPL-2.0-only
# What -e, and all monitors together, add to the round trip of a VM exit is not more than the figures that are kept
# (make bench). Bochs' time stamp counter counts instructions: nothing here depends on how fast or busy a computer is.
. "$(dirname "$0")/lib.sh"

figures=$(dirname "$0")/../bench/figures.$KVM_WATCHER_MACHINE

# figure WHAT: of exits
figure()
{
	awk -F '\t' -v what="$1" '$1 == "exit" && $2 == what { print $3 }' "$figures"
}

# round_trip: the median of 1000 CPUID exits, in instructions
round_trip()
{
	kvm_guest --time cpuid=1000 | sed -n 's/.*"median":\([0-9]*\).*/\1/p'
}

# costs NAME WHAT OPTION...: what these options add is within some per cent of the figure
costs()
{
	cost_name=$1 cost_figure=$(figure "$2")
	shift 2
	if ! watch "$@"; then
		fail "$cost_name: kvm_watcher starts"
		return
	fi
	cost_added=$(($(round_trip) - cost_nothing))
	watch_end
	is "$cost_name: events are seen" 0 "$(summary .lost.records_full)"
	holds "$cost_name: at most $cost_more % above the $cost_figure instructions that are kept: $cost_added" \
		test "$cost_added" -gt 0 -a $((cost_added * 100)) -le $((cost_figure * (100 + cost_more)))
}

if test "$KVM_WATCHER_EMULATOR" != bochs; then
	skip "instructions of an exit" "only Bochs counts instructions"
elif ! test -s "$figures"; then
	skip "instructions of an exit" "no figures are kept for $KVM_WATCHER_MACHINE (make bench)"
else
	# Another update of the same kernel may take some instructions more or less itself.
	cost_more=5
	test "$(sed -n 's/^# kernel.//p' "$figures")" = "$(uname -r)" || cost_more=10
	cost_nothing=$(round_trip)
	costs "-e" "kvm_watcher -e" -e
	kvm_guest sleep=3000000 --timeout=3600 >/dev/null 2>&1 &
	other=$!
	# shellcheck disable=SC2010
	while test "$(ls -l /proc/$other/fd 2>/dev/null | grep -c kvm-vcpu)" -lt 1; do sleep 0.1; done
	costs "-p of another VM" "kvm_watcher -e -p OTHER" -e -p $other
	kill $other
	if test -z "$(figure "kvm_watcher, all monitors")"; then
		skip "all monitors" "no figure is kept for $KVM_WATCHER_MACHINE (make bench)"
	else
		costs "all monitors" "kvm_watcher, all monitors" -e -f -m -d -w -n -o -h -l -i -c -T --summary
	fi
fi
done_testing
