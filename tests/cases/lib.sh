# SPDX-License-Identifier: GPL-2.0-only
# What the cases share. A case is POSIX sh (dash here, busybox ash in the test
# machines), finds kvm_watcher, kvm_guest and jq in PATH, speaks TAP, and ends
# with done_testing.

tap_nr=0
tap_failed=0
TMP=$(mktemp -d)
watch_pid=
trap 'test -n "$watch_pid" && kill "$watch_pid" 2>/dev/null; rm -rf "$TMP"' EXIT
trap 'exit 130' INT TERM

# pass NAME; fail NAME [DIAGNOSTIC]; skip NAME REASON
pass()
{
	test "$stage" != run || return 0
	tap_nr=$((tap_nr + 1))
	echo "ok $tap_nr - $1"
}

fail()
{
	test "$stage" != run || return 0
	tap_nr=$((tap_nr + 1))
	tap_failed=$((tap_failed + 1))
	echo "not ok $tap_nr - $1"
	test -z "$2" || echo "$2" | sed 's/^/# /'
}

skip()
{
	test "$stage" != run || return 0
	tap_nr=$((tap_nr + 1))
	echo "ok $tap_nr - $1 # SKIP $2"
}

# is NAME EXPECTED ACTUAL: equal, and not empty
is()
{
	if test -n "$2" && test "$2" = "$3"; then
		pass "$1"
	else
		fail "$1" "expected: $2
got:      $3"
	fi
}

# holds NAME COMMAND...: the command succeeds
holds()
{
	holds_name=$1
	shift
	if "$@" >"$TMP/holds" 2>&1; then
		pass "$holds_name"
	else
		fail "$holds_name" "failed: $*
$(tail -n 5 "$TMP/holds")"
	fi
}

done_testing()
{
	echo "1..$tap_nr"
	test "$tap_failed" -eq 0
	exit
}

# What --check says is asked once, for all cases: the runner has a directory for it.
kept=${KVM_WATCHER_KEPT:-$TMP}

# needs MONITOR [KINDS]: what --check says of the monitor's needs, with these kinds of
# hook or all
needs()
{
	needs_file=$kept/check-$1-${2:-all}.json
	if ! test -s "$needs_file"; then
		kvm_watcher --check "--$1" --format=json ${2:+--hooks="$2"} 2>/dev/null |
			jq -c --arg m "$1" '.monitors[$m].needs' >"$TMP/needs.json"
		mv "$TMP/needs.json" "$needs_file"
	fi
	cat "$needs_file"
}

# missing MONITOR NEED prints why a need is missing, and is false when it is there.
missing()
{
	missing_why=$(needs "$1" | jq -r --arg n "$2" '.[] | select(.need == $n and .state == "missing") | .why')
	test -n "$missing_why" && echo "$missing_why"
}

# lacks MONITOR KINDS [NEED_PATTERN] prints the first need that these kinds of hook can't
# meet, and why; false when they can meet all (of those that match).
lacks()
{
	lacks_why=$(needs "$1" "$2" | jq -r --arg n "${3:-.}" '[.[] | select(.state == "missing" and
		(.need | test($n))) | "\(.need): \(.why)"][0] // empty')
	test -n "$lacks_why" && echo "$lacks_why"
}

# planned PART: does tests/plan.tsv have this part of the case here? The tests that follow
# are of that part, until part_ends. Without the runner everything is planned.
planned()
{
	case " ${KVM_WATCHER_PLAN-"$(basename "$0" .sh)/$1"} " in
	*" $(basename "$0" .sh)/$1 "*) test "$stage" = run || echo "#part $1" ;;
	*) return 1 ;;
	esac
}

part_ends()
{
	test "$stage" = run || echo "#part -"
}

# has_tool NAME PROGRAM: false, with a skip that names the program, where it is not; in CI, which
# installs what the tests need, that is a failure
has_tool()
{
	command -v "$2" >/dev/null && return
	if test "$CI" = true; then
		fail "$1" "there is no $2 here, and CI has to have it (make deps-ci)"
	else
		skip "$1" "there is no $2 here"
	fi
	return 1
}

# vmx, svm or none: of this host's KVM
vendor()
{
	if test -d /sys/module/kvm_intel; then
		echo vmx
	elif test -d /sys/module/kvm_amd; then
		echo svm
	else
		echo none
	fi
}

# guest_can OP: tried once on this host; prints why not when it can't
guest_can()
{
	test -s "$kept/probe.json" || kvm_guest --probe >"$kept/probe.json" 2>/dev/null
	jq -es --arg op "$1" 'map(select(.what == "probe" and .op == $op and .works)) | length > 0' \
		"$kept/probe.json" >/dev/null
}

# hist_begin EVENT KEY: has the kernel itself count kvm's EVENT by KEY; false, with the
# reason in $hist_refused, where it can't
hist_begin()
{
	if test "$stage" = ask; then
		hist_refused=$(cat "$TMP/hist_refused")
		test -z "$hist_refused"
		return
	fi
	hist_event=/sys/kernel/tracing/events/kvm/$1 hist_key=$2 hist_refused=
	if ! echo "hist:keys=$2:size=1024" 2>"$TMP/err" >"$hist_event/trigger"; then
		hist_refused="this kernel refuses a hist trigger on $1: $(cat "$TMP/err")"
	fi
	echo "$hist_refused" >"$TMP/hist_refused"
	test -z "$hist_refused"
}

# hist_end: ends that and prints "KEY COUNT" lines by key, of "{ key: 123 } hitcount: 456"
hist_end()
{
	test -z "$hist_refused" || return 1
	if test "$stage" != ask; then
		cat "$hist_event/hist" >"$TMP/hist"
		echo "!hist:keys=$hist_key:size=1024" >"$hist_event/trigger"
	fi
	sed -n "s/^{ $hist_key: *\([0-9]*\) } hitcount: *\([0-9]*\).*/\1 \2/p" "$TMP/hist" | sort -n
}

# uptime_ms: of the clock that nobody sets
uptime_ms()
{
	awk '{ printf "%d\n", $1 * 1000 }' /proc/uptime
}

# watch OPTION...: starts kvm_watcher in the background, with JSON into
# $TMP/watch.json and messages into $TMP/watch.err, and returns when it watches.
watch()
{
	test -z "$stage" || return 0
	discard='' watch_args=$*
	watch_starts "$@"
}

watch_starts()
{
	rm -f "$TMP/watch.err"
	kvm_watcher --format=json --interval=3600 "$@" >"$TMP/watch.json" 2>"$TMP/watch.err" &
	watch_pid=$!
	while ! grep -qs "watching" "$TMP/watch.err"; do
		if ! kill -0 "$watch_pid" 2>/dev/null; then
			watch_pid=
			sed 's/^/# /' "$TMP/watch.err"
			return 1
		fi
		sleep 0.1
	done
}

# watch_end: ends it as Ctrl-C would; its exit status is the function's
watch_end()
{
	case $stage in
	run) return 0 ;;
	ask)
		together_rows
		return "$watch_status"
		;;
	esac
	watch_stops
	# What is preempted proves nothing. Another time it may not be.
	for watch_try in 2 3 4; do
		case $watch_args in
		*--hooks=*) ;;
		*) break ;;
		esac
		watch_skipped=$(summary .lost.programs_skipped)
		test "${watch_skipped:-0}" != 0 || break
		echo "# --hooks: this kernel preempted a program, try $watch_try"
		# shellcheck disable=SC2086
		watch_starts $watch_args && guest_runs $guest_args || fail "after a program was preempted: again"
		watch_stops
	done
	ours
	return $watch_status
}

watch_stops()
{
	kill -INT "$watch_pid" 2>/dev/null	# with -p it may have ended by itself
	wait "$watch_pid"
	watch_status=$?
	watch_pid=
}

# ours: leaves in $TMP/watch.json what is of this case's generators, and of no process: other VMs may run on this
# host, which are not of the question. $others says whether some did: then what was lost may be theirs. In a
# machine there are none; a case that is about all events says everyone=1.
others='' everyone=''
ours()
{
	others=
	test -z "$KVM_WATCHER_MACHINE$everyone" || return
	ours_pids=$(cat "$TMP/guest.json" "$TMP"/[0-9]*.json 2>/dev/null | jq -Rnc '[inputs | fromjson? | .pid? // empty] | unique')
	for ours_file in "$TMP"/[0-9]*.json; do
		test ! -e "$ours_file" || ours_pids=$(jq -nc "$ours_pids + [$(basename "$ours_file" .json)]")
	done
	jq -c --argjson pids "$ours_pids" 'select(.pid == null or (.pid | IN($pids[])))' "$TMP/watch.json" >"$TMP/ours.json"
	if test "$(wc -l <"$TMP/ours.json")" -lt "$(wc -l <"$TMP/watch.json")" ||
	   kvm_watcher --list --format=json 2>/dev/null |
		jq -e --argjson pids "$ours_pids" 'select(.kind == "vm" and (.pid | IN($pids[]) | not))' >/dev/null; then
		others=1
	fi
	mv "$TMP/ours.json" "$TMP/watch.json"
}

# guest ARGUMENT...: runs kvm_guest, its lines into $TMP/guest.json
guest()
{
	test -z "$stage" || together_nr=$((together_nr + 1))
	if test "$stage" = ask; then
		cp "$TMP/guest.$together_nr" "$TMP/guest.json"
		test ! -e "$TMP/guest.$together_nr.failed"
		return
	fi
	guest_args=$*
	guest_runs "$@" && guest_status=0 || guest_status=1
	if test "$stage" = run; then
		cp "$TMP/guest.json" "$TMP/guest.$together_nr"
		test $guest_status = 0 || : >"$TMP/guest.$together_nr.failed"
	fi
	return $guest_status
}

guest_runs()
{
	if ! kvm_guest "$@" >"$TMP/guest.json" 2>"$TMP/guest.err"; then
		sed 's/^/# /' "$TMP/guest.err"
		return 1
	fi
}

# guest_at_gate VCPUS ARGUMENT...: a generator in the background whose vCPUs
# exist but wait for open_gate. Its pid is in $gated, its lines in $TMP/PID.json.
guest_at_gate()
{
	gate_vcpus=$1
	shift
	rm -f "$TMP/gate"
	kvm_guest --start-on="$TMP/gate" "$@" >"$TMP/gated.json" &
	gated=$!
	# shellcheck disable=SC2010
	while test "$(ls -l /proc/$gated/task/*/fd 2>/dev/null | grep -c kvm-vcpu)" -lt "$gate_vcpus" &&
	      kill -0 $gated 2>/dev/null; do
		sleep 0.05
	done
	mv "$TMP/gated.json" "$TMP/$gated.json"
}

open_gate()
{
	: >"$TMP/gate"
}

# A start of kvm_watcher takes seconds in Bochs. together FUNCTION WATCH_OPTION...: one kvm_watcher watches all
# runs of the generator that FUNCTION makes. It is called twice: first it runs the generator, and nothing is asked or
# said; then, when kvm_watcher has ended, it asks, and what would run again is given what was. Of one run there are
# the rows of its own processes, and the losses of all. One use of hist_begin at most.
stage='' together_nr=0
together()
{
	together_runs=$1
	shift
	if ! watch "$@"; then
		fail "$together_runs: kvm_watcher starts"
		return
	fi
	stage=run together_nr=0
	$together_runs
	stage=
	cat "$TMP"/guest.[0-9]* >"$TMP/guest.json"
	watch_end
	mv "$TMP/watch.json" "$TMP/together.json"
	mv "$TMP/guest.json" "$TMP/guests.json"
	stage=ask together_nr=0
	$together_runs
	stage=
	rm -f "$TMP"/guest.[0-9]*
}

# together_rows: into $TMP/watch.json those of the generator's processes, and those of none
together_rows()
{
	sed -n 's/.*"pid":\([0-9]*\).*/\1/p' "$TMP/guest.json" | sort -u | tr '\n' ' ' >"$TMP/pids"
	awk -v pids=" $(cat "$TMP/pids")" 'match($0, /"pid":[0-9]+/) {
		if (!index(pids, " " substr($0, RSTART + 6, RLENGTH - 6) " ")) next
	} { print }' "$TMP/together.json" >"$TMP/watch.json"
}

# per_vcpu MONITOR_FILTER: "tid:count" of all total rows that match, summed and sorted
per_vcpu()
{
	jq -rs 'map(select(.scope == "total" and ('"$1"'))) | group_by(.tid) |
		map("\(.[0].tid):\(map(.count) | add)") | sort | join(" ")' "$TMP/watch.json"
}

# guests JQ: "tid:N" of what the generator's vCPUs say of themselves, zero left out
guests()
{
	jq -rs 'map(select(.what == "vcpu") | {tid, n: ('"$1"' // 0)} | select(.n > 0)) |
		map("\(.tid):\(.n)") | sort | join(" ")' "$TMP/guest.json"
}

# jq takes its time to start in the machines: ask collects questions, answers puts
# them to one jq. In them $watch is what kvm_watcher wrote, $guest what the generator
# did, $file the values of the file that answers is given; per_vcpu and guests are
# what their namesakes above are; $ask_defs are the case's own definitions.
ask_defs=
ask_lib='def per_vcpu(f): $watch | map(select(.scope == "total" and (f))) | group_by(.tid) |
	map("\(.[0].tid):\(map(.count) | add)") | sort | join(" ");
def guests(f): $guest | map(select(.what == "vcpu") | {tid, n: (f // 0)} | select(.n > 0)) |
	map("\(.tid):\(.n)") | sort | join(" ");
def events(name): $watch | map(select(.scope == "event" and .name == name));
def lost: $watch[-1].lost;'

# ask NAME EXPECTED GOT: two jq expressions that must give the same, and not nothing
ask()
{
	printf '["%s", (%s | tostring), (%s | tostring)],\n' "$1" "$2" "$3" >>"$TMP/asked"
}

# ask_true NAME JQ
ask_true()
{
	ask "$1" true "$2"
}

# ask_range NAME LOW HIGH GOT: numbers, or expressions
ask_range()
{
	printf '((%s | floor) as $low | (%s | floor) as $high | (%s | floor) as $got | "\($low) to \($high)" as $range |
		["%s", $range, if $got >= $low and $got <= $high then $range else "\($got)" end]),\n' \
		"$2" "$3" "$4" "$1" >>"$TMP/asked"
}

# ask_range_where CONDITION REASON NAME LOW HIGH GOT
ask_range_where()
{
	printf 'if %s then ' "$1" >>"$TMP/asked"
	ask_range "$3" "$4" "$5" "$6"
	printf 'empty else ["%s", "# SKIP", "%s"] end,\n' "$3" "$2" >>"$TMP/asked"
}

# ask_lost NAME EXPECTED GOT: of what was lost. Where other VMs run a loss may be theirs: what the generator
# did is there, as the other questions show.
ask_lost()
{
	if test -n "$others"; then
		ask_where "(($2 | tostring) == ($3 | tostring))" "other VMs ran here, and may have lost them" "$@"
	else
		ask "$@"
	fi
}

# ask_where CONDITION REASON NAME EXPECTED GOT: a skip for that reason where the jq condition is false
ask_where()
{
	printf '(if %s then ["%s", (%s | tostring), (%s | tostring)] else ["%s", "# SKIP", "%s"] end),\n' \
		"$1" "$3" "$4" "$5" "$3" "$2" >>"$TMP/asked"
}

# answers [FILE]: of a run that was preempted nothing is asked
answers()
{
	if test -n "$discard" || test "$stage" = run; then
		rm -f "$TMP/asked"
		return
	fi
	test -s "$TMP/guest.json" || echo '{}' >"$TMP/guest.json"
	if ! jq -rn --slurpfile watch "$TMP/watch.json" --slurpfile guest "$TMP/guest.json" \
		--slurpfile file "${1:-/dev/null}" \
		"$ask_lib $ask_defs $(cat "$TMP/asked") empty | join(\"|\")" >"$TMP/answers" 2>"$TMP/err"; then
		fail "the questions can be answered" "$(cat "$TMP/err" "$TMP/asked")"
	fi
	rm "$TMP/asked"
	while IFS='|' read -r answer_name answer_expected answer_got; do
		case $answer_expected in
		"# SKIP") skip "$answer_name" "$answer_got" ;;
		*) is "$answer_name" "$answer_expected" "$answer_got" ;;
		esac
	done <"$TMP/answers"
}

# broker_of PID: the privileged process that works for it
broker_of()
{
	for broker_dir in /proc/[0-9]*; do
		grep -qs "^PPid:[[:space:]]*$1\$" "$broker_dir/status" && echo "${broker_dir#/proc/}"
	done
}

# the last line of the run
summary()
{
	tail -n 1 "$TMP/watch.json" | jq -c "$1"
}

# preempted NAME WATCH_OPTION...: true, and a skip, when --hooks forced a kind of hook that this kernel preempts: runs of
# programs are missing then, and counted.
preempted()
{
	preempted_name=$1
	shift
	test "$stage" != run || return 1
	case "$*" in
	*--hooks=*) ;;
	*) return 1 ;;
	esac
	preempted_runs=$(summary .lost.programs_skipped)
	test "${preempted_runs:-0}" -gt 0 || return 1
	skip "$preempted_name" "this kernel preempts such programs: $preempted_runs runs were skipped, and counted"
	discard=1
}

no_loss()
{
	no_loss_sum=$(summary '[.lost[]] | add')
	if test -n "$others" && test "$no_loss_sum" != 0; then
		skip "$1" "other VMs ran here, and may have lost them"
	else
		is "$1" 0 "$no_loss_sum"
	fi
}
