#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The demonstration: all monitors of kvm_watcher, one after the other, beside a Linux guest that runs under QEMU and
# KVM, and then its diagnosis. On this machine if its KVM and its kernel allow that, else inside the test machine
# 6.1-svm.
#
#	tests/demo.sh
#
# DEMO='-e --detail': these options alone, for ten seconds. YES=1: answers what is asked. Exits with 1 when something
# could not be measured.
set -u

top=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
machine=$top/tests/machine/machine
watcher=${KVM_WATCHER:-$top/kvm_watcher}
name=6.1-svm
directory=''
# Two vCPUs that always have something to do, and a balloon for demo-tour.
guest=(--cpus=2 --rounds=1000 --busy -device virtio-balloon)

say() { printf 'demo: %s\n' "$*"; }

# cpu_has: vmx, svm, or nothing
cpu_has() {
	grep -qw vmx /proc/cpuinfo && echo vmx
	grep -qw svm /proc/cpuinfo && echo svm
}

# say_cpu: what this CPU has, and what that is called in firmware
say_cpu() {
	case $(cpu_has) in
	vmx) say "this CPU has VMX, Intel's virtualization" ;;
	svm) say "this CPU has SVM, AMD's virtualization" ;;
	*) say "this CPU has neither VMX nor SVM, or its firmware or hypervisor hides them" ;;
	esac
}

has_kvm() { [ -d /sys/module/kvm_intel ] || [ -d /sys/module/kvm_amd ]; }

# asks QUESTION: yes? Of nobody who could answer: no.
asks() {
	local answer=''
	if [ "${YES-}" = 1 ]; then
		say "$1 Yes (YES=1)."
		return 0
	fi
	[ -t 0 ] || { say "$1 No: there is nobody to ask; YES=1 says yes."; return 1; }
	read -r -p "demo: $1 [y/N] " answer
	[[ $answer == [yY]* ]]
}

# load_module: where only the module is missing, offers to load it.
load_module() {
	local module=kvm_intel
	has_kvm && return
	[ -n "$(cpu_has)" ] && [ "$(id -u)" = 0 ] || return
	[ "$(cpu_has)" = svm ] && module=kvm_amd
	modinfo "$module" >/dev/null 2>&1 || return
	asks "$module is not loaded. Load it?" || return
	modprobe "$module" && say "loaded; modprobe -r $module unloads it"
}

# why_not_here: why this machine cannot show it; nothing if it can.
why_not_here() {
	[ "$(id -u)" = 0 ] || { echo "not run as root"; return; }
	has_kvm || { echo "KVM here is neither kvm_intel nor kvm_amd"; return; }
	[ -w /dev/kvm ] || { echo "/dev/kvm cannot be used"; return; }
	command -v qemu-system-x86_64 >/dev/null || { echo "there is no qemu-system-x86_64"; return; }
	"$watcher" --check >/dev/null 2>&1 || echo "the kernel does not let kvm_watcher in (kvm_watcher --check)"
}

# install_it: what is shown is what make install installs, in a directory that is gone afterwards.
install_it() {
	if [ "$watcher" != "$top/kvm_watcher" ]; then
		mkdir -p "$directory/sbin"
		cp "$watcher" "$directory/sbin/kvm_watcher"
		return
	fi
	make -s -C "$top" install DESTDIR="$directory" PREFIX= >"$directory/install.log" 2>&1 && return
	cat "$directory/install.log" >&2
	say "make install failed"
	exit 1
}

demo_here() {
	say "making a small Linux guest"
	"$machine" guest "$name" "$directory" || "$machine" guest "$name" "$directory" --kernel="/boot/vmlinuz-$(uname -r)" || exit 1
	say "booting it with QEMU and KVM"
	PATH=$directory/sbin:$PATH "$top/tests/machine/demo-tour" "$top/tests/machine/start-linux-guest" \
		--directory="$directory" "${guest[@]}"
}

# Everything takes ten times as long there: so may the polling before a halt.
demo_in_machine() {
	"$machine" fetch "$name" || exit 1
	say "booting $name, an emulated AMD machine: its counts are real, its times are not"
	"$machine" run "$name" --qemu --timeout=500 --file="$directory/sbin/kvm_watcher:/usr/local/bin/kvm_watcher:755" \
		--file="$top/tests/machine/demo-tour:/usr/local/bin/demo-tour:755" -- \
		"echo 2000000 >/sys/module/kvm/parameters/halt_poll_ns
		DEMO='${DEMO-}' SECONDS_EACH=${SECONDS_EACH-3} demo-tour start-linux-guest ${guest[*]}"
}

[ -x "$watcher" ] || { say "there is no $watcher: run make first"; exit 1; }
# It goes into another shell.
[[ ${DEMO-} != *\'* ]] || { say "DEMO: no single quotes, please"; exit 1; }
directory=$(mktemp -d "${TMPDIR:-/tmp}/kvm-demo.XXXXXX") || exit 1
trap 'rm -rf "$directory"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
say_cpu
load_module
install_it
say "installed $("$directory/sbin/kvm_watcher" --version) below a temporary directory"
reason=$(why_not_here)
if [ -z "$reason" ]; then
	say "on this machine, $(uname -sr)"
	demo_here
else
	say "not on this machine itself: $reason"
	demo_in_machine
fi
