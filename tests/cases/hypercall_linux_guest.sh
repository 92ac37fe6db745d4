# SPDX-License-Identifier: GPL-2.0-only
# An unmodified Linux with two vCPUs uses PV IPIs and PV kicks: -h counts what
# tracefs counts per number, and per vCPU what KVM's own counter says.
. "$(dirname "$0")/lib.sh"

name="a Linux guest's hypercalls"
ipis=5

has_tool "$name" start-linux-guest || done_testing
if why=$(missing hypercall kvm_hypercall); then
	skip "$name" "$why"
	done_testing
fi
hist_begin kvm_hypercall nr
if ! watch -h --temp-dir="$TMP/calls"; then
	fail "kvm_watcher starts"
	done_testing
fi
timeout 250 start-linux-guest --cpus=2 --memory=160 --rounds=2 --ipis=$ipis >"$TMP/console" 2>&1
if grep -q "guest done" "$TMP/console"; then
	pass "the Linux guest boots and ends"
else
	fail "the Linux guest boots and ends" "$(tail -n 20 "$TMP/console")"
fi
watch_end
hist_end >"$TMP/theirs"

# totals JQ: of the total rows
totals()
{
	jq -rs "map(select(.scope == \"total\")) | $1" "$TMP/watch.json"
}

totals 'group_by(.nr) | map("\(.[0].nr) \(map(.count) | add)") | .[]' | sort -n >"$TMP/mine"
sed 's/^/# number and count: /' "$TMP/mine"
if test -n "$hist_refused"; then
	skip "$name: as tracefs counts them" "$hist_refused"
else
	is "$name: as tracefs counts them" "$(tr '\n' ',' <"$TMP/theirs")" "$(tr '\n' ',' <"$TMP/mine")"
fi
is "$name: per vCPU, as KVM counts them" "$(totals 'group_by(.vcpu) | map("\(.[0].vcpu):\(.[0].vcpu_total)") | join(" ")')" \
	"$(totals 'group_by(.vcpu) | map("\(.[0].vcpu):\(map(.count) | add)") | join(" ")')"
is "PV IPIs" $ipis "$(totals 'map(select(.name == "SEND_IPI") | .count) | add')"
if test "$(totals 'map(select(.name == "KICK_CPU") | .count) | add // 0')" -gt 0; then
	pass "PV kicks"
else
	skip "PV kicks" "no vCPU had to wait for a lock in this run"
fi
is "PV IPIs go to the other vCPU" true "$(jq -s 'map(select(.name == "SEND_IPI") |
	.decoded.destinations == [1 - .vcpu]) | all' "$TMP"/calls/hypercall-*.json)"
no_loss "nothing lost"
done_testing
