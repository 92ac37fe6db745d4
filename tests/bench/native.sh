#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# What watching costs on this host, in time: a guest that exits to user space as fast as it can, with and without
# kvm_watcher in turn. Prints the exits a second of each round, the ratio with its spread, and what --self-cost says of
# another round: while the kernel takes the programs' times they take longer.
#
#	tests/bench/native.sh [ROUNDS [OPTION...]]	(5 rounds of -e)
set -u
rounds=${1:-5}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- -e
top=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
PATH=$top:$top/build/tests:$PATH
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# rate: exits a second
rate() {
	kvm_guest out=200000 | sed -n 's/.*"what":"done".*"seconds":\([0-9.]*\).*/\1/p' | awk '{ printf "%d\n", 200000 / $1 }'
}

# watched OPTION...: the rate while kvm_watcher watches
watched() {
	: >"$tmp/messages"
	kvm_watcher --interval=3600 --format=json "$@" >/dev/null 2>"$tmp/messages" &
	pid=$!
	until grep -q watching "$tmp/messages"; do
		kill -0 "$pid" 2>/dev/null || { cat "$tmp/messages" >&2; exit 1; }
		sleep 0.1
	done
	rate
	kill -INT "$pid"
	wait "$pid"
}

round=0
while [ "$round" -lt "$rounds" ]; do
	round=$((round + 1))
	without=$(rate)
	with=$(watched "$@") || exit 1
	echo "$without $with"
done | awk '
{ printf "round %d: %d exits/s without, %d with kvm_watcher: %.3f\n", NR, $1, $2, $2 / $1; r[NR] = $2 / $1 }
END {
	for (i = 1; i <= NR; i++) for (j = i + 1; j <= NR; j++) if (r[j] < r[i]) { t = r[i]; r[i] = r[j]; r[j] = t }
	printf "ratio: median %.3f, from %.3f to %.3f\n", r[int((NR + 1) / 2)], r[1], r[NR]
}'
watched --self-cost "$@" >/dev/null
grep self-cost "$tmp/messages"
