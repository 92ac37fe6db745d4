# SPDX-License-Identifier: GPL-2.0-only
# `machine shell`: its emulator ends with the terminal, and at --timeout. start-linux-guest leaves the terminal
# alone. Where there is an emulator: on a host that tests, not in a test machine.
# Functions are called by way of holds.
# shellcheck disable=SC2317
. "$(dirname "$0")/lib.sh"

machines=$(cd "$(dirname "$0")/../machine" 2>/dev/null && pwd)
for program in qemu-system-x86_64 script pgrep; do
	command -v $program >/dev/null || missing=$program
done
if test -z "$machines" || test -n "${missing:-}"; then
	echo "1..0 # SKIP no test machines here${missing:+: there is no $missing}"
	exit
fi

# A QEMU that only says what its standard input is.
mkdir "$TMP/bin" "$TMP/work"
printf '#!/bin/sh\nreadlink /proc/self/fd/0\n' >"$TMP/bin/qemu-system-x86_64"
chmod +x "$TMP/bin/qemu-system-x86_64"
is "start-linux-guest: QEMU doesn't read the terminal" /dev/null \
	"$(PATH=$TMP/bin:$PATH script -qec "$machines/start-linux-guest" /dev/null </dev/null | tr -d '\r')"

if ! "$machines/machine" fetch 6.1-svm 2>"$TMP/fetch"; then
	skip "machine shell" "its kernel is not here: $(tail -n 1 "$TMP/fetch")"
	done_testing
fi

# emulators: those that work in this case's directory
emulators()
{
	pgrep -f "^qemu-system-x86_64 .*$TMP/work/"
}

# within SECONDS COMMAND...: it succeeds in that time
within()
{
	tenths=$(($1 * 10))
	shift
	until "$@" >/dev/null; do
		tenths=$((tenths - 1))
		test $tenths -gt 0 || return 1
		sleep 0.1
	done
}

none()
{
	! emulators
}

# A standard input that does not end.
mkfifo "$TMP/terminal"
sleep 300 >"$TMP/terminal" 2>/dev/null &
sleep_pid=$!
export TMPDIR="$TMP/work"
script -qec "$machines/machine shell 6.1-svm --timeout=4" /dev/null <"$TMP/terminal" >"$TMP/out" 2>&1 &
holds "a shell: the emulator runs" within 20 emulators
holds "--timeout: it is stopped" within 20 none
holds "--timeout: and that is said" within 5 grep -q 'hit the time limit of 4 s' "$TMP/out"

# What holds the terminal's other end is killed: nobody sends anybody a signal but the kernel.
for signals in 'as they are' 'ignored'; do
	(
		test "$signals" = 'as they are' || trap '' HUP
		exec script -qec "$machines/machine shell 6.1-svm" /dev/null <"$TMP/terminal" >"$TMP/out" 2>&1
	) &
	terminal=$!
	holds "signals $signals: the emulator runs" within 20 emulators
	kill -KILL $terminal
	holds "signals $signals: it ends with its terminal" within 5 none
	holds "signals $signals: nothing of it is left" within 5 rmdir "$TMP/work"
	mkdir -p "$TMP/work"
done
# shellcheck disable=SC2046
kill $sleep_pid $(emulators) 2>/dev/null
done_testing
