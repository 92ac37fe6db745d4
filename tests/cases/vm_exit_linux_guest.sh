# SPDX-License-Identifier: GPL-2.0-only
# An unmodified Linux boots under QEMU and KVM while -e watches: per reason, its
# totals are what the kernel's own histogram of kvm_exit counts.
. "$(dirname "$0")/lib.sh"

name="a Linux guest's exits per reason, as tracefs counts them"

has_tool "$name" start-linux-guest || done_testing
if why=$(missing vm_exit kvm_exit); then
	skip "$name" "$why"
	done_testing
fi
hist_begin kvm_exit exit_reason

# What both count begins and ends with the guest: there is no other VM.
if ! watch -e --interval=5; then
	fail "kvm_watcher starts"
	done_testing
fi
timeout 500 start-linux-guest --memory=160 --rounds=2 >"$TMP/console" 2>&1
if grep -q "guest done" "$TMP/console"; then
	pass "the Linux guest boots and ends"
else
	fail "the Linux guest boots and ends" "$(tail -n 20 "$TMP/console")"
fi
watch_end
hist_end >"$TMP/theirs"
jq -rs 'map(select(.scope == "total" and .kind == "kvm")) | group_by(.reason_code) |
	map("\(.[0].reason_code) \(map(.count) | add)") | .[]' "$TMP/watch.json" | sort -n >"$TMP/mine"
if test -n "$hist_refused"; then
	skip "$name" "$hist_refused"
else
	is "$name" "$(tr '\n' ',' <"$TMP/theirs")" "$(tr '\n' ',' <"$TMP/mine")"
fi
holds "there were thousands of exits" test "$(awk '{n += $2} END {print n}' "$TMP/mine")" -gt 2000
is "the VM bears QEMU's name for it" '"demo-guest"' \
	"$(jq -s 'map(select(.scope == "total") | .vm) | unique | .[]' "$TMP/watch.json")"
is "nothing lost" 0 "$(summary '[.lost | to_entries[] |
	select(.key != "exits_untraced" and .key != "exits_untimed") | .value] | add')"
echo "# $(summary .lost)"
done_testing
