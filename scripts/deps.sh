#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Install what kvm_watcher needs, and only what is missing. Called by `make deps-build`, `deps` and `deps-ci`.
#
#	deps.sh [build|test|ci]
#
# build: to build it. test (default): and to test it and to see the demo. ci: and to check its sources.
set -u

level=${1:-test}
case $level in build | test | ci) ;; *) echo "usage: deps.sh [build|test|ci]" >&2; exit 2 ;; esac

# Debian and Ubuntu. bpftool is added below: Ubuntu's older releases have it under another name.
build="gcc make pkg-config clang llvm libbpf-dev libelf-dev zlib1g-dev libjson-c-dev libseccomp-dev libevent-dev libzstd-dev libncurses-dev linux-libc-dev"
tests="libcmocka-dev gojq busybox-static cpio xz-utils zstd qemu-system-x86 seabios g++ bochs bochs-term bochsbios vgabios"
tests="$tests grub-pc-bin grub-common xorriso bsdutils procps nodejs tmux ncurses-base"
checks="git clang-format clang-tidy clang-tools cppcheck shellcheck strace zsh fish bash-completion mandoc"
checks="$checks valgrind build-essential debhelper lintian rpmlint rpm apparmor prometheus curl systemd"

# up_to BUILD TESTS CHECKS: those of this level.
up_to() {
	case $level in
	build) echo "$1" ;;
	test) echo "$1 $2" ;;
	ci) echo "$1 $2 $3" ;;
	esac
}

say() { printf 'deps: %s\n' "$*"; }

installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# available PACKAGE: can apt install it? A name that only others provide or mention does not count.
available() {
	apt-cache policy "$1" 2>/dev/null | grep -q '^  Candidate: [^(]'
}

# missing PACKAGE...: the ones that are not installed.
missing() {
	for package; do installed "$package" || printf '%s ' "$package"; done
}

have_bpftool() {
	command -v bpftool >/dev/null || [ -x /usr/sbin/bpftool ] || ls /usr/lib/linux-tools/*/bpftool >/dev/null 2>&1
}

# Ubuntu's is a snap, which apt does not install here.
browser_packages() {
	if [ "$level" = ci ] && available chromium && ! command -v chromium >/dev/null; then echo " chromium"; fi
}

bpftool_packages() {
	if available bpftool; then echo bpftool; else echo linux-tools-common linux-tools-generic; fi
}

# The log belongs to whoever runs this.
# shellcheck disable=SC2024
# quietly COMMAND...: as root, its output only when it fails.
quietly() {
	if [ "$(id -u)" = 0 ]; then "$@" >"$log" 2>&1; else sudo "$@" >"$log" 2>&1; fi && return
	cat "$log" >&2
	say "failed: $*" >&2
	exit 1
}

install_with_apt() {
	# shellcheck disable=SC2046
	wanted=$(missing $(up_to "$build" "$tests" "$checks"))
	if [ -z "$wanted" ] && have_bpftool && [ -z "$(browser_packages)" ]; then
		say "everything is installed"
		return
	fi
	if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
		have_bpftool || wanted="$wanted$(bpftool_packages)"
		say "this takes root, and there is no sudo. As root: apt install --no-install-recommends $wanted" >&2
		exit 1
	fi
	log=$(mktemp) || exit 1
	trap 'rm -f "$log"' EXIT
	say "reading the package lists"
	quietly apt-get -q update
	have_bpftool || wanted="$wanted$(bpftool_packages)"
	wanted="$wanted$(browser_packages)"
	say "installing $wanted"
	# shellcheck disable=SC2086
	quietly env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends $wanted
	say "done"
}

# print_names: the same for other distributions, wrapped.
print_names() {
	say "there is no apt here. Nothing was installed; these packages are needed."
	names Fedora "dnf install" \
		"gcc make pkgconf-pkg-config clang llvm bpftool libbpf-devel libbpf-static elfutils-libelf-devel
		zlib-ng-compat-devel zlib-ng-compat-static glibc-static json-c-devel libseccomp-devel libseccomp-static libevent-devel ncurses-devel ncurses-static kernel-headers" \
		"libcmocka-devel jq busybox cpio xz zstd qemu-system-x86-core seabios-bin gcc-c++ bochs grub2-tools-extra
		grub2-pc-modules xorriso util-linux procps-ng nodejs tmux dpkg apt" \
		"git clang-tools-extra clang-analyzer cppcheck ShellCheck strace chromium zsh fish bash-completion mandoc valgrind"
	names Arch "pacman -S --needed" \
		"gcc make pkgconf clang llvm bpf libbpf libelf zlib json-c libseccomp libevent ncurses linux-api-headers" \
		"cmocka jq busybox cpio xz zstd qemu-system-x86 seabios bochs grub libisoburn util-linux procps-ng nodejs tmux" \
		"git cppcheck shellcheck strace chromium zsh fish bash-completion mandoc valgrind"
	names openSUSE "zypper install" \
		"gcc make pkgconf clang llvm bpftool libbpf-devel libbpf-devel-static libelf-devel zlib-devel
		zlib-devel-static glibc-devel-static libjson-c-devel libseccomp-devel libevent-devel ncurses-devel linux-glibc-devel" \
		"libcmocka-devel jq busybox-static cpio xz zstd qemu-x86 qemu-seabios gcc-c++ bochs grub2 grub2-i386-pc xorriso
		util-linux procps nodejs tmux" \
		"git clang-tools cppcheck ShellCheck strace chromium zsh fish bash-completion mandoc valgrind"
}

# names DISTRIBUTION COMMAND BUILD TESTS CHECKS
names() {
	printf '\n%s:\n' "$1"
	printf '%s %s' "$2" "$(up_to "$3" "$4" "$5" | tr -s '\n\t' '  ')" | fold -s -w 88 |
		sed -e 's/^/    /' -e '1s/^  //' -e 's/ *$//' -e '$!s/$/ \\/'
	echo
}

if command -v apt-get >/dev/null; then
	install_with_apt
else
	print_names >&2
	exit 1
fi
