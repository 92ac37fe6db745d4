#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Watches with all monitors and a recording, for SECONDS, while VMs come and go: memory, descriptors and CPU time per
# interval have to stay what they are, and totals have to be exact at the end. Speaks TAP.
#
#	tests/soak.sh [SECONDS]		120; make soak takes SOAK_TIME, an hour
#
# SOAK_KEEP=FILE keeps what was sampled: seconds, VMs so far, and of each process resident KiB, descriptors, CPU ticks.
# For ten minutes or more, or with SOAK_BESIDE=1, an exporter that is scraped and a top in tmux run beside it: they stay
# what they are, too.
here=$(dirname "$0")
# shellcheck source=cases/lib.sh
if test -e "$here/lib.sh"; then . "$here/lib.sh"; else . "$here/cases/lib.sh"; fi

seconds=${1:-${SOAK_TIME:-120}}
every=2
exits=60
generator=$TMP/crosvm
recording=$TMP/recording.zst

samples=$TMP/samples
beside=$SOAK_BESIDE
test "$seconds" -lt 600 || beside=1

# pane: the process of top, while it is there
pane()
{
	tmux -L "soak$$" list-panes -F '#{pane_pid}' 2>/dev/null
}

# The exporter is scraped every two seconds, as two Prometheus would.
scrape()
{
	while test ! -e "$TMP/over"; do
		sleep $every
		curl -sf -m 20 --unix-socket "$TMP/socket" http://localhost/metrics >"$TMP/scrape" && echo >>"$TMP/scrapes"
		# shellcheck disable=SC2046 # these are six words
		set -- $(of "$server") $(of "$(pane)")
		test $# = 6 || continue
		echo "0 $(($(wc -l <"$TMP/vms") * 100)) $*" >>"$TMP/beside"
	done
}

beside_starts()
{
	test -n "$beside" || return
	if ! has_tool "beside it: an exporter that is scraped" curl || ! has_tool "beside it: a top" tmux; then
		beside=
		return
	fi
	: >"$TMP/scrapes"
	kvm_watcher serve -e -o -w -l --vm='soak*' --listen=unix:"$TMP/socket" >"$TMP/serve.out" 2>"$TMP/serve.err" &
	server=$!
	tmux -u -L "soak$$" -f /dev/null new-session -d -x 120 -y 40 \
		"exec $(command -v kvm_watcher) top --interval=1 --vm='soak*' 2>$TMP/top.err"
	scrape &
	scraper=$!
}

beside_ends()
{
	test -n "$beside" || return
	wait "$scraper"
	holds "beside it: top is on its screen still" sh -c "tmux -L soak$$ capture-pane -p | grep -q 'lost'"
	holds "beside it: the exporter was scraped $(wc -l <"$TMP/scrapes") times" test -s "$TMP/scrapes"
	holds "... and serves series" grep -q '^kvm_' "$TMP/scrape"
	samples=$TMP/beside
	if test "$(awk -v behind=$behind '$2 >= behind' "$samples" | wc -l)" -ge 6; then
		flat "KiB of the exporter" 3 $((2048 + doubling))
		flat "descriptors of the exporter" 4 2
		flat "KiB of top" 6 $((2048 + doubling))
		flat "descriptors of top" 7 2
	else
		skip "what is flat beside it" "too few VMs came"
	fi
	samples=$TMP/samples
	tmux -L "soak$$" kill-server
	kill -INT "$server"
	wait "$server"
	is "the exporter: exit status" 0 $?
}

# What it reads of VMs is theirs that are called soak: others may run here. Rows are of the whole host: those of the last
# 1,000 VMs could not be shown in the two seconds that the end of a run has on a busy host.
watch_all()
{
	kvm_watcher -e -f -d -w -n -o -c -i -h -l -T --nested --vm_state --vmm_threads --unmaps --host --summary \
		--vm='soak*' --interval=10 --by=host --format=json --output="$TMP/all" --temp-dir="$TMP" \
		--record="$recording" --record-interval=1 --record-limit=64M >"$TMP/out" 2>"$TMP/err" &
	watcher=$!
	while ! grep -qs watching "$TMP/err"; do
		kill -0 $watcher 2>/dev/null || break
		sleep 0.1
	done
	broker=
	for dir in /proc/[0-9]*; do
		! grep -qs "^PPid:[[:space:]]*$watcher\$" "$dir/status" || broker=${dir#/proc/}
	done
}

# of PID: resident KiB, open descriptors, ticks of CPU time
of()
{
	set -- "$1" "$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$1/status" 2>/dev/null)"
	echo "$2 $(find "/proc/$1/fd" -mindepth 1 2>/dev/null | wc -l) $(sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }')"
}

# VMs come and go until it is over: short ones, a hundred in each process, one process after the other
come_and_go()
{
	while test ! -e "$TMP/over"; do
		"$generator" --name=soak --repeat=25 --vms=4 --vcpus=2 out=$exits >"$TMP/guest.out" 2>"$TMP/guest.err" || {
			cat "$TMP/guest.err" >>"$TMP/generator.failed"
			return
		}
		echo 100 >>"$TMP/vms"
	done
}

# Rows of the last 1,000 VMs are kept: what is compared begins behind them. The two buffers of a recording are as large as
# its largest interval was, and a busy host makes a larger one now and then: in two minutes they may double once more.
behind=1300
doubling=12288
test "$seconds" -lt 600 || behind=4500 doubling=0

# median N FROM TO: of that column of the samples there, between these shares of them, in percent
median()
{
	awk -v n="$1" -v from="$2" -v to="$3" -v behind=$behind '$2 < behind { next } FNR == NR { all++; next }
		++nr > all * from / 100 && nr <= all * to / 100 { print $n }' "$samples" "$samples" |
		sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

# flat NAME COLUMN MORE: at the end it is not more than at the beginning, but for MORE
flat()
{
	flat_before=$(median "$2" 0 33) flat_after=$(median "$2" 66 100)
	holds "$1: $flat_before in the first third, $flat_after in the last one" test "$flat_after" -le $((flat_before + $3))
}

# cpu_of FROM TO: ticks for 1,000 VMs, which come as fast as the host lets them
cpu_of()
{
	awk -v from="$1" -v to="$2" -v behind=$behind '$2 < behind { next } FNR == NR { all++; next }
		++nr > all * from / 100 && nr <= all * to / 100 { if (last) { ticks += $9; vms += $2 - last } last = $2 }
		END { print int(ticks * 1000 / (vms ? vms : 1)) }' "$TMP/samples" "$TMP/samples"
}

cp "$(command -v kvm_guest)" "$generator"
: >"$TMP/vms"
: >"$TMP/generator.failed"
watch_all
if test -z "$watcher" || test -z "$broker"; then
	fail "it watches" "$(cat "$TMP/err")"
	done_testing
fi
watch_pid=$watcher
beside_starts
come_and_go &
guests=$!
ticks=0
begin=$(date +%s)
# On a busy host VMs come slowly: twice as long at most, until there are enough.
goes_on()
{
	goes_on_for=$(($(date +%s) - begin))
	test $goes_on_for -lt "$seconds" && return
	test $goes_on_for -lt $((seconds * 2)) && test $(($(wc -l <"$TMP/vms") * 100)) -lt $((behind + 700))
}

while goes_on && kill -0 "$watcher" 2>/dev/null; do
	sleep $every
	# shellcheck disable=SC2046 # these are six words
	set -- $(of "$watcher") $(of "$broker")
	test $# = 6 || continue
	echo "$(($(date +%s) - begin)) $(($(wc -l <"$TMP/vms") * 100)) $* $(($3 + $6 - ticks))" >>"$TMP/samples"
	ticks=$(($3 + $6))
done
: >"$TMP/over"
wait $guests
beside_ends
# The last VMs are seen to have ended.
sleep 1
holds "it still watches after $seconds s" kill -0 "$watcher"
kill -INT "$watcher"
wait "$watcher"
soaked=$?
is "exit status" 0 $soaked
test $soaked = 0 || sed 's/^/# /' "$TMP/err"
watch_pid=
# Of the intervals the recording has everything.
grep -E '"scope":"total"|"lost"' "$TMP/all" >"$TMP/rows"
test -z "$SOAK_KEEP" || cp "$TMP/samples" "$SOAK_KEEP"

vms=$(($(wc -l <"$TMP/vms") * 100))
echo "# $vms VMs, $(wc -l <"$TMP/samples") samples; kvm_watcher: $(awk 'END { print $3 " KiB, " $4 " descriptors" }' "$TMP/samples"); kvm_watcher-bpf: $(awk 'END { print $6 " KiB, " $7 " descriptors" }' "$TMP/samples")"
is "the generator had no trouble" 0 "$(wc -l <"$TMP/generator.failed")"
holds "VMs came and went" test $vms -ge 100
if test "$(awk -v behind=$behind '$2 >= behind' "$TMP/samples" | wc -l)" -ge 6; then
	flat "KiB of kvm_watcher" 3 $((2048 + doubling))
	flat "KiB of kvm_watcher-bpf" 6 2048
	flat "descriptors of kvm_watcher" 4 2
	flat "descriptors of kvm_watcher-bpf" 7 2
	cpu_before=$(cpu_of 0 33) cpu_after=$(cpu_of 66 100)
	holds "ticks of CPU time for 1,000 VMs: $cpu_before in the first third, $cpu_after in the last one" \
		test "$cpu_after" -le $((cpu_before * 3 / 2 + 20))
else
	skip "what is flat" "in $goes_on_for s only $vms VMs came: behind the first $behind there is too little to compare"
fi

# Each vCPU makes one exit more, for its end.
is "totals: exits to user space" $((vms * 2 * (exits + 1))) "$(jq -s 'map(select(.scope == "total" and .kind == "userspace" and
	.reason == "IO") | .count) | add' "$TMP/rows")"
is "totals: KVM_RUNs" $((vms * 2 * (exits + 1))) "$(jq -s 'map(select(.scope == "total" and .name == "KVM_RUN") |
	.count - (.errors.EINTR // 0)) | add' "$TMP/rows")"
test -n "$others" || is "nothing is lost" 0 "$(tail -n 1 "$TMP/rows" | jq '[.lost[]] | add')"
kvm_watcher replay "$recording" --format=json >"$TMP/replay" 2>"$TMP/replay.err"
is "the recording can be replayed" 0 $?
done_testing
