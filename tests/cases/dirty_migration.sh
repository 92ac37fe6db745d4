# SPDX-License-Identifier: GPL-2.0-only
# A Linux guest writes the same pages over and over while QEMU migrates it to
# nowhere, more slowly than it writes: QEMU's own dirty-pages-rate is -d's rate.
. "$(dirname "$0")/lib.sh"

name="the dirty rate is QEMU's"
if ! command -v start-linux-guest >/dev/null; then
	skip "$name" "this machine carries no QEMU"
	done_testing
fi
why=$(missing mark_page_dirty mark_page_dirty)
if test -n "$why"; then
	skip "$name" "$why"
	done_testing
fi

# qmp COMMAND [ARGUMENTS]: its answer becomes the last line of the log
qmp()
{
	arguments=${2-}
	test -n "$arguments" || arguments='{}'
	printf '{"execute":"%s","arguments":%s}\n' "$1" "$arguments" >&8
	sleep 0.5
}

last_answer()
{
	grep '"return"' "$TMP/qmp.log" | tail -n 1
}

mkfifo "$TMP/qmp.in" "$TMP/qmp.out"
exec 8<>"$TMP/qmp.in" 9<>"$TMP/qmp.out"
cat <&9 >"$TMP/qmp.log" &
reader=$!
pages=512
start-linux-guest --memory=128 --dirty=$pages -chardev pipe,id=qmp,path="$TMP/qmp" \
	-mon chardev=qmp,mode=control >"$TMP/console" 2>&1 &
guest=$!
for second in $(seq 120); do
	test "$(grep -c wrote "$TMP/console")" -lt 3 || break
	kill -0 $guest 2>/dev/null || break
	sleep 1
done
holds "the Linux guest writes pages" grep -q "wrote $pages pages" "$TMP/console"

if watch -d -p $guest --summary --interval=5 --migration-bandwidth=2 --temp-dir="$TMP/temp"; then
	holds "before the migration: dirty logging is off, and that is said" \
		grep -q "dirty logging is off in VM demo-guest" "$TMP/watch.err"
	watch_end
fi

# Everything is sent once, fast; then slowly, and one millisecond of stop is never enough.
qmp qmp_capabilities
qmp migrate-set-parameters '{"max-bandwidth":1000000000,"downtime-limit":1}'
qmp migrate '{"uri":"exec:cat >/dev/null"}'
for second in $(seq 60); do
	qmp query-migrate
	test "$(last_answer | jq '.return.ram["dirty-sync-count"] // 0')" -lt 2 || break
	sleep 1
done
qmp migrate-set-parameters '{"max-bandwidth":2097152}'
sleep 5
if ! watch -d -p $guest --summary --interval=5 --migration-bandwidth=2 --temp-dir="$TMP/temp"; then
	fail "kvm_watcher starts"
fi
: >"$TMP/samples"
for second in $(seq 20); do
	qmp query-migrate
	last_answer | jq -c '.return | {status, n: .ram["dirty-sync-count"],
		rate: .ram["dirty-pages-rate"]}' >>"$TMP/samples"
	sleep 1
done
watch_end
kill $guest $reader
wait $guest 2>/dev/null

is "the migration goes on all the time" '"active"' "$(jq -s 'map(.status) | unique | .[]' \
	"$TMP/samples")"
theirs=$(jq -s 'map(select(.rate > 0)) | unique_by(.n) | map(.rate) | add / length' "$TMP/samples")
mine=$(jq -s 'map(select(.scope == "total" and .pages_per_s != null) | .pages_per_s) | add' \
	"$TMP/watch.json")
echo "# pages per second: QEMU $theirs, kvm_watcher $mine"
holds "$name within 5 %" jq -en "($mine / $theirs - 1) | fabs < 0.05"
holds "the pages that the guest writes are among them" jq -es "map(select(.scope == \"total\" and
	.unique_pages != null) | .unique_pages) | add >= $pages" "$TMP/watch.json"
is "such a migration does not converge" false "$(jq -s 'map(select(.scope == "interval" and
	.converges != null)) | .[1].converges' "$TMP/watch.json")"
done_testing
