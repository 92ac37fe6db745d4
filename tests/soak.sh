#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Watches with all monitors and a recording, for SECONDS, while VMs come and go: memory, descriptors and CPU time per
# interval have to stay what they are, and totals have to be exact at the end. Speaks TAP.
#
#	tests/soak.sh [SECONDS]		120; make soak takes SOAK_TIME, an hour
#
# SOAK_KEEP=FILE keeps what was sampled: seconds, VMs so far, and of each process resident KiB, descriptors, CPU ticks.
# SOAK_MAX_VCPUS=N: for hosts on which others start many VMs meanwhile, which would fill the tables. It is their first use
# that takes memory, which then is not flat: some 10 MB for 8191.
# For ten minutes or more, or with SOAK_BESIDE=1, an exporter that is scraped and a top in tmux run beside it: they stay
# what they are, too.
here=$(dirname "$0")
# shellcheck source=cases/lib.sh
if test -e "$here/lib.sh"; then . "$here/lib.sh"; else . "$here/cases/lib.sh"; fi

seconds=${1:-${SOAK_TIME:-120}}
every=2
pace_ms=2000
generator=$TMP/crosvm
recording=$TMP/old/recording.zst

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
		# It remembers 64 MiB of what was.
		flat "KiB of top" 6 $((2048 + doubling + 65536))
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
# 500 VMs could not be shown in the two seconds that the end of a run has on a busy host.
watch_all()
{
	mkdir "$TMP/$1"
	kvm_watcher -e -f -d -w -n -o -c -i -h -l -T --nested --vm_state --vmm_threads --unmaps --host --summary \
		--vm='soak*' ${SOAK_MAX_VCPUS:+--max-vcpus=$SOAK_MAX_VCPUS} --interval=2 --by=host --format=json --output="$TMP/$1/all" --temp-dir="$TMP/$1" \
		--record="$TMP/$1/recording.zst" --record-interval=1 --record-limit=64M >"$TMP/$1/out" 2>"$TMP/$1/err" &
	watcher=$!
	while ! grep -qs watching "$TMP/$1/err"; do
		kill -0 $watcher 2>/dev/null || break
		sleep 0.1
	done
	broker=
	for dir in /proc/[0-9]*; do
		! grep -qs "^PPid:[[:space:]]*$watcher\$" "$dir/status" || broker=${dir#/proc/}
	done
}

# CPU time depends on what runs beside it, and on how many VMs come in an interval. So a second kvm_watcher starts at the
# end, sees as many VMs as the first one keeps rows of, and from then on both see the same on the same host: the old one
# takes no more than the new one.
compare()
{
	old=$watcher old_broker=$broker
	watch_all new
	new=$watcher new_broker=$broker
	watcher=$old broker=$old_broker
	from=$(($(nr_vms) + behind))
	compare_begin=$(date +%s)
	while test "$(nr_vms)" -lt $from && test $(($(date +%s) - compare_begin)) -lt $((comparing * 3)); do
		sleep 1
	done
	compared_from=$(nr_vms)
	old_ticks=$(ticks_of "$old" "$old_broker") new_ticks=$(ticks_of "$new" "$new_broker")
	sleep "$compared"
	old_ticks=$(($(ticks_of "$old" "$old_broker") - old_ticks))
	new_ticks=$(($(ticks_of "$new" "$new_broker") - new_ticks))
	compared_vms=$(($(nr_vms) - compared_from))
	test "$compared_from" -ge $from || compared_vms=
	# shellcheck disable=SC2046 # these are six words
	echo "# a new one, after $compared s more: $(of "$new") $(of "$new_broker")"
	kill -INT "$new"
	wait "$new"
	is "a new one beside it: exit status" 0 $?
}

nr_vms()
{
	echo $(($(wc -l <"$TMP/vms") * 100))
}

# ticks_of PID...: of CPU time, of all of them
ticks_of()
{
	for pid; do sed 's/.*) //' "/proc/$pid/stat"; done | awk '{ ticks += $12 + $13 } END { print ticks }'
}

# of PID: resident KiB, open descriptors, ticks of CPU time
of()
{
	set -- "$1" "$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$1/status" 2>/dev/null)"
	echo "$2 $(find "/proc/$1/fd" -mindepth 1 2>/dev/null | wc -l) $(sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }')"
}

# What each vCPU does, with dirty logging. One without polling, for KVM's own count of halts to be one number.
log=ring
kvm_guest --log=$log dirty=1 >/dev/null 2>&1 || log=bitmap
dirty=4
ops="--log=$log --halt-poll=0 out=60 mmio_write=2 dirty=$dirty hlt=1"

# a_hundred HOW_MANY_AT_A_TIME: short VMs, all in one process
a_hundred()
{
	# shellcheck disable=SC2086 # these are words
	"$generator" --name=soak --repeat=$((100 / $1)) --vms="$1" --vcpus=2 $ops >"$TMP/guest.out" 2>"$TMP/guest.err" || {
		cat "$TMP/guest.err" >>"$TMP/generator.failed"
		return 1
	}
	echo 100 >>"$TMP/vms"
	# An interrupt that comes before a vCPU has gone to sleep ends no halt.
	grep -o '"halt_wait_hist":[0-9]*' "$TMP/guest.out" >>"$TMP/halts"
	grep '"what":"ioctl"' "$TMP/guest.out" | grep -o '"count":[0-9]*' >>"$TMP/ioctls"
}

# 10,000 VMs one after the other: behind the first 1,000 memory stays what it is.
one_after_the_other()
{
	for hundred in $(seq 100); do
		a_hundred 1 || return
		case $hundred in 10 | 100)
			# What a busy moment needed is given back within 16 looks.
			sleep 20
			# shellcheck disable=SC2046 # these are three words
			set -- "$@" $(of "$watcher")
			;;
		esac
	done
	holds "10,000 VMs one after the other: $1 KiB after 1,000, and $4" test "$4" -le $(($1 + 2048))
}

# VMs come and go until it is over, one process after the other. As many a second all the time, if the host can: memory
# depends on how many there are in an interval.
come_and_go()
{
	while test ! -e "$TMP/over"; do
		next_ms=$(($(uptime_ms) + pace_ms))
		a_hundred 4 || return
		left_ms=$((next_ms - $(uptime_ms)))
		test $left_ms -le 0 || sleep "$((left_ms / 1000)).$(printf %03d $((left_ms % 1000)))"
	done
}

# Others come and go meanwhile, whose VMs live for milliseconds: none of theirs is taken for one of these.
pass_by()
{
	while test ! -e "$TMP/over"; do
		kvm_guest --repeat=2 out=7 >/dev/null 2>&1 && echo 2 >>"$TMP/passed"
		sleep 0.1
	done
}

# Rows of 500 VMs are kept, and those of two intervals come on top of them: what is compared begins behind the first 1,000.
# What the allocator has is in steps of 2 MB, of which there may be one: a busy host has more VMs in some intervals. In two
# minutes, whose first third is short, there may be three.
behind=1000
doubling=4096
# Of the time, so much at the end is for a second kvm_watcher, which first sees as many VMs as the first one has seen.
comparing=60 compared=25
test "$seconds" -lt 600 || doubling=512 comparing=300 compared=120
doubling=$((doubling + ${SOAK_MAX_VCPUS:-0} * 3 / 2))

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

cp "$(command -v kvm_guest)" "$generator"
: >"$TMP/vms"
: >"$TMP/halts"
: >"$TMP/ioctls"
# shellcheck disable=SC2086 # these are words
"$generator" --vcpus=2 $ops >"$TMP/one.json"
: >"$TMP/generator.failed"
: >"$TMP/passed"
watch_all old
if test -z "$watcher" || test -z "$broker"; then
	fail "it watches" "$(cat "$TMP/old/err")"
	done_testing
fi
watch_pid=$watcher
test "$seconds" -lt 600 || one_after_the_other
beside_starts
come_and_go &
guests=$!
pass_by &
passers=$!
ticks=0
begin=$(date +%s)
# On a busy host VMs come slowly: twice as long at most, until there are enough.
goes_on()
{
	goes_on_for=$(($(date +%s) - begin))
	test $goes_on_for -lt $((seconds - comparing)) && return
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
compare
: >"$TMP/over"
wait $guests $passers
beside_ends
# The last VMs are seen to have ended.
sleep 1
holds "it still watches after $seconds s" kill -0 "$watcher"
kill -INT "$watcher"
wait "$watcher"
soaked=$?
is "exit status" 0 $soaked
test $soaked = 0 || sed 's/^/# /' "$TMP/old/err"
watch_pid=
# Of the intervals the recording has everything.
grep -E '"scope":"total"|"lost"' "$TMP/old/all" >"$TMP/rows"
test -z "$SOAK_KEEP" || cp "$TMP/samples" "$SOAK_KEEP"
test -z "$SOAK_KEEP" || cp "$TMP/rows" "$SOAK_KEEP.rows"

vms=$(($(wc -l <"$TMP/vms") * 100))
echo "# $vms VMs, $((2 * $(wc -l <"$TMP/passed"))) of others, $(wc -l <"$TMP/samples") samples; kvm_watcher: $(awk 'END { print $3 " KiB, " $4 " descriptors" }' "$TMP/samples"); kvm_watcher-bpf: $(awk 'END { print $6 " KiB, " $7 " descriptors" }' "$TMP/samples")"
is "the generator had no trouble" 0 "$(wc -l <"$TMP/generator.failed")"
holds "VMs came and went" test $vms -ge 100
if test "$(awk -v behind=$behind '$2 >= behind' "$TMP/samples" | wc -l)" -ge 6; then
	flat "KiB of kvm_watcher" 3 $((2048 + doubling))
	flat "KiB of kvm_watcher-bpf" 6 2048
	flat "descriptors of kvm_watcher" 4 2
	flat "descriptors of kvm_watcher-bpf" 7 2
else
	skip "what is flat" "in $goes_on_for s only $vms VMs came: behind the first $behind there is too little to compare"
fi

# Two that are equal differ by a few per cent; a tick is 10 ms.
if test -n "$compared_vms"; then
	holds "ticks of CPU time for the same $compared_vms VMs: $old_ticks, and $new_ticks of a new one" \
		test "$old_ticks" -le $((new_ticks * 5 / 4 + 16))
else
	skip "CPU time" "the second kvm_watcher has not seen $behind VMs"
fi

# of_vcpu JQ: of what one vCPU has done, as the generator tells it
of_vcpu()
{
	jq -rs "map(select(.what == \"vcpu\"))[0] | $1" "$TMP/one.json"
}

# sum_of FILE: of its lines, NAME:NUMBER
sum_of()
{
	awk -F: '{ sum += $2 } END { print sum + 0 }' "$1"
}

# total JQ VALUE: the sum of these totals
total()
{
	jq -s "map(select(.scope == \"total\" and $1) | $2) | add" "$TMP/rows"
}

# total_is WHAT COUNT MONITOR NEED JQ [VALUE]: where this host counts it
total_is()
{
	if total_why=$(missing "$3" "$4"); then
		skip "totals: $1" "$total_why"
	else
		is "totals: $1" "$2" "$(total "$5" "${6:-.count}")"
	fi
}

is "totals: exits to user space" $((vms * 2 * $(of_vcpu .user_exits.IO))) "$(total '.kind == "userspace" and .reason == "IO"' .count)"
is "totals: VMs, as -l sees them" "$vms" "$(total '.name == "KVM_CREATE_VM"' .count)"
# Whatever their rows are: on a busy host a process may use up its share of the records, and the rest is in rows (other).
is "totals: ioctls" "$(sum_of "$TMP/ioctls")" "$(total '.monitor == "kvm_ioctl"' .count)"
total_is "dirty pages" $((vms * 2 * dirty)) mark_page_dirty mark_page_dirty '.monitor == "mark_page_dirty" and .slot == 2'
total_is "halts" "$(sum_of "$TMP/halts")" vcpu_wakeup kvm_vcpu_wakeup '.monitor == "vcpu_wakeup"'
# Each halt is ended by one.
total_is "interrupts by MSI" $((vms * 2)) kvm_irqchip kvm_msi_set_irq '.monitor == "kvm_irqchip"'
# Another VM may have lost something here. An interrupt may come before a vCPU has run for the first time, which -i counts as
# lost: docs/kvm_irq.md.
is "nothing of these VMs is lost" 0 "$(tail -n 1 "$TMP/rows" | jq '[.lost_by[] | select(.vm == null or (.vm | startswith("soak"))) |
	select((.monitor == "irq_inject" and .kind == "thread_unknown") | not) | .count] | add // 0')"
kvm_watcher replay "$recording" --format=json >"$TMP/replay" 2>"$TMP/replay.err"
is "the recording can be replayed" 0 $?
done_testing
