#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Writes tests/serve/texts: what kvm_watcher serves in the machine 6.12-svm, whose KVM tells everything, of VMs that are
# sick (sick.sh). tests/cases/serve.sh serves them to Prometheus. Run it from the root of the sources, after make, when families or
# labels have changed:
#
#	tests/serve/keep-texts.sh [MACHINE]
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$top/tests/machine/machine" run "${1:-6.12-svm}" --file="$top/kvm_watcher:/usr/local/bin/kvm_watcher:755" \
	--file="$top/build/tests/kvm_guest:/usr/local/bin/kvm_guest:755" --file="$top/tests/serve/sick.sh:/work/sick.sh:755" \
	-- './sick.sh && tar -c messages [0-9] | gzip -9 | base64' | base64 -d | tar -xzm -C "$work"
cat "$work/messages" >&2
mkdir -p "$top/tests/serve/texts"
for nr in 0 1 2 3 4 5 6 7 8 9; do
	test -s "$work/$nr"
	gzip -9n <"$work/$nr" >"$top/tests/serve/texts/$nr.gz"
done
ls -l "$top/tests/serve/texts"
