#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What top takes of this host's CPU beside live VMs, and how long a key waits: 500 VMs with four vCPUs in ten processes,
# of which one is busy. The others are idle: their vCPUs are halted, and a timer wakes each once a second. Counted are all
# threads of both its processes, user space and the kernel on their behalf. Prints a line of JSON.
#
#	tests/bench/top.sh [SECONDS [KVM_WATCHER...]]	60 seconds of ./kvm_watcher; several run at the same time, so that
#							what else the host does hits all of them, and have a line each
#
# PERIOD: a busy vCPU's timer, in us (40000). IDLE: what idle vCPUs do (timer_periodic=4000000:1000000); of a VM that was
# stopped threads sleep outside of KVM (sleep=80000000).
set -u
seconds=${1:-60}
[ $# -eq 0 ] || shift
top=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
[ $# -gt 0 ] || set -- "$top/kvm_watcher"
tmp=$(mktemp -d)
guests=()
# shellcheck disable=SC2317 # by the trap
clean_up() {
	kill "${guests[@]}" 2>/dev/null
	wait
	rm -rf "$tmp"
}
trap clean_up EXIT
export TERM=xterm LANG=C.UTF-8
unset LC_ALL LC_CTYPE

for i in 0 1 2 3 4 5 6 7 8 9; do
	op=${IDLE:-timer_periodic=4000000:1000000}
	[ "$i" != 0 ] || op=timer_periodic=4000000:${PERIOD:-40000}
	"$top/build/tests/kvm_guest" --forever --timeout=86400 --vms=50 --vcpus=4 "$op" >/dev/null 2>&1 &
	guests+=($!)
done

# The tables have room for two and a half times the vCPUs that run when it starts.
for pid in "${guests[@]}"; do
	until [ "$(find "/proc/$pid/task" -mindepth 1 -maxdepth 1 | wc -l)" -gt 200 ]; do
		kill -0 "$pid" 2>/dev/null || { echo "${0##*/}: a generator has ended" >&2; exit 1; }
		sleep 0.5
	done
done

# A command for the terminal: the time on a CPU of $CHILD and its children, in ns, and the time of day.
cat >"$tmp/used" <<'END'
of() {
	echo "$1"
	for child in $(cat /proc/"$1"/task/*/children); do of "$child"; done
}
for pid in $(of "$CHILD"); do cat /proc/"$pid"/task/*/schedstat; done | awk '{ ns += $1 } END { printf "%d ", ns }'
date +%s%N
END

# watch NUMBER KVM_WATCHER: the line of it
watch() {
	{
		cat <<-END
			until 120 PAIN%
			sleep 20000
			run sh $tmp/used >$tmp/before.$1
			sleep $((seconds * 1000))
			run sh $tmp/used >$tmp/after.$1
		END
		# What they show is nowhere before.
		for i in 1 2 3 4 5; do
			cat <<-'END'
				answers 5000 h Shift-Tab
				keys \e
				gone 5 Shift-Tab
				answers 5000 \x20 PAUSED
				keys \x20
				gone 5 PAUSED
				answers 5000 \r [vCPUs]
				answers 5000 \t [KVM_
				keys \e
				gone 5 [KVM_
				sleep 300
			END
		done
		printf 'keys q\nends 20\n'
	} >"$tmp/keys.$1"
	"$top/build/tests/terminal" --rows=50 --cols=160 "$2" top --no-config --interval=2 \
		<"$tmp/keys.$1" >"$tmp/told.$1" 2>&1
	! grep '^not ok' "$tmp/told.$1" >&2 || return 1
	sed -n 's/^ok answers .*: \([0-9]*\) ms$/\1/p' "$tmp/told.$1" | sort -n >"$tmp/ms.$1"
	read -r ns_before from <"$tmp/before.$1"
	read -r ns_after to <"$tmp/after.$1"
	awk -v ns=$((ns_after - ns_before)) -v time=$((to - from)) -v program="$2" '
		{ last = $1 }
		END { printf "{\"program\":\"%s\",\"vms\":500,\"vcpus\":4,\"busy_vms\":50,\"seconds\":%.0f,\"cpu_percent\":%.2f,\"keys\":%d,\"slowest_key_ms\":%d}\n",
			program, time / 1e9, 100 * ns / time, NR, last }' "$tmp/ms.$1"
}

i=0
for program; do
	i=$((i + 1))
	watch "$i" "$program" &
	watchers[i]=$!
done
status=0
for pid in "${watchers[@]}"; do
	wait "$pid" || status=1
done
exit $status
