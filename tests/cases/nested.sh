# SPDX-License-Identifier: GPL-2.0-only
. "$(dirname "$0")/lib.sh"
watch --nested
holds "the generator does what it says" guest --vcpus=2 nested_cpuid=7:3 nested=5:4
cat "$TMP/guest.json"
watch_end
cat "$TMP/watch.json"
kvm_watcher --check --nested
for k in raw_tp tp_btf; do
watch --nested --hooks=$k
holds "the generator does what it says" guest --vcpus=2 nested_cpuid=7:3 nested=5:4
watch_end
cat "$TMP/watch.json"
done
fail x
done_testing
