# SPDX-License-Identifier: GPL-2.0-only
# A Linux guest writes the same pages round and round while QEMU migrates it to
# nowhere, several times more slowly than it writes. So all of these pages are
# dirtied again at the begin of each round of the migration, and then none
# until its end. Between two such calm moments lie whole rounds, for which
# -d, QEMU and the generator must agree.
. "$(dirname "$0")/lib.sh"

name="the dirty rate"
pages=4096 write_rate=5120 bandwidth=$((2 * 1024 * 1024)) rounds=3

has_tool "$name" start-linux-guest || done_testing
if why=$(missing mark_page_dirty mark_page_dirty); then
	skip "$name" "$why"
	done_testing
fi

# qmp COMMAND [ARGUMENTS]: its answer becomes the last line of the log
qmp()
{
	qmp_arguments=${2-}
	test -n "$qmp_arguments" || qmp_arguments='{}'
	printf '{"execute":"%s","arguments":%s}\n' "$1" "$qmp_arguments" >&8
	sleep 0.3
}

# migration JQ: of what query-migrate answers
migration()
{
	qmp query-migrate
	grep '"return"' "$TMP/qmp.log" | tail -n 1 | jq -c ".return | $1"
}

mkfifo "$TMP/qmp.in" "$TMP/qmp.out"
exec 8<>"$TMP/qmp.in" 9<>"$TMP/qmp.out"
cat <&9 >"$TMP/qmp.log" &
reader=$!
start-linux-guest --memory=128 --write=$write_rate:$pages -chardev pipe,id=qmp,path="$TMP/qmp" \
	-mon chardev=qmp,mode=control >"$TMP/console" 2>&1 &
guest=$!
trap 'kill $guest $reader 2>/dev/null; rm -rf "$TMP"' EXIT
for _ in $(seq 120); do
	test "$(grep -c wrote "$TMP/console")" -lt 3 || break
	kill -0 $guest 2>/dev/null || break
	sleep 1
done
if ! grep -q wrote "$TMP/console"; then
	fail "the Linux guest writes pages" "$(tail -n 20 "$TMP/console")"
	done_testing
fi

if watch -d -p $guest --summary; then
	holds "before the migration: dirty logging is off, and that is said" \
		grep -q "dirty logging is off in VM demo-guest" "$TMP/watch.err"
	sed 's/^/# /' "$TMP/watch.err"
	watch_end
fi

qmp qmp_capabilities
qmp migrate-set-parameters "{\"max-bandwidth\":$bandwidth,\"downtime-limit\":1}"
qmp migrate '{"uri":"exec:cat >/dev/null"}'
# next_round: waits for it; its number and QEMU's clock in ms
next_round()
{
	round_now=$(migration '.ram["dirty-sync-count"]')
	round_last=$round_now
	for _ in $(seq 60); do
		test "$round_now" = "$round_last" || break
		migration '{status, rounds: .ram["dirty-sync-count"], ms: .["total-time"],
			rate: .ram["dirty-pages-rate"]}' >"$TMP/sample"
		cat "$TMP/sample" >>"$TMP/samples"
		round_now=$(jq .rounds "$TMP/sample")
	done
	jq -r '"\(.rounds) \(.ms)"' "$TMP/sample"
}

# written: pages, by the guest's last line, which is of the last second
written()
{
	sed -n 's/.*wrote \([0-9]*\) pages.*/\1/p' "$TMP/console" | tail -n 1
}

# same_round "ROUND MS": does it go on still?
same_round()
{
	test "$(migration '.ram["dirty-sync-count"]')" = "${1% *}"
}

# calm: waits for a round, and in it until the guest has written all pages again, however long that takes on a busy
# host: from then on none is dirtied until the round ends. The round's begin is in $calm; false when there was no such
# moment in six rounds.
calm()
{
	for calm_try in 1 2 3 4 5 6; do
		calm=$(next_round)
		calm_written=$(($(written) + write_rate + pages))
		while test "$(written)" -lt $calm_written && kill -0 $guest 2>/dev/null; do sleep 0.2; done
		! same_round "$calm" || return 0
		echo "# round ${calm% *} was over before all pages were written, try $calm_try"
	done
	return 1
}

# whole_rounds: kvm_watcher runs from a calm moment to another one; false when the host was too slow for that
whole_rounds()
{
	calm || return
	began=$calm
	# An interval is longer than a round, whatever that takes; the estimate is for half of what QEMU has.
	if ! watch -d -p $guest --summary --interval=$((10 * 2097152 / bandwidth)) \
		--migration-bandwidth="$(awk "BEGIN { print $bandwidth / 2097152 }")" --temp-dir="$TMP/temp"; then
		fail "kvm_watcher starts"
		done_testing
	fi
	: >"$TMP/samples"
	if ! same_round "$began"; then
		watch_end
		return 1
	fi
	ended=$began
	while test $((${ended% *} - ${began% *})) -lt $rounds && kill -0 $guest 2>/dev/null; do
		if ! calm; then
			watch_end
			return 1
		fi
		ended=$calm
	done
	watch_end
	same_round "$ended"
}

while test "$(migration '.ram["dirty-sync-count"] // 0')" -lt 2; do
	kill -0 $guest || break
done
: >"$TMP/samples"
# A round lasts eight seconds, twice as long with each try.
until whole_rounds; do
	bandwidth=$((bandwidth / 2))
	if test $bandwidth -lt $((256 * 1024)); then
		fail "whole rounds of the migration" "the guest does not write $pages pages in $((pages * 4 / 512)) s"
		done_testing
	fi
	echo "# rounds that are too short for this host: now $bandwidth bytes a second"
	rm -rf "$TMP/temp"
	qmp migrate-set-parameters "{\"max-bandwidth\":$bandwidth}"
	calm
done
grep wrote "$TMP/console" | tail -n 1 | sed 's/^/# guest: /'

is "the migration goes on all the time" '"active"' "$(jq -s 'map(.status) | unique | .[]' "$TMP/samples")"
jq -n --slurpfile watch "$TMP/watch.json" --slurpfile samples "$TMP/samples" --argjson pages $pages \
	--argjson rounds $((${ended% *} - ${began% *})) --argjson ms $((${ended#* } - ${began#* })) '
	($watch | map(select(.scope == "total" and .pages_per_s != null))) as $rows | {
		rounds: $rounds, ms: $ms, known: ($pages * $rounds), mine: ($rows | map(.dirtied) | add),
		mine_per_s: (($rows | map(.dirtied) | add) / $ms * 1000),
		qemu_per_s: ($samples | unique_by(.rounds) | map(.rate) | add / length),
		unique: ($rows | map(.unique_pages) | add),
		column: ($rows | all((.pages_per_s * $watch[-1].duration_ns / 1e9 / .dirtied - 1) | fabs < 0.01)),
		converges: ($watch | map(select(.scope == "interval" and .converges != null).converges) | length > 0 and all)
	}' >"$TMP/rates"
sed 's/^/# /' "$TMP/rates"
holds "$name within 5 % of QEMU's" jq -e '(.mine_per_s / .qemu_per_s - 1) | fabs < 0.05' "$TMP/rates"
holds "$name within 5 % of the known one" jq -e '(.mine / .known - 1) | fabs < 0.05' "$TMP/rates"
is "PAGES/s is DIRTIED per second" true "$(jq .column "$TMP/rates")"
holds "the pages that the guest writes are among them" jq -e ".unique >= $pages" "$TMP/rates"
# An interval between two rounds has no pages, and would.
is "at half that bandwidth it would not converge" false "$(jq .converges "$TMP/rates")"
no_loss "nothing lost"
done_testing
