# SPDX-License-Identifier: GPL-2.0-only
# -e --detail and `perf kvm stat` say the same of one run of a guest: each port, address and MSR, count by count.
# perf has its own events and its own rules for which of them are one access; none of it is ours. The runner puts
# perf, of the suite that the machine's kernel is from, into machines whose cases have the next line.
# perf
. "$(dirname "$0")/lib.sh"

perf=/peers/perf/run
if ! has_tool "perf kvm stat agrees" $perf; then
	done_testing
fi

# perf_says EVENT: [number, "R" or "W", count] of each line of its report, which goes to standard error. One is
#	0x3f8:POUT         48    23.53%    70.16%     33.14us ...
perf_says()
{
	$perf kvm -i "$TMP/perf.data" stat report --event="$1" 2>&1 | while read -r key count _; do
		case $key in
		0x*:PIN | 0x*:R) printf '[%d,"R",%d],' "${key%:*}" "$count" ;;
		0x*:POUT | 0x*:W) printf '[%d,"W",%d],' "${key%:*}" "$count" ;;
		esac
	done
}

# shellcheck disable=SC2016
ask_defs='def of(k): $watch | map(select(.scope == "total" and .table == "KVM_EXIT_DETAIL" and .detail_kind == k and .number != 244)) |
	group_by([.number, .write]) | map([.[0].number, if .[0].write then "W" else "R" end, (map(.count) | add)]) | sort;
def counts: group_by([.[0], .[1]]) | map([.[0][0], .[0][1], (map(.[2]) | add)]) | sort;'

# agree EVENT KIND NR COUNT: perf, kvm_watcher and what the generator does (NR keys, COUNT accesses) are one
agree()
{
	said=$(perf_says "$1")
	ask "$1: perf kvm stat counts the same" "[$said empty] | counts" "of(\"$2\")"
	ask "$1: that is what the guest does" "[$3, $4]" "of(\"$2\") | [length, (map(.[2]) | add)]"
}

watch -e --detail || fail "kvm_watcher starts"
# With -a its counters are on before it starts the command.
if $perf kvm stat record -a -o "$TMP/perf.data" kvm_guest --vcpus=2 out=23 out2=24:0x3f8 out4=25:0xcf8 in=26:0x71 in2=27 \
	in4=28:0x608 insb=29 mmio_read=30 mmio_write=31:0xfed000f0 mmio_read=32:0xfed40030 rdmsr=33 wrmsr=34 \
	rdmsr=35:0x277 x2apic_ipi=9 >"$TMP/guest.json" 2>"$TMP/err"; then
	pass "perf records while the generator does what it says"
else
	fail "perf records while the generator does what it says" "$(cat "$TMP/err")"
fi
watch_end && pass "exit status 0" || fail "exit status 0" "$watch_status"
$perf report -i "$TMP/perf.data" --stats >"$TMP/stats" 2>&1
exits=$(awk '$1 ~ /^kvm:/ { event = $1 } $1 == "SAMPLE" && event == "kvm:kvm_exit" { print $NF }' "$TMP/stats")
holds "perf has lost nothing" sh -c "grep -q SAMPLE '$TMP/stats' && ! grep LOST '$TMP/stats'"
ask "perf sees each exit" "${exits:-null}" '$watch | map(select(.scope == "total" and .table == "KVM_EXIT_DETAIL" and .kind == "kvm") | .count) | add'
# What two vCPUs do. To perf the INs of two sizes from 0x80 are one. The OUT to 0xf4, by which a vCPU says that it is
# done, has no entry after it, and is none of perf's.
agree ioport pio 6 $((2 * (23 + 24 + 25 + 26 + 27 + 28 + 29)))
agree mmio mmio 3 $((2 * (30 + 31 + 32)))
# The generator also switches each vCPU to the x2APIC.
agree msr msr 5 $((2 * (33 + 34 + 35 + 9 + 1) + 2 * 1))
ask_lost "nothing lost" 0 'lost | to_entries | map(select(.key != "exits_untraced") | .value) | add'
answers
done_testing
