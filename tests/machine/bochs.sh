# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2154
# A Bochs that is fast. Sourced by `machine`.
#
# Distributions build Bochs with its debugger, which looks at each instruction: the same boot takes four times as long.
# Where apt is, Debian's source of Bochs is built without it, once, into the cache:
#	bochs-VERSION.1/bochs     the program; .1: what mend_bochs mends
# Elsewhere, and where this fails, the distribution's is used. The sum is that of the archive's signed index.

bochs_version=3.0
bochs_archive=bochs_$bochs_version+dfsg.orig.tar.xz
bochs_sum=78f6c73d4a6472d5130a87ab9dc306d02c7c71ed8e25b3a8ef642e2a7acd282b
fast_bochs=$cache/bochs-$bochs_version.1/bochs

# download_bochs: its source, into the current directory.
download_bochs() {
	local address
	address=$(archive_for trixie) || { say "no Debian archive among this machine's package sources"; return 1; }
	/usr/lib/apt/apt-helper download-file "$address/pool/main/b/bochs/$bochs_archive" "$bochs_archive" \
		"SHA256:$bochs_sum"
}

# mend_bochs: the descriptor of posted interrupts has to be at 64 bytes, by the processor's manual; Bochs wants 4096, and
# KVM's is never there.
mend_bochs() {
	sed -i 's/! IsValidPageAlignedPhyAddr(vm->pid_addr)/(vm->pid_addr \& 63) || ! IsValidPhyAddr(vm->pid_addr)/' cpu/vmx.cc
}

# compile_bochs: only what the machines have. AVX is part of their processor, and wants EVEX.
compile_bochs() {
	tar -xf "$bochs_archive" && cd "bochs-$bochs_version" && mend_bochs &&
		./configure --with-nogui --enable-all-optimizations --enable-x86-64 --enable-vmx=2 --enable-avx \
			--enable-evex --enable-memtype --disable-docbook --disable-plugins --disable-xpm \
			CXXFLAGS='-O2 -fno-pie' CFLAGS='-O2 -fno-pie' LDFLAGS='-no-pie' &&
		make -j "$(nproc)" bochs && strip bochs
}

# build_bochs: in a new directory, of which only the program stays.
build_bochs() (
	local new=$cache/bochs-$bochs_version.new
	rm -rf "$new" && mkdir -p "$new" && cd "$new" || exit 1
	say "bochs: downloading the source of $bochs_version"
	download_bochs >log 2>&1 || { tail -n 5 log >&2; exit 1; }
	say "bochs: building it without its debugger; this takes a minute or two, once"
	(compile_bochs) >log 2>&1 || { tail -n 5 log >&2; exit 1; }
	mkdir -p "${fast_bochs%/*}" && mv "bochs-$bochs_version/bochs" "$fast_bochs" && cd / && rm -rf "$new"
)

# fetch_bochs: make the fast one available, one process at a time. Not to have it costs time, nothing else.
fetch_bochs() (
	[ -x "$fast_bochs" ] && exit 0
	mkdir -p "$cache" || exit 1
	exec 9>"$cache/bochs.lock"
	flock -n 9 || { say "waiting for another build of bochs to end"; flock 9; }
	[ -x "$fast_bochs" ] && exit 0
	# What failed before fails again: one attempt a day.
	[ -z "$(find "$cache/bochs.failed" -mtime -1 2>/dev/null)" ] || exit 1
	build_bochs 9>&- && exit 0
	: >"$cache/bochs.failed"
	say "bochs: the one of the distribution is used, which is slow"
	exit 1
)
