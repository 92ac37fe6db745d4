#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What many vCPUs cost on this host: how long kvm_watcher takes from its start until it watches, from Ctrl-C until the
# last total is out and until it has ended, and what both of its processes have resident meanwhile. The vCPUs sleep.
#
#	tests/bench/scale.sh [ROUNDS [VMS]]		5 rounds beside 200 VMs with two vCPUs
#	tests/bench/scale.sh ROUNDS VMS OPTION...	with these options alone
set -u
top=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
PATH=$top:$top/build/tests:$PATH
rounds=${1:-5} vms=${2:-200}
[ $# -eq 0 ] || shift
[ $# -eq 0 ] || shift
tmp=$(mktemp -d)
guest=
# shellcheck disable=SC2329
clean()
{
	[ -z "$guest" ] || kill "$guest" 2>/dev/null
	rm -rf "$tmp"
}
trap clean EXIT

now_us()
{
	echo "${EPOCHREALTIME/[.,]/}"
}

# resident PID: KiB of it alone, of maps and files it shares, and of both
resident()
{
	awk '/^RssAnon/ { anon = $2 } /^RssFile/ { file = $2 } /^RssShmem/ { shared = $2 } /^VmRSS/ { all = $2 }
		END { printf "%d %d %d", anon, file + shared, all }' "/proc/$1/status"
}

# once OPTION...: us until it watches, until the last total, until the end; KiB of both processes
once()
{
	local began pid broker line ready='' end ended totals
	mkfifo "$tmp/err"
	began=$(now_us)
	kvm_watcher --interval=3600 --format=json "$@" >"$tmp/out" 2>"$tmp/err" &
	pid=$!
	exec 3<"$tmp/err"
	while read -r line <&3; do
		case $line in *': watching '*) ready=$(now_us); break ;; esac
	done
	[ -n "$ready" ] || { rm -f "$tmp/out" "$tmp/err"; return 1; }
	cat <&3 >/dev/null &
	sleep 1
	broker=$(pgrep -P "$pid" -x kvm_watcher-bpf)
	resident "$pid" >"$tmp/mine"
	resident "$broker" >"$tmp/broker"
	end=$(now_us)
	kill -INT "$pid"
	wait "$pid"
	ended=$(now_us)
	exec 3<&-
	# When it was last written to.
	totals=$(stat -c %.6Y "$tmp/out")
	totals=${totals/[.,]/}
	echo "$((ready - began)) $((totals - end)) $((ended - end)) $(cat "$tmp/mine") $(cat "$tmp/broker")"
	rm -f "$tmp/out" "$tmp/err"
}

{
	if [ $# -gt 0 ]; then echo "$*"; else
		printf '%s\n' -e '-e -o -w' "-e -f -m -d -w -n -o -h -l -i -c -T --summary --temp-dir=$tmp"
	fi
} >"$tmp/list"

kvm_guest --vms="$vms" --vcpus=2 --timeout=600 sleep=500000 >/dev/null &
guest=$!
# Each thread of a vCPU has one there.
until [ "$(find "/proc/$guest/fd" -lname 'anon_inode:kvm-vcpu*' 2>/dev/null | wc -l)" -ge $((2 * vms)) ]; do sleep 0.1; done
sleep 1
round=0
while [ "$round" -lt "$rounds" ]; do
	round=$((round + 1))
	while read -r what; do
		# shellcheck disable=SC2086
		figures=$(once $what </dev/null) && echo "$what	$figures"
	done <"$tmp/list"
done | sed "s| --temp-dir=$tmp||" | awk -F '[\t]' -v vcpus=$((2 * vms)) '
!($1 in n) { names[++nr] = $1 }
{ k = ++n[$1]; split($2, f, " "); for (i = 1; i <= 9; i++) v[$1, i, k] = f[i] }
function median(name, i,	a, k, j, t) {
	for (k = 1; k <= n[name]; k++) a[k] = v[name, i, k]
	for (k = 1; k <= n[name]; k++) for (j = k + 1; j <= n[name]; j++) if (a[j] < a[k]) { t = a[k]; a[k] = a[j]; a[j] = t }
	return a[int((n[name] + 1) / 2)]
}
END {
	printf "%d vCPUs, medians of %d rounds: ms until it watches, from Ctrl-C to the last total and to the end, KiB resident\n", vcpus, n[names[1]]
	printf "%-46s %8s %8s %8s %9s %9s %9s\n", "kvm_watcher", "watches", "totals", "ended", "own", "maps", "its -bpf"
	for (k = 1; k <= nr; k++) {
		name = names[k]
		printf "%-46s %8.0f %8.0f %8.0f %9d %9d %9d\n", name, median(name, 1) / 1000, median(name, 2) / 1000, \
			median(name, 3) / 1000, median(name, 4), median(name, 5), median(name, 9)
	}
}'
