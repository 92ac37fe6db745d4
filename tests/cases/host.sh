# SPDX-License-Identifier: GPL-2.0-only
# --host is what the files say that it reads, and what a cgroup does to a VM is in its counters.
. "$(dirname "$0")/lib.sh"

ask_defs='def rows(t): $watch | map(select(.scope == "total" and .table == t));
def host(n): rows("HOST") | map(select(.name == n));'

# setting NAME FILE
setting()
{
	test ! -r "$2" || test -z "$(cat "$2")" || ask "$1" "$(jq -Rs 'rtrimstr("\n")' "$2")" "host(\"$1\")[0].value"
}

settings()
{
	watch --host || fail "kvm_watcher starts"
	watch_end && pass "exit status 0" || fail "exit status 0" "$watch_status"
	for file in /sys/module/kvm*/parameters/*; do
		module=${file#/sys/module/}
		setting "${module%%/*}.${file##*/}" "$file"
	done
	setting clocksource /sys/devices/system/clocksource/clocksource0/current_clocksource
	setting swap.swappiness /proc/sys/vm/swappiness
	setting cmdline /proc/cmdline
	setting cpu.isolated /sys/devices/system/cpu/isolated
	setting ksm.run /sys/kernel/mm/ksm/run
	setting vulnerability.l1tf /sys/devices/system/cpu/vulnerabilities/l1tf
	ask "memory, in bytes" "$(awk '/^MemTotal/ { printf "%.0f", $2 * 1024 }' /proc/meminfo)" 'host("memory.MemTotal")[0].number'
	ask "what is chosen of several" "$(sed 's/.*\[\(.*\)\].*/"\1"/' /sys/kernel/mm/transparent_hugepage/enabled)" \
		'host("thp.enabled")[0].value'
	ask_true "counters are counters" 'host("vmstat.pgmajfault")[0] | .count >= 0 and .value == null'
	ask "each name once" 'rows("HOST") | length' 'rows("HOST") | map(.name) | unique | length'
	ask "nothing lost" 0 'lost | add'
	answers
}

# A setting that is changed is in the next interval, and in no other one than the first.
changes()
{
	parameter=/sys/module/kvm/parameters/halt_poll_ns
	was=$(cat $parameter)
	kvm_watcher --host --format=json --interval=300ms -t 4 >"$TMP/watch.json" 2>"$TMP/watch.err" &
	sleep 2
	echo 12345 >$parameter
	wait $!
	echo "$was" >$parameter
	rm -f "$TMP/guest.json"
	ask "a change is shown once" "[$was, 12345]" '$watch | map(select(.scope == "interval" and
		.name == "kvm.halt_poll_ns").number)'
	answers
}

# The limit is of a cgroup above the VM's own.
limits()
{
	cg=$TMP/cg
	mkdir "$cg"
	if ! mount -t cgroup2 none "$cg" || ! echo "+cpu +memory" >"$cg/cgroup.subtree_control"; then
		fail "limits: this kernel has cgroups of version 2"
		return
	fi
	mkdir "$cg/vm" && echo +memory >"$cg/vm/cgroup.subtree_control" && mkdir "$cg/vm/inner"
	echo "20000 100000" >"$cg/vm/cpu.max"
	echo 104857600 >"$cg/vm/inner/memory.max"
	watch --host || fail "limits: kvm_watcher starts"
	sh -c "echo \$\$ >'$cg/vm/inner/cgroup.procs' && exec kvm_guest --end-on='$TMP/gone' spin=1500" \
		>>"$TMP/guest.json" 2>"$TMP/guest.err" &
	generator=$!
	while ! grep -q '"what":"vm"' "$TMP/guest.json" && kill -0 $generator 2>/dev/null; do
		sleep 0.1
	done
	kill -STOP $generator
	sleep 0.5
	for key in nr_throttled throttled_usec; do
		printf '{"what":"%s","n":%s}\n' $key "$(sed -n "s/^$key //p" "$cg/vm/cpu.stat")" >>"$TMP/guest.json"
	done
	watch_end && pass "limits: exit status 0" || fail "limits: exit status 0" "$watch_status"
	kill -CONT $generator
	: >"$TMP/gone"
	holds "limits: the generator does what it says" wait $generator
	rmdir "$cg/vm/inner" "$cg/vm"
	umount "$cg"
	ask "limits: the cgroups of the VM" '["/vm", "/vm/inner"]' 'rows("VM_CGROUP") | map(.cgroup) | unique'
	ask "limits: the quota" '["20000 100000"]' 'rows("VM_CGROUP") | map(select(.cgroup == "/vm" and .name == "cpu.max").value)'
	ask "limits: the memory" '[104857600]' \
		'rows("VM_CGROUP") | map(select(.cgroup == "/vm/inner" and .name == "memory.max").number)'
	ask_true "limits: it was throttled" '$guest | any(.what == "nr_throttled" and .n > 0)'
	for key in nr_throttled throttled_usec; do
		ask "limits: $key" "\$guest | map(select(.what == \"$key\").n)" \
			"rows(\"VM_CGROUP\") | map(select(.cgroup == \"/vm\" and .name == \"cpu.stat.$key\").count)"
	done
	ask_true "limits: memory by node" 'rows("VM_CGROUP") | any(.name == "memory.numa_stat.anon.N0" and .number > 0)'
	answers
}

settings
# What belongs to others is left as it is.
if planned limits && test -n "$KVM_WATCHER_MACHINE"; then
	changes
	limits
	part_ends
fi
done_testing
