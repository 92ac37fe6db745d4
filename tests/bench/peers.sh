# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2154
# The programs that `bench` compares with, from the suites that the machine's kernel is from, with the libraries they
# need: perf (linux-perf) and bpftrace. Nothing is installed; the package archive is read as for the kernels. Sourced
# by `bench`.

here=$top/tests/machine

say() { printf 'bench: %s\n' "$*" >&2; }

# shellcheck source=../machine/fetch.sh
. "$here/fetch.sh"

# add_peer LABEL PACKAGE PROGRAM DIRECTORY: with its libraries, for /peers/PROGRAM.
add_peer() {
	local state=$cache/apt/$1 tree=$4.tree file loader into=$4.new
	rm -rf "$tree" "$into" "$state/archives"
	mkdir -p "$state/archives/partial" "$tree" "$into/bin" "$into/lib"
	say "$1: downloading $2"
	private_apt "$1" apt-get install -y --download-only --no-install-recommends "$2" >"$state/peers.log" 2>&1 ||
		{ tail -n 3 "$state/peers.log" >&2; return 1; }
	for file in "$state/archives"/*.deb; do dpkg-deb -x "$file" "$tree" || return 1; done
	loader=$(find "$tree" -name 'ld-linux-x86-64.so.2' | head -n 1)
	file=$(find "$tree/usr/bin" "$tree/usr/sbin" -name "$3" 2>/dev/null | head -n 1)
	[ -n "$loader" ] && [ -n "$file" ] || return 1
	install -m 755 "$file" "$into/bin/$3" && install -m 755 "$loader" "$into/lib/" || return 1
	"$loader" --inhibit-cache --library-path "$(find "$tree" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd :)" --list "$file" |
		sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p' | while read -r file; do install -m 755 "$(readlink -f "$file")" "$into/lib/$(basename "$file")"; done
	cat >"$into/run" <<-END
		#!/bin/sh
		exec /peers/$3/lib/ld-linux-x86-64.so.2 --library-path /peers/$3/lib /peers/$3/bin/$3 "\$@"
	END
	chmod 755 "$into/run"
	rm -rf "$tree"
	mv "$into" "$4"
}

# peer_tree MACHINE PACKAGE PROGRAM: the directory that goes to /peers/PROGRAM in it, as $peer_directory; false when
# there is none.
peer_tree() {
	local label=${1%-*}
	peer_directory=$cache/peers/$label.$3
	[ -d "$peer_directory" ] && return
	mkdir -p "$cache/peers"
	(
		exec 9>"$cache/lock"
		flock 9
		if ! read_lists "$label" || ! add_peer "$label" "$2" "$3" "$peer_directory"; then
			say "$label: $3 is not to be had"
		fi
		rm -rf "$cache/apt/$label"
	)
	[ -d "$peer_directory" ]
}
