# SPDX-License-Identifier: GPL-2.0-only
# --format=html: the page of a recorded run, in a real browser that has no network. What it shows is what the replay's
# JSON has; it asks for nothing, runs without an error, fits 400 pixels, obeys keys, and a name does no harm.
. "$(dirname "$0")/lib.sh"

browser=
for program in chromium chromium-headless-shell chromium-browser google-chrome; do
	test -n "$browser" || browser=$(command -v $program)
done
if test -z "$browser"; then
	has_tool "a page in a browser" chromium
	done_testing
fi

# browse URL OPTION...: the page as it is after its scripts ran. A browser that root starts has no sandbox.
browse()
{
	url=$1
	shift
	HOME=$TMP timeout 120 unshare -n "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage \
		--user-data-dir="$TMP/browser" --virtual-time-budget=20000 "$@" "$url" 2>"$TMP/browser.err"
}

# said NAME FILE: what the page says of itself
said()
{
	sed -n "s/.*<html[^>]* data-$1=\"\([^\"]*\)\".*/\1/p" "$2" | head -n 1
}

# clean LABEL FILE: a page without errors that asked for nothing
clean()
{
	if test "$(said "done" "$2")" = yes; then
		pass "$1: the page is there"
	else
		fail "$1: the page is there" "$(tail -n 5 "$TMP/browser.err")"
	fi
	is "$1: no error of its scripts" 0 "$(said errors "$2")"
	is "$1: nothing against its policy" 0 "$(said violations "$2")"
	is "$1: no request" 0 "$(said requests "$2")"
}

name='</script><img src=x onerror=alert(1)>'
cp "$(command -v kvm_guest)" "$TMP/crosvm"
monitors="-o -w -l -n --host --vmm_threads"
for monitor in e:vm_exit i:irq_inject f:kvmmmu_page_fault; do
	if kvm_watcher --check "--${monitor#*:}" >/dev/null 2>&1; then
		monitors="$monitors -${monitor%%:*}"
	fi
done
# shellcheck disable=SC2086
kvm_watcher record "$TMP/run.zst" $monitors --interval=0.3 --summary >/dev/null 2>"$TMP/run.err" &
watch_pid=$!
until grep -qs "watching .* until" "$TMP/run.err"; do
	kill -0 $watch_pid 2>/dev/null || { fail "it watches" "$(cat "$TMP/run.err")"; done_testing; }
	sleep 0.1
done
for round in 1 2 3; do
	kvm_guest --vms=2 --vcpus=2 --separate cpuid=300 out=500 spin=200 hlt=20:1000 >"$TMP/guest" 2>&1 ||
		fail "the generator ran" "$(cat "$TMP/guest")"
	"$TMP/crosvm" --name="$name" out=100 >"$TMP/guest" 2>&1 || fail "round $round: the VM with a name ran" "$(cat "$TMP/guest")"
done
kill -INT $watch_pid
wait $watch_pid && pass "a run is recorded" || fail "a run is recorded" "$(tail -n 3 "$TMP/run.err")"
watch_pid=

kvm_watcher replay "$TMP/run.zst" --format=json --histogram >"$TMP/run.json" 2>/dev/null
holds "its page is written" kvm_watcher replay "$TMP/run.zst" --format=html --output="$TMP/run.html"
size=$(stat -c %s "$TMP/run.html")
test "$size" -le 5000000 && pass "5 MB at most" || fail "5 MB at most" "$size"
browse "file://$TMP/run.html#test" --window-size=1200,900 --dump-dom >"$TMP/dom"
clean "a recording" "$TMP/dom"

# Cells: a line of JSON for each row of the page, with its table.
sed 's/<\(table\|tr\|td\|script\|\/table\)/\n<\1/g' "$TMP/dom" | awk '
function attribute(name) {
	if (!match($0, " " name "=\"[^\"]*\"")) return ""
	text = substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 4)
	gsub(/&quot;/, "\"", text); gsub(/&lt;/, "<", text); gsub(/&gt;/, ">", text); gsub(/&nbsp;/, "\302\240", text)
	gsub(/&amp;/, "\\&", text)
	return text
}
function end_row() { if (cells != "") printf "{\"table\":\"%s\",\"cells\":{%s}}\n", table, cells; cells = "" }
/^<table/ { table = attribute("data-table") }
/^<\/table/ { end_row(); table = "" }
/^<tr/ { end_row() }
/^<td/ && table != "" && attribute("data-column") != "" {
	cells = cells (cells == "" ? "" : ",") "\"" attribute("data-column") "\":" attribute("data-value")
}' >"$TMP/cells"
# The same rows and no others; where there are more than fifty, fifty of them.
cat >"$TMP/tables.jq" <<'EOT'
($page | map(select(.table | IN($run[] | select(.scope == "total") | .table)))) as $shown |
($run | map(select(.scope == "total" and (.table | endswith("_HISTOGRAM") | not)))) | group_by(.table)[] |
. as $rows | .[0].table as $table | [$shown[] | select(.table == $table) | .cells] as $cells |
{ $table, rows: ($rows | length), shown: ($cells | length),
  odd: [$cells[] | . as $c | select(all($rows[]; . as $r | any($c | keys[]; $c[.] != $r[.])))] | length,
  distinct: ($cells | unique | length) }
EOT
jq -nc --slurpfile page "$TMP/cells" --slurpfile run "$TMP/run.json" -f "$TMP/tables.jq" >"$TMP/tables"
is "every table's rows, or fifty of them" "$(jq -c '[.table, ([.rows, 50] | min)]' "$TMP/tables")" \
	"$(jq -c '[.table, .distinct]' "$TMP/tables")"
is "each is a row of the JSON" "$(jq -c '[.table, 0]' "$TMP/tables")" "$(jq -c '[.table, .odd]' "$TMP/tables")"
tables=$(grep -c . "$TMP/tables")
test "$tables" -ge 5 && pass "there were tables to compare" || fail "there were tables to compare" "$tables"

# Charts: what the attribute of the first figure of a kind has
chart()
{
	grep -o "<figure[^>]*data-$1=\"$2\"[^>]*>" "$TMP/dom" | head -n 1 | sed 's/&quot;/"/g' |
		sed -n "s/.* data-$3=\(\"[0-9.]*\"\|\"{[^}]*}\"\).*/\1/p" | sed 's/^"//; s/"$//'
}
parts='["guest_ns","kvm_ns","vmm_ns","poll_ns","halted_ns","steal_ns","blocked_ns","unaccounted_ns"]'
expected=$(jq -sc --argjson parts "$parts" 'map(select(.scope == "interval" and .table == "VCPU_LOAD")) as $rows |
	[$parts[] as $p | {key: $p, value: ($rows | map(.[$p] // 0) | add)} | select(.value > 0)] | from_entries' "$TMP/run.json")
got=$(chart chart VCPU_LOAD sums | jq -c --argjson parts "$parts" 'with_entries(select(.key | IN($parts[])))')
is "where the time went: the sums" "$(echo "$expected" | jq -c .)" "$(echo "$got" | jq -c .)"
near=$(chart chart VCPU_LOAD points | jq -c --argjson sums "$expected" 'with_entries(select($sums[.key])) |
	to_entries | map(select((.value / $sums[.key] - 1 | fabs) > 0.001)) | length')
is "where the time went: its points add up to them" 0 "$near"
expected=$(jq -sc "map(select(.scope == \"interval\" and .table == \"KVM_IOCTL\") | .total_ns) | add" "$TMP/run.json")
is "a rate's total" "$expected" "$(chart chart KVM_IOCTL total)"
is "a rate's points add up to it" true "$(jq -n --argjson got "$(chart chart KVM_IOCTL points)" --argjson sum "$expected" \
	'($got / $sum - 1 | fabs) < 0.001')"
expected=$(jq -sc 'map(select(.scope == "interval" and .table == "KVM_IOCTL_HISTOGRAM") | .time_buckets[][1]) | add' "$TMP/run.json")
is "a heat map's times" "$expected" "$(chart heat KVM_IOCTL total)"
is "what was lost" "$(tail -n 1 "$TMP/run.json" | jq '[.lost[]] | add')" "$(sed -n 's/.*data-lost="\([0-9]*\)".*/\1/p' "$TMP/dom")"
is "hooks that are missing" "$(tail -n 1 "$TMP/run.json" | jq '[.hooks[] | select(.state == "missing")] | length')" \
	"$(sed -n 's/.*data-missing="\([0-9]*\)".*/\1/p' "$TMP/dom")"

# The name is text, and nothing else.
grep -q "$(printf '%s' "$name" | sed 's/</\&lt;/g; s/>/\&gt;/g')" "$TMP/dom" && pass "a hostile name is shown" ||
	fail "a hostile name is shown"
grep -qi "<img" "$TMP/dom" && fail "and is no element" "$(grep -io '.\{40\}<img.\{40\}' "$TMP/dom" | head -n 2)" ||
	pass "and is no element"

# In a frame of 400 pixels, with keys: browsers have no window that is as narrow.
cat >"$TMP/frame.html" <<'EOT'
<iframe id="frame" src="run.html#test" style="width:400px;height:900px;border:0"></iframe>
<script>
frame.onload = () => setTimeout(() => {
	const page = frame.contentDocument, of = page.documentElement.dataset, html = document.documentElement.dataset;
	const press = (element, key) => element.dispatchEvent(new frame.contentWindow.KeyboardEvent("keydown", { key, bubbles: true }));
	Object.assign(html, of);
	for (const [name, selector] of [["chart", ".plot"], ["heat", "canvas.heat"]]) {
		const element = page.querySelector(selector);
		press(element, "End");
		press(element, "ArrowLeft");
		press(element, "ArrowUp");
		press(element, "+");
		press(element, "0");
		html[name + "Tab"] = element.tabIndex;
		html[name + "Says"] = element.parentNode.querySelector(".readout").textContent;
	}
	const head = page.querySelector("th button"), table = head.closest("table");
	head.click();
	html.sorted = head.closest("th").getAttribute("aria-sort");
	html.unnamed = [...page.querySelectorAll("button, a, canvas[tabindex], .plot, [role=region]")].filter(e =>
		!(e.textContent.trim() || e.getAttribute("aria-label"))).length;
}, 1000);
</script>
EOT
browse "file://$TMP/frame.html" --allow-file-access-from-files --window-size=1000,1000 --dump-dom >"$TMP/narrow"
is "narrow: 400 pixels" 400 "$(said width "$TMP/narrow")"
wide=$(said scroll-width "$TMP/narrow")
test "${wide:-9999}" -le 400 && pass "narrow: nothing stands out" || fail "narrow: nothing stands out" "$wide pixels"
is "keys: charts are reached" "0 0" "$(said chart-tab "$TMP/narrow") $(said heat-tab "$TMP/narrow")"
said chart-says "$TMP/narrow" | grep -q "[0-9]:[0-9]" && pass "keys: a chart tells what is there" ||
	fail "keys: a chart tells what is there" "$(said chart-says "$TMP/narrow")"
said heat-says "$TMP/narrow" | grep -q "times" && pass "keys: a heat map tells what is there" ||
	fail "keys: a heat map tells what is there" "$(said heat-says "$TMP/narrow")"
said sorted "$TMP/narrow" | grep -q "ending" && pass "keys: a table is sorted" || fail "keys: a table is sorted"
is "everything that takes keys has a name" 0 "$(said unnamed "$TMP/narrow")"

browse "file://$TMP/run.html" --print-to-pdf="$TMP/run.pdf" >/dev/null
test "$(head -c 4 "$TMP/run.pdf" 2>/dev/null)" = %PDF && pass "it is printed" || fail "it is printed" "$(tail -n 3 "$TMP/browser.err")"

script -qec "kvm_watcher replay $TMP/run.zst --format=html" /dev/null >"$TMP/terminal" 2>&1 &&
	fail "a terminal gets no page" || pass "a terminal gets no page"
grep -q -- "--output=report.html" "$TMP/terminal" && pass "and the remedy is named" ||
	fail "and the remedy is named" "$(head -c 300 "$TMP/terminal")"
holds "a page for each table" kvm_watcher replay "$TMP/run.zst" --format=html --output="$TMP/pages/"
is "and each is one" "$(jq -r '[.table, "html"] | join(".")' "$TMP/tables" | sort)" \
	"$(cd "$TMP/pages" && grep -l '"rows":\[\[' ./*.html | sed 's/^\.\///' | sort)"

# Live; and a page to standard output. Nothing runs: it is a page all the same.
kvm_watcher -o -w -t 0.5 --interval=0.1 --format=html >"$TMP/live.html" 2>/dev/null && pass "live" || fail "live"
browse "file://$TMP/live.html#test" --dump-dom >"$TMP/live"
clean "live" "$TMP/live"
holds "a part of a recording" kvm_watcher replay "$TMP/run.zst" --format=html --by=vm --top=2 --interval=1s --output="$TMP/part.html"
browse "file://$TMP/part.html#test" --dump-dom >"$TMP/part"
clean "a part of a recording" "$TMP/part"

# A comparison: of a recording with itself nothing has changed, and all its rows are there.
kvm_watcher diff "$TMP/run.zst" "$TMP/run.zst" --by=host --format=json >"$TMP/diff.json" 2>/dev/null
holds "the page of a comparison is written" kvm_watcher diff "$TMP/run.zst" "$TMP/run.zst" --by=host --format=html \
	--output="$TMP/diff.html"
browse "file://$TMP/diff.html#test" --window-size=1200,900 --dump-dom >"$TMP/dom"
clean "a comparison" "$TMP/dom"
grep -q 'id="no-difference"' "$TMP/dom" && pass "a comparison: nothing has changed" ||
	fail "a comparison: nothing has changed" "$(grep -o '<li data-verdict[^<]*' "$TMP/dom" | head -n 2)"
is "a comparison: its rows, or fifty of them" "$(jq -s '[(map(select(.table == "DIFF")) | length), 50] | min' "$TMP/diff.json")" \
	"$(grep -o 'data-column="verdict"' "$TMP/dom" | grep -c .)"

done_testing
