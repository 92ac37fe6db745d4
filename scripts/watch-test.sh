#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Builds and runs unit tests whenever a source is saved, until Ctrl-C. Called by the Makefile.
#
#	watch-test.sh [TEST]
#
# TEST: only this one, such as test_times.
set -u
test=${1-}

if ! command -v inotifywait >/dev/null && ! command -v entr >/dev/null; then
	echo "make watch-test: there is neither inotifywait (inotify-tools) nor entr; install one of them" >&2
	exit 1
fi

sources() {
	git ls-files --cached --others --exclude-standard -- '*.c' '*.h' Makefile output/html docs tests/golden
}

# wait_for_change: returns when a source was written, made or removed.
wait_for_change() {
	if command -v inotifywait >/dev/null; then
		# An editor may write a file of another name and move it.
		sources | sed 's,/[^/]*$,,; /\//!s,^[^/]*\..*$\|^Makefile$,.,' | sort -u |
			xargs -d '\n' inotifywait -qq -e close_write,move,delete
	else
		sources | entr -ndpz true
	fi
}

trap 'exit 0' INT TERM
while :; do
	if [ -n "$test" ]; then
		make --no-print-directory "build/tests/unit/$test" && "build/tests/unit/$test" 2>&1
	else
		make --no-print-directory -j"$(nproc)" test-unit
	fi
	printf -- '-- %s, waiting for a change (Ctrl-C ends it) --\n' "$(date +%T)"
	wait_for_change || exit 1
done
