#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The test runner: unit tests, the cases on this machine, and the cases inside test machines.
#
#	tests/run.sh unit native 6.1-svm 6.1-vmx
#
# Everything speaks TAP. A skip never counts as a pass, and a case that ends early, whose plan does not
# fit, that tests nothing or that exits with a status of its own counts as a failure.
#
# tests/plan.tsv says which cases and parts of cases run where, and why not everywhere.
#
# A case that failed is run again, once, after the others: the machines are emulated, their time is that
# of a host that has other work. What failed then too has failed; what did not is listed as unsteady, and
# when more than one test in 200 is, the run has failed.
set -u

top=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
machine=$top/tests/machine/machine
plan_file=$top/tests/plan.tsv
kept_file=$top/docs/test-machines.md
cd "$top" || exit 2

usage() {
	cat <<-'END'
		usage: tests/run.sh [OPTION...] GROUP...

		GROUP is unit (build/tests/unit/test_*), native (tests/cases/*.sh on this machine) or the
		name of a test machine (tests/cases/*.sh in it, in one boot): tests/machine/machine list

		  --case=PATTERN     only the cases and unit tests whose name matches (a shell pattern)
		  --quick            in the slow machines (Bochs) without single kinds of hook and Linux guests
		  --everything       all cases and all their parts, whatever tests/plan.tsv says
		  --jobs=N           so many machines at a time (1); native counts as one
		  --grid             end with a table of tests and machines
		  --keep-times       write the times that were taken into docs/test-machines.md
		  --kernel=VMLINUZ   boot this kernel in the machines ...
		  --modules=DIR      ... with the modules of this /lib/modules/RELEASE
		  --kernels=DIR      further groups, NAME-svm and NAME-vmx, for each kernel in DIR that has its modules:
		                     DIR/NAME/ (an unpacked package, say), or DIR/vmlinuz-NAME and /lib/modules/NAME;
		                     with --kernels no other group has to be named
	END
}

fail() {
	printf 'run.sh: %s\n' "$*" >&2
	exit 2
}

# Of the groups of --kernels: the machine whose emulator, processor and plan they have; its options.
declare -A machine_of=() kernel_of=()

# add_kernel NAME VMLINUZ MODULES: a group for each vendor.
add_kernel() {
	local vendor
	for vendor in svm vmx; do
		machine_of[$1-$vendor]=6.1-$vendor
		kernel_of[$1-$vendor]=$2$'\n'$3
		groups+=("$1-$vendor")
	done
	echo "$1: $2 with the modules in $3"
}

# modules_in DIR: the first directory in it that modules lie in.
modules_in() {
	find -L "$1" -maxdepth 6 \( -name kernel -type d -path '*/modules/*' -o -name modules.builtin \) -printf '%h\n' 2>/dev/null | head -n 1
}

# find_kernels DIR: its kernels become groups.
find_kernels() {
	local entry name image modules before=${#groups[@]}
	[ -d "$1" ] || fail "--kernels: $1 is no directory"
	for entry in "${1%/}"/*; do
		name=$(basename "$entry")
		[ "$name" != lib ] || continue
		if [ -d "$entry" ]; then
			image=$(find -L "$entry" -maxdepth 4 -name 'vmlinuz*' -type f 2>/dev/null | sort | head -n 1)
			modules=$(modules_in "$entry/")
			[ -z "$image" ] && [ -z "$modules" ] && continue
		else
			[[ $name == vmlinuz-* ]] || continue
			name=${name#vmlinuz-} image=$entry modules=''
			for modules in "$1/lib/modules/$name" "$1/modules-$name" "/lib/modules/$name" ''; do
				[ -d "$modules" ] && break
			done
		fi
		if [ -n "$image" ] && [ -n "$modules" ]; then
			add_kernel "$name" "$image" "$modules"
		else
			echo "$name: left out, as it has no ${image:+modules}${modules:+vmlinuz}"
		fi
	done
	[ ${#groups[@]} -gt "$before" ] || fail "--kernels: there is no kernel with its modules in $1"
}

parse_options() {
	groups=() jobs=1 grid='' quick='' everything='' keep='' pattern='*' machine_options=()
	while [ $# -gt 0 ]; do
		case $1 in
		--case=*) pattern=${1#*=} ;;
		--jobs=*) jobs=${1#*=} ;;
		--grid) grid=1 ;;
		--quick) quick=1 ;;
		--everything) everything=1 ;;
		--keep-times) keep=1 ;;
		--kernel=* | --modules=*) machine_options+=("$1") ;;
		--kernels=*) find_kernels "${1#*=}" ;;
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
		[ "$group" = native ] || [ -n "${machine_of[$group]:-}" ] || grep -qxF -e "$group" <<<"$names" || fail "there is no group $group"
	done
}

# check_plan: does each case and each part of one have its line in the plan, each line its case and its part, and
# each pattern its machine?
check_plan() {
	local names wrong
	names=$(echo native && "$machine" list)
	wrong=$(
		for file in tests/cases/*.sh; do
			name=$(basename "$file" .sh)
			[[ $name == lib* ]] && continue
			printf 'part\t%s\t-\n' "$name"
			sed -nE "s/^[^#]*\\bplanned ([a-z0-9_]+).*/part\t$name\t\1/p" "$file" | sort -u
		done | awk -F '\t' -v names="$names" '
			function matches(pattern,    i, n, all) {
				gsub(/[.]/, "[.]", pattern)
				gsub(/[*]/, ".*", pattern)
				n = split(names, all, "\n")
				for (i = 1; i <= n; i++) if (all[i] ~ "^" pattern "$") return 1
				return 0
			}
			FNR == NR { there[$2 "\t" $3] = 1; next }
			/^#/ { next }
			NF != 4 || $3 == "" || $4 == "" { print "line " FNR " has not case, part, where and why"; next }
			listed[$1 "\t" $2]++ { print $1 ", part " $2 ": two lines" }
			!($1 "\t" $2 in there) { print $1 ", part " $2 ": there is none" }
			{
				n = split($3, patterns, " ")
				for (i = 1; i <= n; i++)
					if (!matches(patterns[i])) print $1 ", part " $2 ": no machine is called " patterns[i]
			}
			END {
				for (key in there) if (!(key in listed)) { split(key, k, "\t"); print k[1] ", part " k[2] ": no line" }
			}' - "$plan_file"
	)
	[ -z "$wrong" ] || fail "tests/plan.tsv: $wrong"
}

# plan_of GROUP: "case/part" of what the plan has for it.
plan_of() {
	local group=${machine_of[$1]:-$1} name part where pattern
	set -f
	while IFS=$'\t' read -r name part where _; do
		[[ $name != \#* ]] || continue
		[ -z "$everything" ] || where='*'
		if [[ $quick && $group == *-vmx ]] && { [ "$part" = vendor_kinds ] || [[ $name == *_linux_guest ]]; }; then
			continue
		fi
		for pattern in $where; do
			# shellcheck disable=SC2053
			[[ $group == $pattern ]] && echo "$name/$part" && break
		done
	done <"$plan_file"
	set +f
}

# programs_of GROUP: the names of its cases or unit tests that --case selects.
programs_of() {
	local file name planned
	[ "$1" = unit ] || planned=$'\n'$(plan_of "$1")$'\n'
	for file in $(if [ "$1" = unit ]; then echo build/tests/unit/test_*; else echo tests/cases/*.sh; fi); do
		name=$(basename "$file" .sh)
		[[ $name == lib* ]] && continue
		[ -f "$file" ] || continue
		if [ "$1" = unit ]; then
			[[ $name != *.* && -x $file ]] || continue
		else
			[[ $planned == *$'\n'$name/-$'\n'* ]] || continue
		fi
		# shellcheck disable=SC2053
		[[ $name == $pattern ]] && echo "$name"
	done
}

# The script that runs the cases named by its arguments; dash, bash and busybox's ash run it.
# shellcheck disable=SC2016
case_driver='limit=$1 KVM_WATCHER_PLAN=$2 CI=$3 again=; shift 3
test -n "$KVM_WATCHER_KEPT" || { KVM_WATCHER_KEPT=/run/kept; mkdir -p $KVM_WATCHER_KEPT; }
export KVM_WATCHER_PLAN KVM_WATCHER_KEPT CI
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

# needs_host_time NAME...: has one of these cases "# host time" on a line? Linux guests have hung where time is
# instructions (emulator.sh).
needs_host_time() {
	local name
	needs_linux_guest "$@" && return
	for name; do grep -qx '# host time' "tests/cases/$name.sh" && return; done
	return 1
}

# is_alone NAME: has this case "# alone" on a line? What it makes busy has to have the CPUs.
is_alone() {
	grep -qx '# alone' "tests/cases/$1.sh"
}

# needs_perf NAME...: has one of these cases "# perf" on a line?
needs_perf() {
	local name
	for name; do grep -qx '# perf' "tests/cases/$name.sh" && return; done
	return 1
}

# perf_directory GROUP: where perf of the machine's suite is, with its libraries; fetched when it is not there yet.
perf_directory() (
	# shellcheck source=bench/peers.sh
	. "$top/tests/bench/peers.sh"
	peer_tree "$1" perf linux-perf && printf '%s\n' "$peer_directory"
)

# launch GROUP NAME...: become the process that prints the group's TAP.
launch() {
	local group=$1 planned perf machine_name=${machine_of[$1]:-$1} options=("${machine_options[@]}")
	shift
	# What the cases ask for with `planned`: a line of words.
	planned=$(plan_of "$group" | tr '\n' ' ')
	case $group in
	unit)
		export CMOCKA_MESSAGE_OUTPUT=TAP ASAN_OPTIONS=detect_leaks=1
		exec setsid bash -c "$unit_driver" unit 120 "$@"
		;;
	native)
		export PATH=$top:$top/build/tests:$PATH KVM_WATCHER_KEPT=$work/kept
		mkdir -p "$KVM_WATCHER_KEPT"
		exec setsid sh -c "$case_driver" native 300 "$planned" "${CI:-}" "$@"
		;;
	esac
	local files=(--timed --file=kvm_watcher:/usr/local/bin/kvm_watcher:755 --tree=tests/cases:/work/tests/cases --tree=tests/bench:/work/tests/bench)
	[ -x build/tests/kvm_guest ] && files+=(--file=build/tests/kvm_guest:/usr/local/bin/kvm_guest:755)
	[ -x build/tests/bpf_functions ] && files+=(--file=build/tests/bpf_functions:/usr/local/bin/bpf_functions:755)
	[ -x build/tests/terminal ] && files+=(--file=build/tests/terminal:/usr/local/bin/terminal:755)
	[ -e /lib/terminfo/x/xterm ] && files+=(--file=/lib/terminfo/x/xterm:/lib/terminfo/x/xterm)
	[ -x build/tests/with_caps ] && files+=(--file=build/tests/with_caps:/usr/local/bin/with_caps:755)
	[ -x build/tests/compromised ] && [[ " $* " == *" privileges "* ]] && files+=(--file=build/tests/compromised:/usr/local/bin/compromised:755)
	# Seconds of the machine, whose clock may be faster than this host's.
	local limit=600
	# A Linux guest in a guest: some twenty seconds in QEMU, a few minutes in Bochs.
	if needs_linux_guest "$@"; then files+=(--qemu); fi
	if [[ $group == *-svm ]] && needs_host_time "$@"; then files+=(--host-time); fi
	if needs_perf "$@" && perf=$(perf_directory "$machine_name"); then files+=(--tree="$perf:/peers/perf"); fi
	if [ -n "${kernel_of[$group]:-}" ]; then
		options+=(--kernel="${kernel_of[$group]%%$'\n'*}" --modules="${kernel_of[$group]#*$'\n'}")
	fi
	# shellcheck disable=SC2046
	exec "$machine" run "$machine_name" "${options[@]}" "${files[@]}" $(machine_options_of "$1") -- sh -c "$case_driver" "$group" "$limit" "$planned" "${CI:-}" "$@"
}

# record VERDICT NAME [DETAIL]: note a result and show it. Verdicts are passed, failed and skipped.
record() {
	printf '%s\t%s\t%s\t%s\t%s\n' "$1" "$group" "$current: $2" "${3:-}" "$current/$part" >>"$results.case"
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
	current=$1 try=$2 part=- plan='' tests=0 failures=0 after_failure='' pending=()
	[ -n "$case_since" ] || note_time boot $((SECONDS - boot_since))
	case_since=$SECONDS
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
	note_time "$current" $((SECONDS - case_since))
	[ "$try" != 1 ] || done_cases=$((done_cases + 1))
	# What is left is only known roughly: this host is not the one of the kept times.
	printf '%-8s [%s/%s]   %s took %s s, %s s so far%s\n' "$group" "$done_cases" "$nr_cases" "$current" \
		$((SECONDS - case_since)) $((SECONDS - started)) "${expected:+ of some $expected}"
	finished="$finished $current "
	current=''
}

# note_time WHAT SECONDS
note_time() {
	printf '%s\t%s\t%s\n' "$group" "$1" "$2" >>"$times"
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
	'#part '*) part=${1#\#part } ;;
	'') ;;
	*) if [ -n "${after_failure:-}" ]; then diagnose "$1"; else pending+=("$1"); fi ;;
	esac
}

# run_group GROUP: its results go to $results.
run_group() {
	local -A boots=()
	local group=$1 names name boot started=$SECONDS done_cases=0 nr_cases expected times
	local current='' case_since='' boot_since=$SECONDS
	local plan='' plan_reason='' part=- tests=0 failures=0 after_failure='' pending=() try=1
	group_results=$work/results.$group times=$work/times.$group
	results=$work/boot.$group
	: >"$group_results"
	: >"$results"
	: >"$times"
	mapfile -t names < <(programs_of "$group")
	nr_cases=${#names[@]}
	if [ "$nr_cases" = 0 ]; then
		# Nothing there is a failure; nothing that --case selects, or that is planned elsewhere, is none.
		[ "$pattern" = '*' ] || return 0
		case_begins "$group" 1
		record failed 'there is nothing to run'
		cat "$results.case" >>"$group_results"
		return
	fi
	expected=$(expected_seconds "$group")
	printf '%-8s starts: %s files%s\n' "$group" "$nr_cases" "${expected:+, some $expected s by the times that are kept}"
	# A boot for all, and one more, of seconds, for those that want QEMU's machine to have this host's time, or the
	# machine to be another one.
	for name in "${names[@]}"; do boots[$(boot_of "$group" "$name")]+=" $name"; done
	while IFS= read -r boot; do
		[ "$boot" != beside ] || : >"$work/beside"
		# shellcheck disable=SC2086
		run_boot ${boots[$boot]}
	done < <(printf '%s\n' "${!boots[@]}" | sort)
	note_time all $((SECONDS - started))
	printf '%-8s %s in %s s\n' "$group" "$(totals "$group_results")" $((SECONDS - started))
}

# machine_options_of NAME: options of the machine that a case wants, in a comment of its own
machine_options_of() {
	sed -n 's/^# machine: //p' "tests/cases/$1.sh"
}

# boot_of GROUP NAME: what cases of one boot have in common
boot_of() {
	case $1 in
	unit) echo all ;;
	# Those first, see run_groups.
	native) if is_alone "$2"; then echo alone; else echo beside; fi ;;
	*-svm) if needs_host_time "$2"; then echo host-time; else echo "all $(machine_options_of "$2")"; fi ;;
	*) echo "all $(machine_options_of "$2")" ;;
	esac
}

# run_boot NAME...: these cases of the group.
run_boot() {
	local source_pid status line current='' finished='' tries=0 before=$done_cases
	while :; do
		case_since='' boot_since=$SECONDS
		exec 4< <(launch "$group" "$@")
		source_pid=$!
		# shellcheck disable=SC2064
		trap "stop_source $source_pid $group; exit 143" TERM
		while IFS= read -r line <&4 || [ -n "$line" ]; do read_line "$line"; done
		wait "$source_pid"
		status=$?
		trap - TERM
		tries=$((tries + 1))
		# Not the tested kernel's fault, and not kvm_watcher's: all of it again, in a new machine.
		if [ "$status" != 126 ] || [ "$tries" -ge 3 ]; then break; fi
		printf '%-8s this machine died, and by all signs of its emulator: all of it again\n' "$group"
		: >"$results"
		rm -f "$results.first."*
		finished='' current='' done_cases=$before
	done
	close_group "$status" "$@"
	cat "$results" >>"$group_results"
	: >"$results"
	rm -f "$results.first."*
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

# kept GROUP [CASE]: the seconds that docs/test-machines.md has of it: of all, of a boot, or of that case.
kept() {
	awk -F '|' -v group="$1" -v what="${2:-all}" '
		function trim(text) { gsub(/^[ `*]+|[ `*]+$/, "", text); return text }
		/<!-- times begin/ { on = 1 }
		/<!-- times end/ { on = 0 }
		!on { next }
		trim($2) == "case" { for (i = 3; i < NF; i++) if (trim($i) == group) column = i }
		trim($2) == what && column { value = trim($column); if (value ~ /^[0-9]+$/) print value; exit }' "$kept_file"
}

# expected_seconds GROUP: by the kept times of its boot and its cases; nothing where one is not known.
expected_seconds() {
	local sum=0 name seconds=''
	for name in $([ "$1" = unit ] || echo boot) $(programs_of "$1"); do
		[ "$1" = unit ] && [ "$pattern" = '*' ] && { kept unit; return; }
		seconds=$(kept "$1" "$name")
		sum=$((sum + ${seconds:-0}))
	done
	[ $sum = 0 ] || echo $sum
}

# say_how_long: of all groups, so many at a time but for unit.
say_how_long() {
	local group seconds alone=0 machines=() known=0
	for group in "${groups[@]}"; do
		seconds=$(expected_seconds "$group")
		known=$((known + ${seconds:-0}))
		if [ "$group" = unit ]; then alone=$((alone + ${seconds:-0})); else machines+=("${seconds:-0}"); fi
	done
	[ $known -gt 0 ] || return 0
	printf '%s\n' "${machines[@]}" | awk -v jobs="$(memory_jobs)" -v alone=$alone '
		{ least = 1; for (j = 2; j <= jobs; j++) if (ends[j] + 0 < ends[least] + 0) least = j; ends[least] += $1 }
		END {
			for (j = 1; j <= jobs; j++) if (ends[j] + 0 > end) end = ends[j]
			all = alone + end
			printf "this takes some %d:%02d minutes by the times in docs/test-machines.md\n", all / 60, all % 60
		}'
}

# sort_groups: the machines that take longest first, so that the last ones end at about the same time.
sort_groups() {
	local group seconds
	mapfile -t groups < <(for group in "${groups[@]}"; do
		case $group in
		unit) seconds=99999 ;;
		native) seconds=99998 ;;
		*) seconds=$(expected_seconds "$group") ;;
		esac
		printf '%s\t%s\n' "${seconds:-0}" "$group"
	done | sort -s -k1,1nr | cut -f 2)
}

# times_table FILE...: a row for each case, a column for each group; a case that was run again has both times.
times_table() {
	awk -F '\t' -v order="${groups[*]}" '
		{ time[$2, $1] += $3; seen[$2] = 1; group[$1] = 1 }
		END {
			n = split(order, all, " ")
			m = 0
			for (what in seen) if (what != "boot" && what != "all") rows[++m] = what
			for (i = 2; i <= m; i++) for (j = i; j > 1 && rows[j - 1] > rows[j]; j--) {
				t = rows[j]; rows[j] = rows[j - 1]; rows[j - 1] = t
			}
			line("case", "head"); line("boot", "")
			for (i = 1; i <= m; i++) line(rows[i], "")
			line("all", "")
		}
		function line(what, kind,    i, text) {
			printf "%-26s", what
			for (i = 1; i <= n; i++) {
				text = kind == "head" ? all[i] : (what, all[i]) in time ? time[what, all[i]] : "-"
				printf " %8s", text
			}
			print ""
		}' "$@"
}

# keep_times FILE...: into the marked part of docs/test-machines.md. Of groups that did not run, and of cases that
# --case left out, the old times stay.
keep_times() {
	local marked
	marked=$work/marked
	awk -F '\t' -v kept_file="$kept_file" -v names="unit native $("$machine" list | tr '\n' ' ')" -v partial="$([ "$pattern" = '*' ] || echo 1)" '
		function trim(text) { gsub(/^[ `*]+|[ `*]+$/, "", text); return text }
		function cell(what, group) {
			if ((what, group) in time) return time[what, group]
			if (what != "all" && (group in group_ran) && !partial) return ""
			if (what == "all" && (group in group_ran)) return ""
			return old[what, group]
		}
		function row(what,    i, text) {
			text = "| " what " |"
			for (i = 1; i <= n; i++) text = text " " cell(what, all[i]) " |"
			return text
		}
		BEGIN {
			n = split(names, all, " ")
			while ((getline line < kept_file) > 0) {
				if (line ~ /<!-- times begin/) on = 1
				if (line ~ /<!-- times end/) on = 0
				if (!on || line !~ /^[|]/) continue
				fields = split(line, f, "|")
				if (trim(f[2]) == "case") { for (i = 3; i < fields; i++) name[i] = trim(f[i]); continue }
				if (trim(f[2]) ~ /^-+$/) continue
				what[trim(f[2])] = 1
				for (i = 3; i < fields; i++) old[trim(f[2]), name[i]] = trim(f[i])
			}
		}
		{
			group_ran[$1] = 1
			if ($1 == "unit" && $2 != "all") next
			if ($2 == "all" && partial) next
			time[$2, $1] += $3
			what[$2] = 1
		}
		END {
			m = 0
			for (w in what) if (w != "boot" && w != "all") {
				text = row(w)
				gsub(/[| ]/, "", text)
				if (text != w) rows[++m] = w
			}
			for (i = 2; i <= m; i++) for (j = i; j > 1 && rows[j - 1] > rows[j]; j--) {
				t = rows[j]; rows[j] = rows[j - 1]; rows[j - 1] = t
			}
			head = "| case |"; under = "| --- |"
			for (i = 1; i <= n; i++) { head = head " " all[i] " |"; under = under " --- |" }
			print head; print under; print row("boot")
			for (i = 1; i <= m; i++) print row(rows[i])
			print row("all")
		}' "$@" >"$marked"
	awk -v marked="$marked" '
		/<!-- times end/ { on = 0 }
		!on { print }
		/<!-- times begin/ { on = 1; while ((getline line < marked) > 0) print line }' "$kept_file" >"$work/kept.md" &&
		cat "$work/kept.md" >"$kept_file"
}

# run_groups: unit alone, which uses all processors, then what of native is to be alone; the others so many at a time.
run_groups() {
	local group running=0 most native=
	most=$(memory_jobs)
	for group in "${groups[@]}"; do
		if [ "$group" = unit ]; then
			run_group "$group" &
			wait $!
			continue
		fi
		if [ $running -ge "$most" ]; then
			wait -n
			running=$((running - 1))
		fi
		while [ -n "$native" ] && [ ! -e "$work/beside" ] && kill -0 "$native" 2>/dev/null; do sleep 0.5; done
		run_group "$group" &
		[ "$group" != native ] || native=$!
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
	local group mapped=''
	for group in "${!machine_of[@]}"; do mapped+="$group ${machine_of[$group]} "; done
	awk -F '\t' -v plan_file="$plan_file" -v mapped="$mapped" '
		function wide(c) { return length(head[c]) > 8 ? length(head[c]) : 8 }
		function planned(part, group,    i, n, patterns, pattern) {
			if (group in machine) group = machine[group]
			n = split(where[part], patterns, " ")
			for (i = 1; i <= n; i++) {
				pattern = patterns[i]
				gsub(/[.]/, "[.]", pattern)
				gsub(/[*]/, ".*", pattern)
				if (group ~ "^" pattern "$") return 1
			}
			return 0
		}
		BEGIN {
			n = split(mapped, words, " ")
			for (i = 1; i < n; i += 2) machine[words[i]] = words[i + 1]
			while ((getline line < plan_file) > 0)
				if (line !~ /^#/ && split(line, f, "\t") == 4) where[f[1] "/" f[2]] = f[3]
		}
		$1 !~ /^(passed|failed|skipped)$/ { next }
		!($2 in column) { column[$2] = ++columns; head[columns] = $2 }
		!($3 in row) { row[$3] = ++rows; title[rows] = $3; if (length($3) > width) width = length($3) }
		{ text = $1 == "failed" ? "FAILED" : $1 == "skipped" ? "n.a." : $1; cell[row[$3], column[$2]] = text; part[row[$3]] = $5 }
		END {
			printf "\n%-" width "s", "test"
			for (c = 1; c <= columns; c++) printf "  %-*s", wide(c), head[c]
			print ""
			for (r = 1; r <= rows; r++) {
				printf "%-" width "s", title[r]
				note = ""
				for (c = 1; c <= columns; c++) {
					text = (r, c) in cell ? cell[r, c] : "-"
					# A part may lie in a case that is planned elsewhere as a whole.
					whole = part[r]
					sub(/[/].*/, "/-", whole)
					if (text == "-" && (part[r] in where) && head[c] != "unit") {
						if (!planned(part[r], head[c])) note = where[part[r]]
						else if (!planned(whole, head[c])) note = where[whole]
						if (!planned(part[r], head[c]) || !planned(whole, head[c])) text = "=>"
					}
					printf "  %-*s", wide(c), text
				}
				print (note == "" ? "" : "  => proven on " note)
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
	check_plan
	sort_groups
	work=$(mktemp -d "${TMPDIR:-/tmp}/kvm-tests.XXXXXX") || exit 2
	trap 'rm -rf "$work"' EXIT
	trap 'stop 130' INT
	trap 'stop 143' TERM HUP
	[ -x kvm_watcher ] && echo "kvm_watcher sha256 $(sha256sum <kvm_watcher | cut -d ' ' -f 1)"
	say_how_long
	run_groups
	for group in "${groups[@]}"; do files+=("$work/results.$group"); done
	printf '\nseconds of boots and cases:\n'
	times_table "$work"/times.*
	echo "all of it: $SECONDS s"
	[ -z "$keep" ] || keep_times "$work"/times.*
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
