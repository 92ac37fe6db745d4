#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What a single event that is shown costs kvm_watcher in CPU: the generator makes them as fast as it can, beside each
# monitor that shows events here, as JSON and as tables, into a file. Prints the median of the rounds in us for each event:
# of all that user space did for it, from the ring to the file. What it takes beside a VM that does nothing is left out.
#
#	tests/bench/events.sh [ROUNDS]			5 rounds of all of them
#	tests/bench/events.sh ROUNDS ARGUMENTS OPTION...	of one: what the generator does, options of kvm_watcher
set -u
top=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
PATH=$top:$top/build/tests:$PATH
rounds=${1:-5}
[ $# -eq 0 ] || shift
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# once FORMAT ARGUMENTS OPTION...: events that were shown and us of CPU, of user space
once()
{
	local format=$1 arguments=$2 pid
	shift 2
	: >"$tmp/err"
	kvm_watcher --interval=3600 --format="$format" --self-cost "$@" >"$tmp/out" 2>"$tmp/err" &
	pid=$!
	until grep -q watching "$tmp/err"; do
		kill -0 "$pid" 2>/dev/null || return 1
		sleep 0.05
	done
	# shellcheck disable=SC2086
	kvm_guest $arguments >/dev/null
	kill -INT "$pid"
	wait "$pid"
	if [ "$format" = json ]; then
		grep -c '"scope":"event"' "$tmp/out"
	else
		grep -c '^[0-9][0-9]:[0-9][0-9]:[0-9][0-9]\.' "$tmp/out"
	fi
	sed -n 's/.*self-cost: user space: \([0-9.]*\) ms.*/\1/p' "$tmp/err"
}

if [ $# -gt 0 ]; then
	arguments=$1
	shift
	echo "$arguments	$*"
else
	printf '%s\t%s\n' msi=1000 '-l --events' 'intr_user=1 irq_lines=1000' '-c' '--vcpus=8 --halt-poll=0 hlt=5000' '-w' \
		'--log=ring dirty=10000:4' "-d --temp-dir=$tmp"
fi >"$tmp/list"
round=0
while [ "$round" -lt "$rounds" ]; do
	round=$((round + 1))
	while IFS='	' read -r arguments options; do
		for format in json table; do
			# shellcheck disable=SC2086
			figures=$(once "$format" "$arguments" $options </dev/null) &&
				rest=$(once "$format" sleep=1 $options </dev/null) &&
				echo "$options	$format	${figures/$'\n'/	}	${rest#*$'\n'}"
		done
	done <"$tmp/list"
done | sed "s| --temp-dir=$tmp||" | awk -F '\t' '
$3 < 1000 || $4 == "" || $5 == "" { printf "# %s as %s: not measured, %d events\n", $1, $2, $3; next }
{ name = $1 "\t" $2; if (!(name in n)) names[++nr] = name; us[name, ++n[name]] = ($4 - $5) * 1000 / $3; events[name] = $3 }
END {
	printf "us of CPU for each event that is shown: medians of %d rounds, from the least to the greatest\n", n[names[1]]
	for (k = 1; k <= nr; k++) {
		name = names[k]
		for (i = 1; i <= n[name]; i++) for (j = i + 1; j <= n[name]; j++)
			if (us[name, j] < us[name, i]) { t = us[name, i]; us[name, i] = us[name, j]; us[name, j] = t }
		split(name, f, "\t")
		printf "%-24s %-6s %6.2f, from %.2f to %.2f (%d events)\n", f[1], f[2], us[name, int((n[name] + 1) / 2)], \
			us[name, 1], us[name, n[name]], events[name]
	}
}'
