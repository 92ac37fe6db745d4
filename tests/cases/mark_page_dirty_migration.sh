# SPDX-License-Identifier: GPL-2.0-only
# A Linux guest writes the same pages round and round while QEMU migrates it to
# nowhere, several times more slowly than it writes. So all of these pages are
# dirtied again at the begin of each round of the migration, and then none
# until its end. Between two such calm moments lie whole rounds, for which
# -d, QEMU and the generator must agree.
. "$(dirname "$0")/lib.sh"

name="the dirty rate"
pages=4096 write_rate=5120 bandwidth=$((2 * 1024 * 1024)) rounds=3

if why=$(no_linux_guest) || why=$(missing mark_page_dirty mark_page_dirty); then
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
for second in $(seq 120); do
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
	for round_try in $(seq 60); do
		test "$round_now" = "$round_last" || break
		migration '{status, rounds: .ram["dirty-sync-count"], ms: .["total-time"],
			rate: .ram["dirty-pages-rate"]}' >"$TMP/sample"
		cat "$TMP/sample" >>"$TMP/samples"
		round_now=$(jq .rounds "$TMP/sample")
	done
	jq -r '"\(.rounds) \(.ms)"' "$TMP/sample"
}

while test "$(migration '.ram["dirty-sync-count"] // 0')" -lt 2; do
	kill -0 $guest || break
done
: >"$TMP/samples"
began=$(next_round)
sleep 3
watch -d -p $guest --summary --interval=10 --migration-bandwidth=1 --temp-dir="$TMP/temp" ||
	fail "kvm_watcher starts"
: >"$TMP/samples"
ended=$began
while test $((${ended% *} - ${began% *})) -lt $rounds && kill -0 $guest 2>/dev/null; do
	ended=$(next_round)
done
# A round lasts eight seconds. It begins with the dirtying of all pages, which is a second's work on an idle host.
sleep 4
watch_end
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
		converges: ($watch | map(select(.scope == "interval" and .converges != null)) | .[0].converges)
	}' >"$TMP/rates"
sed 's/^/# /' "$TMP/rates"
holds "$name within 5 % of QEMU's" jq -e '(.mine_per_s / .qemu_per_s - 1) | fabs < 0.05' "$TMP/rates"
holds "$name within 5 % of the known one" jq -e '(.mine / .known - 1) | fabs < 0.05' "$TMP/rates"
is "PAGES/s is DIRTIED per second" true "$(jq .column "$TMP/rates")"
holds "the pages that the guest writes are among them" jq -e ".unique >= $pages" "$TMP/rates"
is "at half that bandwidth it would not converge" false "$(jq .converges "$TMP/rates")"
no_loss "nothing lost"
done_testing
