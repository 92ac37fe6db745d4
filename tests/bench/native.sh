#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What watching costs on this host, in time: a guest that exits to user space as fast as it can, without anything and
# with each of the watchers in turn, round by round, so that what else the host does hits all of them. Prints each one's
# exits a second against the mean of those without just before and just after: the median and the spread, and the same of
# exits a second of the guest's own CPU time, which others who use the host disturb less. The guest has the last CPU for
# itself, as far as it is up to this. Beside kvm_watcher stand perf stat, which only counts the same events, perf trace -s,
# and bpftrace, as far as they are here (PERF=... and BPFTRACE=... say where).
#
#	tests/bench/native.sh [ROUNDS]			5 rounds of all of them
#	tests/bench/native.sh ROUNDS OPTION...		of kvm_watcher with these options alone, and what --self-cost
#							says of a round more: while the kernel takes the programs' times
#							they take longer
set -u
rounds=${1:-5}
[ $# -eq 0 ] || shift
top=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
PATH=$top:$top/build/tests:$PATH
PERF=${PERF:-perf}
BPFTRACE=${BPFTRACE:-bpftrace}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
nr=${EXITS:-200000}

last_cpu=$(($(nproc) - 1))
TIMEFORMAT='%U %S'

# rate: exits a second, of the clock's and of the guest's CPU time
rate() {
	{ time taskset -c "$last_cpu" kvm_guest out="$nr" >"$tmp/guest"; } 2>"$tmp/time"
	{
		sed -n 's/.*"what":"done".*"seconds":\([0-9.]*\).*/\1/p' "$tmp/guest"
		cat "$tmp/time"
	} | awk -v nr="$nr" 'NR == 1 { seconds = $1 } NR == 2 { printf "%d %d\n", nr / seconds, nr / ($1 + $2) }'
}

# beside READY COMMAND...: the rate while the command runs, from the moment that it has said READY; "-": a second later
beside() {
	ready=$1
	shift
	: >"$tmp/messages"
	"$@" >"$tmp/output" 2>"$tmp/messages" &
	pid=$!
	if [ "$ready" = - ]; then
		sleep 1
	else
		until grep -q "$ready" "$tmp/messages" "$tmp/output"; do
			kill -0 "$pid" 2>/dev/null || break
			sleep 0.1
		done
	fi
	kill -0 "$pid" 2>/dev/null || { cat "$tmp/messages" >&2; return 1; }
	rate
	kill -INT "$pid"
	wait "$pid"
	return 0
}

# watched OPTION...
watched() {
	beside watching kvm_watcher --interval=3600 --format=json "$@"
}

# run WHAT: the rate with it; nothing where it can't be had
run() {
	case $1 in
	nothing) rate ;;
	kvm_watcher*)
		# shellcheck disable=SC2086
		watched ${1#kvm_watcher } ;;
	'perf stat') beside - "$PERF" stat -a -e kvm:kvm_fpu -e kvm:kvm_userspace_exit -o /dev/null ;;
	'perf trace -s') beside - "$PERF" trace -a -s -o /dev/null ;;
	bpftrace)
		# It says that it attaches before it does, so the interval's word counts.
		beside watching "$BPFTRACE" -B none -e 'tracepoint:kvm:kvm_fpu { @fpu = count(); }
			tracepoint:kvm:kvm_userspace_exit { @exits[tid] = count(); }
			interval:s:1 { printf("watching\n"); }' ;;
	esac
}

# list: what stands beside nothing, a line each
list() {
	if [ $# -gt 0 ]; then
		echo "kvm_watcher $*"
		return
	fi
	printf 'kvm_watcher %s\n' -e '-e -o -w' '-e -f -m -d -w -n -o -h -l -i -c -T --summary'
	if command -v "$PERF" >/dev/null; then printf '%s\n' 'perf stat' 'perf trace -s'; else echo "# perf: not here" >&2; fi
	if command -v "$BPFTRACE" >/dev/null; then echo bpftrace; else echo "# bpftrace: not here" >&2; fi
}

list "$@" >"$tmp/list"
round=0
before=$(run nothing)
while [ "$round" -lt "$rounds" ]; do
	round=$((round + 1))
	while read -r what; do
		with=$(run "$what" </dev/null)
		after=$(run nothing </dev/null)
		[ -z "$with" ] || printf '%s\t%s\t%s\t%s\n' "$what" "$before" "$with" "$after"
		before=$after
	done <"$tmp/list"
done | awk -F '\t' '
function sort(a, n,	i, j, t) {
	for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++) if (a[j] < a[i]) { t = a[i]; a[i] = a[j]; a[j] = t }
}
!($1 in n) { names[++nr] = $1 }
{
	split($2, before, " "); split($3, with, " "); split($4, after, " ")
	k = ++n[$1]
	for (i = 1; i <= 2; i++) r[$1, i, k] = 2 * with[i] / (before[i] + after[i])
	without[NR] = after[1]; without_cpu[NR] = after[2]
}
END {
	sort(without, NR); sort(without_cpu, NR)
	printf "without: median %d exits/s, from %d to %d; %d a second of CPU time\n", without[int((NR + 1) / 2)], without[1], \
		without[NR], without_cpu[int((NR + 1) / 2)]
	for (k = 1; k <= nr; k++) {
		name = names[k]
		for (i = 1; i <= 2; i++) {
			for (j = 1; j <= n[name]; j++) a[j] = r[name, i, j]
			sort(a, n[name])
			median[i] = a[int((n[name] + 1) / 2)]; least[i] = a[1]; most[i] = a[n[name]]
		}
		printf "%-60s %.3f, from %.3f to %.3f; by CPU time %.3f, from %.3f to %.3f\n", name, median[1], least[1], most[1], \
			median[2], least[2], most[2]
	}
}'
[ $# -gt 0 ] || exit 0
watched --self-cost "$@" >/dev/null
grep self-cost "$tmp/messages"
