#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The test runner: unit tests, the cases on this machine, and the cases inside test machines.
#
#	tests/run.sh unit native 6.1-svm 6.1-vmx
#
# Everything speaks TAP. A skip never counts as a pass, and a case that ends early, whose plan does not
# fit, that tests nothing or that exits with a status of its own counts as a failure.
#
# A case that failed is run again, once, after the others: the machines are emulated, their time is that
# of a host that has other work. What failed then too has failed; what did not is listed as unsteady, and
# when more than one test in 200 is, the run has failed.
set -u

top=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
machine=$top/tests/machine/machine
cd "$top" || exit 2

usage() {
	cat <<-'END'
		usage: tests/run.sh [OPTION...] GROUP...

		GROUP is unit (build/tests/unit/test_*), native (tests/cases/*.sh on this machine) or the
		name of a test machine (tests/cases/*.sh in it, in one boot): tests/machine/machine list

		  --case=PATTERN     only the cases and unit tests whose name matches (a shell pattern)
		  --quick            in the slow machines (Bochs) without single kinds of hook and Linux guests
		  --jobs=N           so many machines at a time (1)
		  --grid             end with a table of tests and machines
		  --kernel=VMLINUZ   boot this kernel in the machines ...
		  --modules=DIR      ... with the modules of this /lib/modules/RELEASE
	END
}

fail() {
	printf 'run.sh: %s\n' "$*" >&2
	exit 2
}

parse_options() {
	groups=() jobs=1 grid='' quick='' pattern='*' machine_options=()
	while [ $# -gt 0 ]; do
		case $1 in
		--case=*) pattern=${1#*=} ;;
		--jobs=*) jobs=${1#*=} ;;
		--grid) grid=1 ;;
		--quick) quick=1 ;;
		--kernel=* | --modules=*) machine_options+=("$1") ;;
		-h | --help) usage; exit 0 ;;
		-*) fail "unknown option $1" ;;
		*) groups+=("$1") ;;
		esac
		shift
	done
	[ ${#groups[@]} -gt 0 ] || { usage >&2; exit 2; }
	[[ $jobs =~ ^[1-9][0-9]*$ ]] || fail "--jobs wants a number"
}

# check_groups: are there such groups, and what they need?
check_groups() {
	local group names
	names=$("$machine" list)
	for group in "${groups[@]}"; do
		[ "$group" = unit ] && continue
		[ -x "$top/kvm_watcher" ] || fail "there is no ./kvm_watcher: run make first"
		[ "$group" = native ] || grep -qxF -e "$group" <<<"$names" || fail "there is no group $group"
	done
}

# programs_of GROUP: the names of its cases or unit tests that --case selects.
programs_of() {
	local file name
	for file in $(if [ "$1" = unit ]; then echo build/tests/unit/test_*; else echo tests/cases/*.sh; fi); do
		name=$(basename "$file" .sh)
		[ "$name" = lib ] && continue
		[ -f "$file" ] || continue
		[ "$1" != unit ] || [[ $name != *.* && -x $file ]] || continue
		# shellcheck disable=SC2053
		[[ $name == $pattern ]] && echo "$name"
	done
}

# The script that runs the cases named by its arguments; dash, bash and busybox's ash run it.
# shellcheck disable=SC2016
case_driver='limit=$1 KVM_WATCHER_QUICK=$2 again=; shift 2
export KVM_WATCHER_QUICK
run() {
	timeout "$limit" sh "tests/cases/$1.sh" </dev/null 2>&1
	status=$?
	echo
	echo "@@end $status"
	return $status
}
for name; do
	echo "@@case $name"
	run "$name" || again="$again $name"
done
for name in $again; do
	echo "@@again $name"
	run "$name"
done
exit 0'
# shellcheck disable=SC2016
unit_driver='limit=$1; shift
for name; do
	echo "@@case $name"
	timeout "$limit" "build/tests/unit/$name" </dev/null 2>&1
	status=$?
	echo
	echo "@@end $status"
done'

# needs_linux_guest NAME...: does one of these cases start one?
needs_linux_guest() {
	local name
	for name; do grep -q start-linux-guest "tests/cases/$name.sh" && return; done
	return 1
}

# launch GROUP NAME...: become the process that prints the group's TAP.
launch() {
	local group=$1 quick=$quick
	shift
	case $group in
	unit)
		export CMOCKA_MESSAGE_OUTPUT=TAP ASAN_OPTIONS=detect_leaks=1
		exec setsid bash -c "$unit_driver" unit 120 "$@"
		;;
	native)
		export PATH=$top:$top/build/tests:$PATH
		exec setsid sh -c "$case_driver" native 120 "" "$@"
		;;
	esac
	local files=(--file=kvm_watcher:/usr/local/bin/kvm_watcher:755 --tree=tests/cases:/work/tests/cases --tree=tests/bench:/work/tests/bench)
	[ -x build/tests/kvm_guest ] && files+=(--file=build/tests/kvm_guest:/usr/local/bin/kvm_guest:755)
	[ -x build/tests/with_caps ] && files+=(--file=build/tests/with_caps:/usr/local/bin/with_caps:755)
	# Seconds of the machine: a busy one in Bochs takes longer.
	local limit=300
	if [[ $group == *-vmx ]]; then limit=600; else quick=''; fi
	# A Linux guest in a guest: some twenty seconds in QEMU, a few minutes in Bochs.
	if [ -z "$quick" ] && needs_linux_guest "$@"; then files+=(--qemu); fi
	exec "$machine" run "$group" "${machine_options[@]}" "${files[@]}" -- sh -c "$case_driver" "$group" "$limit" "$quick" "$@"
}

# record VERDICT NAME [DETAIL]: note a result and show it. Verdicts are passed, failed and skipped.
record() {
	printf '%s\t%s\t%s\t%s\n' "$1" "$group" "$current: $2" "${3:-}" >>"$results.case"
	local text=$1
	[ "$1" = failed ] && text=FAILED
	printf '%-8s %-8s %s%s\n' "$group" "$text" "$current: $2" "${3:+ ($3)}"
}

# diagnose LINE: a line that belongs to a failure.
diagnose() {
	printf 'detail\t%s\t%s\n' "$group" "$1" >>"$results.case"
}

# case_begins NAME TRY
case_begins() {
	current=$1 try=$2 plan='' tests=0 failures=0 after_failure='' pending=()
	: >"$results.case"
	[ "$try" = 1 ] || printf '%-8s again    %s\n' "$group" "$current"
}

# keep_case: what was recorded of this case becomes a result, but what failed in the first of two tries only
# is unsteady.
keep_case() {
	if [ "$try" = 1 ] && [ "$failures" -gt 0 ] && [ "$group" != unit ]; then
		mv "$results.case" "$results.first.$current"
		return
	fi
	[ "$try" = 1 ] || [ "$failures" -gt 0 ] ||
		sed -n 's/^\(failed\|detail\)\t/unsteady-&/p' "$results.first.$current" >>"$results"
	rm -f "$results.first.$current"
	cat "$results.case" >>"$results"
}

# test_result LINE: an `ok` or `not ok` line.
test_result() {
	local line=$1 name reason line_before
	name=$(sed -E 's/^(not )?ok *[0-9]* *(- *)?//' <<<"$line")
	tests=$((tests + 1))
	if [[ $line == not\ ok* ]]; then
		failures=$((failures + 1))
		record failed "$name"
		for line_before in "${pending[@]}"; do diagnose "$line_before"; done
		after_failure=1
	elif [[ $name =~ ^(.*[^ ])?\ *\#\ *[Ss][Kk][Ii][Pp](.*)$ ]]; then
		name=${BASH_REMATCH[1]} reason=${BASH_REMATCH[2]# }
		# cmocka has the name where the reason belongs.
		[ -n "$name" ] || { name=$reason; reason='skipped by the test'; }
		record skipped "$name" "${reason:-no reason given}"
		after_failure=''
	else
		record passed "$name"
		after_failure=''
	fi
	pending=()
}

# case_ends STATUS: judge the whole case.
case_ends() {
	local before=$failures
	if [ "$plan" = 0 ] && [ "$tests" = 0 ]; then
		record skipped 'everything' "${plan_reason:-no reason given}"
		tests=1
	elif [ -z "$plan" ]; then
		record failed 'ended without its plan'
		failures=$((failures + 1))
	elif [ "$plan" != "$tests" ]; then
		record failed "planned $plan tests and ran $tests"
		failures=$((failures + 1))
	fi
	# A status that only repeats the failed tests is no further failure.
	[ "$1" = 0 ] || [ "$failures" -gt 0 ] || { record failed "exit status $1"; failures=$((failures + 1)); }
	if [ "$failures" != "$before" ]; then
		[ "$1" = 0 ] || diagnose "# exit status $1"
		for line in "${pending[@]}"; do diagnose "$line"; done
	fi
	keep_case
	finished="$finished $current "
	current=''
}

# read_line LINE: one line of the TAP stream.
read_line() {
	case $1 in
	'@@case '*) case_begins "${1#@@case }" 1 ;;
	'@@again '*) case_begins "${1#@@again }" 2 ;;
	'@@end '*) [ -n "$current" ] && case_ends "${1#@@end }" ;;
	'ok '* | 'not ok '* | ok | 'not ok') [ -n "$current" ] && test_result "$1" ;;
	[0-9]*..[0-9]*)
		[[ $1 =~ ^1\.\.([0-9]+)(\ *\#\ *[Ss][Kk][Ii][Pp]\ *(.*))?$ ]] || return 0
		# A unit test may hold several groups, each with its plan.
		plan=$((${plan:-0} + BASH_REMATCH[1])) plan_reason=${BASH_REMATCH[3]}
		;;
	'') ;;
	*) if [ -n "${after_failure:-}" ]; then diagnose "$1"; else pending+=("$1"); fi ;;
	esac
}

# run_group GROUP: its results go to $results.
run_group() {
	local group=$1 names name source_pid status line current='' finished='' started=$SECONDS
	local plan='' plan_reason='' tests=0 failures=0 after_failure='' pending=() tries=0 try=1
	results=$work/results.$group
	: >"$results"
	mapfile -t names < <(programs_of "$group")
	if [ ${#names[@]} = 0 ]; then
		# Nothing there is a failure; nothing that --case selects is none.
		[ "$pattern" = '*' ] || return 0
		case_begins "$group" 1
		record failed 'there is nothing to run'
		cat "$results.case" >>"$results"
		return
	fi
	printf '%-8s starts: %s files\n' "$group" "${#names[@]}"
	while :; do
		exec 4< <(launch "$group" "${names[@]}")
		source_pid=$!
		# shellcheck disable=SC2064
		trap "stop_source $source_pid $group; exit 143" TERM
		while IFS= read -r line <&4 || [ -n "$line" ]; do read_line "$line"; done
		wait "$source_pid"
		status=$?
		trap - TERM
		tries=$((tries + 1))
		# Not the tested kernel's fault, and not kvm_watcher's: the whole group again, in a new machine.
		if [ "$status" != 126 ] || [ "$tries" -ge 3 ]; then break; fi
		printf '%-8s this machine died, and by all signs of its emulator: all of it again\n' "$group"
		: >"$results"
		rm -f "$results.first."*
		finished='' current=''
	done
	close_group "$status" "${names[@]}"
	printf '%-8s %s in %s s\n' "$group" "$(totals "$results")" $((SECONDS - started))
}

# close_group STATUS NAME...: what did not end, or did not start at all, failed.
close_group() {
	local status=$1 open=$current why line
	shift
	why="the machine ended early with status $status"
	# Of a case that it was about to run again the first try counts.
	cat "$results.first."* >>"$results" 2>/dev/null
	for name; do
		[[ $finished == *" $name "* ]] && continue
		if [ "$name" = "$open" ]; then
			record failed "did not end" "$why"
			for line in "${pending[@]}"; do diagnose "$line"; done
		else
			case_begins "$name" 1
			record failed "was not run" "$why"
		fi
		cat "$results.case" >>"$results"
	done
	# All cases ended and yet the machine did not: a kernel that complained, say.
	if [ "$status" != 0 ] && [ -z "$open" ] && [[ $finished == *" ${!#} "* ]]; then
		case_begins "$group" 1
		record failed "ended with status $status after its cases"
		cat "$results.case" >>"$results"
	fi
}

# stop_source PID GROUP: end what launch became, with all it started.
stop_source() {
	case $2 in
	unit | native) pkill -TERM -s "$1" ;;
	*) kill -TERM "$1" ;;
	esac 2>/dev/null
	wait "$1" 2>/dev/null
}

# totals FILE...: "N passed, N failed, N skipped".
totals() {
	cat "$@" | awk -F '\t' '{ n[$1]++ } END { printf "%d passed, %d failed, %d skipped\n", n["passed"], n["failed"], n["skipped"] }'
}

# memory_jobs: how many machines the memory allows, at most $jobs.
memory_jobs() {
	local most
	most=$(awk '/^MemAvailable:/ { print int($2 / 1024 / 2000) }' /proc/meminfo)
	[ "${most:-1}" -ge 1 ] || most=1
	if [ "$jobs" -lt "$most" ]; then echo "$jobs"; else echo "$most"; fi
}

# run_groups: unit and native alone, the machines so many at a time.
run_groups() {
	local group running=0 most
	most=$(memory_jobs)
	for group in "${groups[@]}"; do
		if [ "$group" = unit ] || [ "$group" = native ]; then
			run_group "$group" &
			wait $!
			continue
		fi
		if [ $running -ge "$most" ]; then
			wait -n
			running=$((running - 1))
		fi
		run_group "$group" &
		running=$((running + 1))
	done
	wait
}

# print_skips, print_details, print_names: the lists at the end. They read the results of all groups.
print_skips() {
	awk -F '\t' '$1 == "skipped" { if (!n++) print "\nskipped:"; printf "  %-8s %s: %s\n", $2, $3, $4 }' "$@"
}

# print_details VERDICT-PREFIX TITLE FILE...
print_details() {
	local prefix=$1 title=$2
	shift 2
	awk -F '\t' -v prefix="$prefix" -v title="$title" '
		$1 == prefix "failed" { if (!n++) print "\n" title; printf "  %-8s %s%s\n", $2, $3, $4 == "" ? "" : " (" $4 ")" }
		$1 == prefix "detail" { sub(/^[^\t]*\t[^\t]*\t/, ""); print "           " $0 }' "$@"
}

# print_names: what failed, a line each, where whoever sees the last lines only sees them
print_names() {
	awk -F '\t' '
		$1 == "failed" { if (!n++) print "\nfailed:"; printf "  %-8s %s\n", $2, $3 }
		$1 == "unsteady-failed" { unsteady[++m] = sprintf("  %-8s %s", $2, $3) }
		END {
			if (m) print "\nunsteady, failed once and passed when the case was run again:"
			for (i = 1; i <= m; i++) print unsteady[i]
		}' "$@"
}

# print_grid: a row for each test, a column for each machine.
print_grid() {
	awk -F '\t' '
		$1 !~ /^(passed|failed|skipped)$/ { next }
		!($2 in column) { column[$2] = ++columns; head[columns] = $2 }
		!($3 in row) { row[$3] = ++rows; title[rows] = $3; if (length($3) > width) width = length($3) }
		{ text = $1 == "failed" ? "FAILED" : $1 == "skipped" ? "n.a." : $1; cell[row[$3], column[$2]] = text }
		END {
			printf "\n%-" width "s", "test"
			for (c = 1; c <= columns; c++) printf "  %-8s", head[c]
			print ""
			for (r = 1; r <= rows; r++) {
				printf "%-" width "s", title[r]
				for (c = 1; c <= columns; c++) printf "  %-8s", (r, c) in cell ? cell[r, c] : "-"
				print ""
			}
		}' "$@"
}

# stop SIGNAL-STATUS: end all groups and wait for them to clean up.
stop() {
	trap '' INT TERM
	local pid
	for pid in $(jobs -p); do kill -TERM "$pid" 2>/dev/null; done
	wait
	rm -rf "$work"
	echo "run.sh: stopped" >&2
	exit "$1"
}

main() {
	local group files=()
	parse_options "$@"
	check_groups
	work=$(mktemp -d "${TMPDIR:-/tmp}/kvm-tests.XXXXXX") || exit 2
	trap 'rm -rf "$work"' EXIT
	trap 'stop 130' INT
	trap 'stop 143' TERM HUP
	[ -x kvm_watcher ] && echo "kvm_watcher sha256 $(sha256sum <kvm_watcher | cut -d ' ' -f 1)"
	run_groups
	for group in "${groups[@]}"; do files+=("$work/results.$group"); done
	[ -z "$grid" ] || print_grid "${files[@]}"
	print_skips "${files[@]}"
	print_details unsteady- 'unsteady, in detail:' "${files[@]}"
	print_details '' 'failed, in detail:' "${files[@]}"
	print_names "${files[@]}"
	echo
	totals "${files[@]}"
	awk -F '\t' '{ n[$1]++ } END {
		if (n["unsteady-failed"] * 200 > n["passed"]) { print "too many of them are unsteady: that is a failure"; exit 1 }
		exit !(n["failed"] == 0 && n["passed"] > 0)
	}' "${files[@]}"
}

main "$@"
