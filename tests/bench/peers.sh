# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2154
# The programs that `bench` compares with, from the suites that the machine's kernel is from, with the libraries they
# need: perf (linux-perf), bpftrace, and what is in Python: kvm_stat and bcc's kvmexit. Nothing is installed; the package archive is read as for the kernels. Sourced
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

# add_python LABEL DIRECTORY: root.tar, a root directory with Python, bcc and the kernel's headers, which bcc compiles with, and
# kvm_stat, which Debian has in the sources of its kernel alone.
add_python() {
	local state=$cache/apt/$1 tree=$2.new release file
	release=$(cat "$cache/kernels/$1/release") || return 1
	rm -rf "$tree" "$state/archives"
	mkdir -p "$state/archives/partial" "$tree/usr/bin"
	say "$1: downloading bpfcc-tools, linux-headers-$release and linux-source-$1"
	if ! {
		private_apt "$1" apt-get install -y --download-only --no-install-recommends bpfcc-tools python3 &&
			cd "$state/archives" && private_apt "$1" apt-get download "linux-headers-$release" \
			"linux-headers-$(echo "$release" | sed -E 's/-(cloud-)?amd64$//')-common" "linux-source-$1"
	} >"$state/peers.log" 2>&1; then
		tail -n 3 "$state/peers.log" >&2
		return 1
	fi
	for file in "$state/archives"/*.deb; do
		case $file in
		*/linux-source-*) continue ;;
		*) dpkg-deb -x "$file" "$tree" || return 1 ;;
		esac
	done
	dpkg-deb --fsys-tarfile "$state/archives/linux-source-$1"_*.deb | tar -xO --wildcards './usr/src/linux-source-*.tar.xz' |
		tar -xJ -C "$tree/usr/bin" --strip-components=4 --wildcards '*/tools/kvm/kvm_stat/kvm_stat' || return 1
	# Bochs reads all of it from a CD: what none of them opens is left out.
	(cd "$tree" && rm -rf usr/share/doc usr/share/man usr/share/locale usr/share/info usr/share/perl* usr/lib/*/perl* \
		usr/share/zoneinfo usr/share/i18n usr/src/*/scripts usr/src/*/drivers usr/lib/*/gconv usr/lib/*/ldscripts &&
		find usr/src -path '*/arch/*' ! -path '*/arch/x86*' -delete
	find "$tree/usr/lib" -name '*.a' -delete)
	# A machine's trees have no links.
	mkdir -p "$2" && tar -C "$tree" -cf "$2/root.tar" . && rm -rf "$tree"
}

# peer_tree MACHINE PROGRAM [PACKAGE]: the directory that goes to /peers/PROGRAM in it, as $peer_directory; false when
# there is none.
peer_tree() {
	local label=${1%-*}
	peer_directory=$cache/peers/$label.$2
	[ -d "$peer_directory" ] && return
	mkdir -p "$cache/peers"
	(
		exec 9>"$cache/lock"
		flock 9
		if ! read_lists "$label" || ! case $2 in
		python) add_python "$label" "$peer_directory" ;;
		*) add_peer "$label" "$3" "$2" "$peer_directory" ;;
		esac; then
			say "$label: $2 is not to be had"
		fi
		rm -rf "$cache/apt/$label"
	)
	[ -d "$peer_directory" ]
}
