# SPDX-License-Identifier: GPL-2.0-only
# A Linux guest writes the same pages round and round while QEMU migrates it to
# nowhere, more slowly than it writes. In each round of the migration every one
# of these pages is dirtied again: that is the known rate, QEMU's
# dirty-pages-rate and -d's PAGES/s.
. "$(dirname "$0")/lib.sh"

name="the dirty rate"
pages=4096 write_rate=2560 bandwidth=$((8 * 1024 * 1024)) seconds=30

if why=$(another_linux_guest) || why=$(missing mark_page_dirty mark_page_dirty); then
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
for second in $(seq 60); do
	test "$(migration '.ram["dirty-sync-count"] // 0')" -lt 3 || break
	sleep 1
done
watch -d -p $guest --summary --interval=10 --migration-bandwidth=4 --temp-dir="$TMP/temp" ||
	fail "kvm_watcher starts"
began=$(date +%s) rounds_began=$(migration '.ram["dirty-sync-count"]')
: >"$TMP/samples"
while test $(($(date +%s) - began)) -lt $seconds; do
	migration '{status, rounds: .ram["dirty-sync-count"], rate: .ram["dirty-pages-rate"]}' >>"$TMP/samples"
	sleep 0.7
done
rounds_ended=$(migration '.ram["dirty-sync-count"]')
watch_end
tail -n 1 "$TMP/console" | sed 's/^/# guest: /'

is "the migration goes on all the time" '"active"' "$(jq -s 'map(.status) | unique | .[]' "$TMP/samples")"
jq -n --slurpfile watch "$TMP/watch.json" --slurpfile samples "$TMP/samples" --argjson pages $pages \
	--argjson rounds $((rounds_ended - rounds_began)) '
	($watch | map(select(.scope == "total" and .pages_per_s != null))) as $rows |
	($watch[-1].duration_ns / 1e9) as $s | {
		mine: ($rows | map(.pages_per_s) | add),
		qemu: ($samples | unique_by(.rounds) | map(.rate) | add / length),
		known: ($pages * $rounds / $s), rounds: $rounds,
		unique: ($rows | map(.unique_pages) | add),
		converges: ($watch | map(select(.scope == "interval" and .converges != null)) | .[0].converges)
	}' >"$TMP/rates"
sed 's/^/# /' "$TMP/rates"
holds "$name within 5 % of QEMU's" jq -e '(.mine / .qemu - 1) | fabs < 0.05' "$TMP/rates"
holds "$name within 5 % of the known one" jq -e '(.mine / .known - 1) | fabs < 0.05' "$TMP/rates"
holds "the pages that the guest writes are among them" jq -e ".unique >= $pages" "$TMP/rates"
is "at half that bandwidth it would not converge" false "$(jq .converges "$TMP/rates")"
is "nothing lost" 0 "$(summary '[.lost[]] | add')"
done_testing
