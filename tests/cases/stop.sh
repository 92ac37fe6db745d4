# SPDX-License-Identifier: GPL-2.0-only
# How a run ends: with a reader that stalls, by a second signal, while it loads.
. "$(dirname "$0")/lib.sh"

now_ms()
{
	echo $(($(date +%s%N) / 1000000))
}

# ends_within NAME MS: the process $watcher is gone by then
ends_within()
{
	begin=$(now_ms)
	while kill -0 "$watcher" 2>/dev/null && test $(($(now_ms) - begin)) -lt "$2"; do
		sleep 0.02
	done
	if kill -0 "$watcher" 2>/dev/null; then
		fail "$1" "it still runs after $2 ms"
		kill -9 "$watcher"
	else
		pass "$1"
	fi
}

# It takes signals from now on, and loads.
until_it_loads()
{
	while kill -0 "$watcher" 2>/dev/null && ! grep -q '^SigBlk:.*4003$' "/proc/$watcher/status"; do
		sleep 0.01
	done
}

# stalled OPTION...: its output is a pipe that nobody reads, and full
stalled()
{
	rm -f "$TMP/err"
	mkfifo "$TMP/pipe"
	# shellcheck disable=SC2217 # it is to hold the pipe open, and not to read it
	sleep 60 <"$TMP/pipe" &
	reader=$!
	kvm_watcher -l --events --format=json "$@" >"$TMP/pipe" 2>"$TMP/err" &
	watcher=$!
	while ! grep -q watching "$TMP/err" 2>/dev/null; do
		kill -0 "$watcher" 2>/dev/null || break
		sleep 0.02
	done
	kvm_guest --vms=4 msi=1000 >/dev/null
	rm "$TMP/pipe"
}

stalled
kill -INT "$watcher"
ends_within "a reader that stalls, Ctrl-C: gone after 2 s" 5000
wait "$watcher"
is "a reader that stalls, Ctrl-C: exit status" 1 $?
is "a reader that stalls, Ctrl-C: why" 1 "$(grep -c 'gave up' "$TMP/err")"
kill "$reader"

stalled
kill -TERM "$watcher"
sleep 0.2
kill -INT "$watcher"
ends_within "a reader that stalls, a second signal: gone at once" 1500
wait "$watcher"
is "a reader that stalls, a second signal: exit status" 130 $?
kill "$reader"

stalled -t 1
ends_within "a reader that stalls, -t: gone 2 s after its end" 6000
wait "$watcher"
is "a reader that stalls, -t: exit status" 1 $?
kill "$reader"

# The totals do not wait until the kernel has let go of all programs.
all="-e -f -d -w -n -o -c -i -h -l -T"
rm -f "$TMP/err"
# shellcheck disable=SC2086 # these are options
kvm_watcher $all --temp-dir="$TMP" >"$TMP/out" 2>"$TMP/err" &
watcher=$!
while kill -0 "$watcher" && ! grep -q watching "$TMP/err" 2>/dev/null; do
	sleep 0.02
done
begin=$(now_ms)
kill -TERM "$watcher"
while kill -0 "$watcher" && ! grep -q 'whole run' "$TMP/out"; do
	sleep 0.01
done
took=$(($(now_ms) - begin))
# 40 to 125 ms on two busy CPUs; what can keep it beyond that is the load of the host.
holds "Ctrl-C: totals after at most 1 s (they took $took ms)" test "$took" -lt 1000
wait "$watcher"
is "Ctrl-C: exit status" 0 $?

# All monitors take longer to load than this waits.
# shellcheck disable=SC2086 # these are options
kvm_watcher $all --summary >"$TMP/out" 2>"$TMP/err" &
watcher=$!
until_it_loads
kill -INT "$watcher"
ends_within "Ctrl-C while it loads: gone soon" 5000
wait "$watcher"
is "Ctrl-C while it loads: exit status" 1 $?
is "Ctrl-C while it loads: nothing is shown" 0 "$(wc -c <"$TMP/out")"
is "Ctrl-C while it loads: says so" 1 "$(grep -c 'stopped before watching began' "$TMP/err")"

# shellcheck disable=SC2086 # these are options
kvm_watcher $all --summary >"$TMP/out" 2>"$TMP/err" &
watcher=$!
until_it_loads
# Two of one kind at once would be one.
kill -INT "$watcher"
kill -TERM "$watcher"
ends_within "two signals while it loads: gone at once" 1500
wait "$watcher"
is "two signals while it loads: exit status" 143 $?
done_testing
