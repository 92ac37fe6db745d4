#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The demonstration: kvm_watcher beside a Linux guest that runs under QEMU and KVM. On this machine if its
# KVM and its kernel allow that, else inside the test machine 6.1-svm. Exits with kvm_watcher's status.
set -u

top=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
machine=$top/tests/machine/machine
watcher=${KVM_WATCHER:-$top/kvm_watcher}
name=6.1-svm
guest_pid='' directory=''

say() { printf 'demo: %s\n' "$*"; }

# why_not_here: why this machine cannot show it; nothing if it can.
why_not_here() {
	[ "$(id -u)" = 0 ] || { echo "not run as root"; return; }
	[ -d /sys/module/kvm_intel ] || [ -d /sys/module/kvm_amd ] || { echo "KVM here is neither kvm_intel nor kvm_amd"; return; }
	[ -w /dev/kvm ] || { echo "/dev/kvm cannot be used"; return; }
	command -v qemu-system-x86_64 >/dev/null || { echo "there is no qemu-system-x86_64"; return; }
	"$watcher" --check >/dev/null 2>&1 || echo "the kernel does not let kvm_watcher in (kvm_watcher --check)"
}

# stop_guest: end the guest this script started.
stop_guest() {
	[ -n "$guest_pid" ] && kill "$guest_pid" 2>/dev/null && wait "$guest_pid" 2>/dev/null
	[ -n "$directory" ] && rm -rf "$directory"
}

demo_here() {
	directory=$(mktemp -d "${TMPDIR:-/tmp}/kvm-demo.XXXXXX") || exit 1
	trap stop_guest EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	say "making a small Linux guest"
	"$machine" guest "$name" "$directory" || "$machine" guest "$name" "$directory" --kernel="/boot/vmlinuz-$(uname -r)" || exit 1
	say "booting it with QEMU and KVM"
	"$top/tests/machine/start-linux-guest" --directory="$directory" --cpus=2 --rounds=60 \
		</dev/null >"$directory/guest.log" 2>&1 &
	guest_pid=$!
	sleep 1
	if ! kill -0 "$guest_pid" 2>/dev/null; then
		cat "$directory/guest.log" >&2
		say "the guest did not start"
		exit 1
	fi
	say "kvm_watcher -e -t 10"
	"$watcher" -e -t 10
}

# shellcheck disable=SC2016
inside='
echo "demo: $(uname -sr) is up, booting the guest in it with QEMU and KVM"
start-linux-guest --rounds=60 >/tmp/guest.log 2>&1 &
guest=$!
for second in 1 2 3 4 5 6 7 8 9 10; do
	ls -d /sys/kernel/debug/kvm/*-* >/dev/null 2>&1 && break
	sleep 1
done
if ! kill -0 $guest 2>/dev/null; then
	cat /tmp/guest.log
	echo "demo: the guest did not start"
	exit 1
fi
echo "demo: kvm_watcher -e -t 10"
kvm_watcher -e -t 10
status=$?
kill $guest
exit $status'

demo_in_machine() {
	"$machine" fetch "$name" || exit 1
	say "booting $name, an emulated AMD machine; some seconds"
	exec "$machine" run "$name" --qemu --timeout=180 --file="$watcher:/usr/local/bin/kvm_watcher:755" -- "$inside"
}

[ -x "$watcher" ] || { say "there is no $watcher: run make first"; exit 1; }
reason=$(why_not_here)
if [ -z "$reason" ]; then
	say "on this machine, $(uname -sr)"
	demo_here
else
	say "not on this machine itself: $reason"
	demo_in_machine
fi
