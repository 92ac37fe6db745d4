# SPDX-License-Identifier: GPL-2.0-only
# serve and --format=prometheus, with Debian's Prometheus as it comes: it scrapes a kvm_watcher on loopback while VMs live
# and die. Each family has its type, counters are the totals of a recording of the same run, each panel of each dashboard has
# data, alerts fire on what is made sick here and are silent before; and nobody at the socket disturbs the watching.
# shellcheck disable=SC2317
. "$(dirname "$0")/lib.sh"

tests=$(cd "$(dirname "$0")/.." && pwd)
contrib=$tests/../contrib
port=$((20000 + $$ % 10000))
prometheus_port=$((port + 10000))
texts_port=$((port + 20000))
pids=

# shellcheck disable=SC2086
trap 'test -z "$pids" || kill $pids 2>/dev/null; rm -rf "$TMP"' EXIT

scrape()
{
	curl -s --max-time 20 "$@" "http://127.0.0.1:$port/metrics"
}

# wait_for SECONDS COMMAND...: until it succeeds
wait_for()
{
	tries=$(($1 * 5))
	shift
	while test $tries -gt 0; do
		"$@" >/dev/null 2>&1 && return
		tries=$((tries - 1))
		sleep 0.2
	done
	return 1
}

# value FILE SERIES: of a text, the sum of all that begin so
value()
{
	awk -v series="$2" 'index($0, series) == 1 { sum += $NF; found = 1 } END { if (found) printf "%.9g\n", sum }' "$1"
}

# start_watcher NAME OPTION...
start_watcher()
{
	start_name=$1
	shift
	kvm_watcher serve --config=/dev/null "$@" 2>"$TMP/$start_name.err" &
	started=$!
	pids="$pids $started"
	if wait_for 20 grep -qs "watching .* until" "$TMP/$start_name.err"; then
		pass "$start_name: it watches"
	else
		fail "$start_name: it watches" "$(cat "$TMP/$start_name.err")"
	fi
}

# ask_prometheus EXPRESSION: the results, as JSON
ask_prometheus()
{
	curl -s --max-time 10 --data-urlencode "query=$1" "http://127.0.0.1:$prometheus_port/api/v1/query"
}

# has_data EXPRESSION
has_data()
{
	# No answer is no input, which is no error.
	ask_prometheus "$1" | jq '.status == "success" and (.data.result | length > 0)' | grep true
}

# fires ALERT [JOB]
fires()
{
	has_data "ALERTS{alertname=\"$1\", alertstate=\"firing\"${2:+, job=\"$2\"}}"
}

# fired ALERT JOB: now or before
fired()
{
	has_data "count_over_time(ALERTS{alertname=\"$1\", alertstate=\"firing\", job=\"$2\"}[15m])"
}

# live ALERT [JOB [COMMAND]]: it fires; if not, what COMMAND prints is shown. $TMP/alerts has each that is proven.
live()
{
	echo "$1" >>"$TMP/alerts"
	# shellcheck disable=SC2086
	if wait_for 30 fires "$1" $2; then
		pass "live: $1 fires"
	else
		fail "live: $1 fires" "$(eval "$3")"
	fi
}

# fired_of ALERT JOB: the VMs of which it does, or did
fired_of()
{
	ask_prometheus "count by (vm) (count_over_time(ALERTS{alertname=\"$1\", alertstate=\"firing\", job=\"$2\"}[15m]))" |
		jq -r '[.data.result[].metric.vm] | sort | join(" ")'
}

# same_totals LABEL GUEST TEXT JSON TABLES: series of the generator's VMs are what it did, and what a recording has
same_totals()
{
	for pid in $(jq -r 'select(.what == "vm") | .pid' "$2"); do
		name=$(sed -n "s/^kvm_vm_info{vm=\"\([^\"]*\)\",pid=\"$pid\".*/\1/p" "$3")
		is "$1: exits to user space, as many as the generator made" \
			"$(jq -s --argjson pid "$pid" '[.[] | select(.what == "vcpu" and .pid == $pid) | .user_exits.IO] | add' "$2")" \
			"$(value "$3" "kvm_exits_total{vm=\"$name\",to=\"userspace\",reason=\"IO\"")"
		for table in $5; do
			case $table in
			KVM_USERSPACE_EXIT) column=count series="kvm_exits_total{vm=\"$name\",to=\"userspace\"" ;;
			HALTS) column=waited series="kvm_halts_total{vm=\"$name\",how=\"wait\"" ;;
			VCPU_STATE) column=exits series="kvm_vcpu_exits_total{vm=\"$name\"" ;;
			VCPU_LOAD) column=count series="kvm_vcpu_loads_total{vm=\"$name\"" ;;
			KVM_IOCTL) column=count series="kvm_ioctls_total{vm=\"$name\"" ;;
			esac
			is "$1: $series...: the total of the recording" \
				"$(jq -s --argjson pid "$pid" --arg table "$table" --arg column $column '[.[] |
					select(.scope == "total" and .table == $table and .pid == $pid) | .[$column]] | add // "none"' "$4")" \
				"$(value "$3" "$series" | grep . || echo none)"
		done
	done
}

# --- a file for node_exporter

kvm_watcher -e -w --vm_state --format=prometheus --output="$TMP/kvm_watcher.prom" --interval=0.3 \
	--record="$TMP/file.zst" --record-interval=0.3 2>"$TMP/file.err" &
file_pid=$!
pids="$pids $file_pid"
wait_for 20 grep -qs "watching .* until" "$TMP/file.err" || fail "file: it watches" "$(cat "$TMP/file.err")"
wait_for 5 test -s "$TMP/kvm_watcher.prom" && pass "file: it is there" || fail "file: it is there"
first=$(stat -c %y "$TMP/kvm_watcher.prom" 2>/dev/null)
kvm_guest --vms=2 --vcpus=2 --separate cpuid=30 out=50 hlt=10:1000 --end-on="$TMP/file.end" >"$TMP/file.guest" 2>&1 &
guest_pid=$!
wait_for 50 sh -c "test \"\$(grep -c 'what\":\"vm\"' '$TMP/file.guest')\" -ge 2"
sleep 1
cp "$TMP/kvm_watcher.prom" "$TMP/kvm.copy"
test "$first" != "$(stat -c %y "$TMP/kvm_watcher.prom")" && pass "file: it is replaced" || fail "file: it is replaced"
is "file: its mode" 644 "$(stat -c %a "$TMP/kvm_watcher.prom")"
touch "$TMP/file.end"
wait $guest_pid
kill -INT $file_pid
wait $file_pid && test ! -e "$TMP/.kvm_watcher.prom.new" && pass "file: exit status 0" || fail "file: exit status 0" "$(tail -3 "$TMP/file.err")"
kvm_watcher replay "$TMP/file.zst" --format=json >"$TMP/file.json" 2>/dev/null
same_totals "file" "$TMP/file.guest" "$TMP/kvm.copy" "$TMP/file.json" "KVM_USERSPACE_EXIT HALTS VCPU_STATE"
if has_tool "file: promtool takes it" promtool; then
	holds "file: promtool takes it" sh -c "promtool check metrics <'$TMP/kvm.copy'"
fi

# --- what is wrong on the command line

kvm_watcher -e --format=prometheus 2>"$TMP/err"
is "without a file: a usage error" 2 $?
is "and one line" 1 "$(wc -l <"$TMP/err" | tr -d ' ')"
kvm_watcher serve --listen=localhost:1 2>/dev/null
is "a name is no address" 2 $?
printf 'metrics-by = vm\nlisten = nowhere\n' >"$TMP/serve.conf"
kvm_watcher serve --config="$TMP/serve.conf" 2>"$TMP/err"
is "an error in the file of options" 2 $?
holds "names the file and the line" grep -q "$TMP/serve.conf:2: --listen" "$TMP/err"

# --- contrib

if has_tool "contrib: alerts by themselves" promtool; then
	holds "contrib: promtool takes the rules" promtool check rules "$contrib/prometheus/alerts.yml" "$contrib/prometheus/recording.yml"
	holds "contrib: each alert fires on its sickness, and none on health" promtool test rules "$tests/prometheus/alerts_test.yml"
	untested=$(sed -n 's/.*- alert: //p' "$contrib/prometheus/alerts.yml" | while read -r alert; do
		test "$(grep -c "alertname: $alert" "$tests/prometheus/alerts_test.yml")" -ge 2 || echo "$alert"
	done)
	is "contrib: no alert without both" "none" "${untested:-none}"
fi
lost_links=$(sed -n 's/.*runbook_url: *.\{0,1\}\(docs[^ {'"'"']*\).*/\1/p' "$contrib/prometheus/alerts.yml" | sort -u |
	while IFS='#' read -r page section; do
		test -f "$tests/../$page" || { echo "$page"; continue; }
		test -z "$section" || sed -n 's/^##* //p' "$tests/../$page" | tr 'A-Z ' 'a-z-' | grep -qx -- "$section" ||
			echo "$page#$section"
	done)
is "contrib: links lead somewhere" "none" "${lost_links:-none}"
mkdir "$TMP/boards"
"$tests/../scripts/gen-dashboards.sh" "$TMP/boards" && diff -r "$TMP/boards" "$contrib/grafana" >"$TMP/diff" &&
	pass "contrib: dashboards are what the script writes" ||
	fail "contrib: dashboards are what the script writes" "$(head -5 "$TMP/diff")"
if has_tool "contrib: systemd takes the units" systemd-analyze; then
	# The program and its manual page need not be installed here.
	for unit in kvm_watcher.service kvm_watcher.socket; do
		sed -e "s|/usr/local/sbin/kvm_watcher|$(command -v kvm_watcher)|" -e '/^Documentation=/d' \
			"$contrib/systemd/$unit" >"$TMP/$unit"
	done
	holds "contrib: systemd takes the units" systemd-analyze verify "$TMP/kvm_watcher.service" "$TMP/kvm_watcher.socket"
	holds "contrib: exposure is 3.5 at most" \
		systemd-analyze security --offline=yes --threshold=35 "$TMP/kvm_watcher.service"
fi

# --- a Prometheus

if ! has_tool "Prometheus scrapes" prometheus || ! has_tool "Prometheus is asked" curl; then
	done_testing
fi

every="-c -d -e -f -h -i -l -n -o -T -w --nested --unmaps --vm_state --vmm_threads"
# shellcheck disable=SC2086
start_watcher serve $every --listen=127.0.0.1:$port --listen=unix:"$TMP/socket" --record="$TMP/run.zst" \
	--record-interval=1
watcher=$started
uid=$(awk '/^Uid:/ { print $2 }' /proc/$watcher/status)
test "$(id -u)" != 0 || { test "$uid" != 0 && pass "serve: the process that serves is not root" ||
	fail "serve: the process that serves is not root" "$uid"; }
is "serve: it works" ok "$(curl -s http://127.0.0.1:$port/healthz)"
is "serve: at a Unix socket as well" ok "$(curl -s --unix-socket "$TMP/socket" http://x/healthz)"

# What this host's kernel lacks is served by somebody else, as a machine's kvm_watcher served it (tests/serve/keep-texts.sh). A
# node_exporter's word on the file above, which is no longer replaced, is there as well.
mkdir "$TMP/texts"
for text in "$tests"/serve/texts/*.gz; do
	gunzip -c "$text" >"$TMP/texts/$(basename "$text" .gz)"
	printf 'node_textfile_mtime_seconds{file="%s"} %s\n' "$TMP/kvm_watcher.prom" \
		"$(stat -c %Y "$TMP/kvm_watcher.prom")" >>"$TMP/texts/$(basename "$text" .gz)"
done
last_text=$(find "$TMP/texts" -type f | sort -V | tail -1)
node "$tests/serve/http.js" texts $texts_port "$TMP/texts" >"$TMP/texts.out" 2>&1 &
pids="$pids $!"

# Sick: fewer places than vCPUs, hooks that no kernel has for all needs, and no room for series.
sick_port=$((port + 1))
start_watcher sick -e -o --hooks=raw_tp,iter --max-vcpus=1 --metrics-limit=100 --listen=127.0.0.1:$sick_port

# A minute is a second here.
sed -e 's/\[5m\]/[10s]/g; s/\[10m\]/[15s]/; s/for: [0-9]*[mh]/for: 1s/; s/> 120$/> 2/' "$contrib/prometheus/alerts.yml" >"$TMP/alerts.yml"
sed -e 's/\[5m\]/[10s]/g; s/interval: 1m/interval: 1s/' "$contrib/prometheus/recording.yml" >"$TMP/recording.yml"
cat >"$TMP/prometheus.yml" <<END
global: { scrape_interval: 2s, evaluation_interval: 1s }
rule_files: [alerts.yml, recording.yml]
scrape_configs:
  - job_name: kvm_watcher
    static_configs: [{ targets: ['127.0.0.1:$port'] }]
  - job_name: kvm_watcher_sick
    static_configs: [{ targets: ['127.0.0.1:$sick_port'] }]
  - job_name: kvm_watcher_texts
    static_configs: [{ targets: ['127.0.0.1:$texts_port'] }]
END
prometheus --config.file="$TMP/prometheus.yml" --storage.tsdb.path="$TMP/tsdb" --log.level=warn \
	--web.listen-address=127.0.0.1:$prometheus_port >"$TMP/prometheus.err" 2>&1 &
pids="$pids $!"
wait_for 30 has_data 'sum(up) == 3' && pass "Prometheus scrapes" || fail "Prometheus scrapes" "$(tail -3 "$TMP/prometheus.err")"

# Health: a VM that does nothing.
kvm_guest hlt=100:1000 --end-on="$TMP/idle.end" >"$TMP/idle" 2>&1 &
idle=$!
pids="$pids $idle"
# Other VMs may run on this host, and be sick.
name_of()
{
	ask_prometheus "kvm_vm_info{job=\"kvm_watcher\", pid=\"$1\"}" | jq -r '.data.result[0].metric.vm // empty'
}
wait_for 30 has_data "kvm_vm_info{job=\"kvm_watcher\", pid=\"$idle\"}"
sleep 5
idle_vm=$(name_of $idle)
named_at=$(date +%s)
test -n "$idle_vm" && pass "a VM has its name" || fail "a VM has its name" "$(curl -s http://127.0.0.1:$prometheus_port/api/v1/targets | jq -c '.data.activeTargets[] | [.scrapeUrl, .lastError]')"
alerts=$(ask_prometheus "ALERTS{alertstate=\"firing\", job=\"kvm_watcher\", vm=\"$idle_vm\"}" |
	jq -r '[.data.result[].metric.alertname] | unique | join(" ")')
is "no alert of a VM that is well" none "${alerts:-none}"

# VMs come and go.
i=0
while test $i -lt 4; do
	kvm_guest --vms=2 --vcpus=2 --separate cpuid=30 out=50 rdmsr=20 wrmsr=5 hlt=10:1000 touch=20 \
		>"$TMP/guest.$i" 2>&1 || fail "the generator ran" "$(cat "$TMP/guest.$i")"
	i=$((i + 1))
done
# Two that want one CPU, one whose ioctls fail, and one with an instruction that KVM cannot emulate, after some scrapes.
kvm_guest --vms=2 --separate --cpu=0 --timeout=40 spin=25000 >"$TMP/steal" 2>&1 &
kvm_guest --vms=1 --repeat=600 --pause-ms=5 ioctls=20 >"$TMP/ioctls" 2>&1 &
ioctls=$!
kvm_guest --end-on="$TMP/idle.end" hlt=4:1500000 emulate_fail=3 >"$TMP/emulate" 2>&1 &
emulate=$!
pids="$pids $emulate"
live KvmVcpuSteal
live KvmIoctlErrors "" 'scrape | grep -m 5 ioctl_errors'
live KvmEmulationFails kvm_watcher 'scrape | grep emulation_failures'
holds "live: KvmEmulationFails is of the VM that fails" has_data "count_over_time(ALERTS{alertname=\"KvmEmulationFails\",
	alertstate=\"firing\", job=\"kvm_watcher\", vm=\"$(name_of $emulate)\"}[15m])"
is "KVM counted each instruction that it could not emulate" 3 \
	"$(ask_prometheus "kvm_stat_emulation_failures_total{job=\"kvm_watcher\", vm=\"$(name_of $emulate)\"}" |
		jq -r '.data.result[0].value[1]')"
live KvmWatcherLosesEvents "" 'curl -s http://127.0.0.1:$sick_port/metrics | grep lost_events'
live KvmWatcherHookMissing
# One whose exits all go to the VMM, which others must not keep from a CPU.
nice -n -10 kvm_guest out=100000000 --timeout=100 >"$TMP/vmm" 2>&1 &
vmm=$!
pids="$pids $vmm"
echo KvmVmmBusy >>"$TMP/alerts"
if wait_for 30 fires KvmVmmBusy kvm_watcher; then
	pass "live: KvmVmmBusy fires"
elif has_data "sum by (vm) (rate(kvm_vcpu_time_seconds_total{job=\"kvm_watcher\", state=\"steal\"}[20s])) > 0.4
	and on (vm) kvm_vm_info{job=\"kvm_watcher\", pid=\"$vmm\"}" >/dev/null; then
	skip "live: KvmVmmBusy fires" "others have this host's CPUs: the VM waits for them most of its time"
else
	fail "live: KvmVmmBusy fires" "$(ask_prometheus \
		'sum by (vm, state) (rate(kvm_vcpu_time_seconds_total{job="kvm_watcher"}[10s])) > 0.02' | jq -c '.data.result[] | [.metric, .value[1]]')"
fi
live KvmFinding kvm_watcher 'scrape | grep ^kvm_finding'
live KvmWatcherFolds "" 'curl -s http://127.0.0.1:$sick_port/metrics | grep folded'
live KvmWatcherTextfileOld
kill $ioctls $vmm 2>/dev/null
# The texts are served once each, from the beginning.
for alert in KvmExitsSlow KvmWakeupsSlow KvmMigrationDiverges KvmPollingWasted KvmEmulationFails; do
	echo $alert >>"$TMP/alerts"
	wait_for 30 fired $alert kvm_watcher_texts && pass "of a machine: $alert fires" || fail "of a machine: $alert fires"
done
is "of a machine: KvmPollingWasted is of the VM whose polls fail" \
	"$(sed -n 's/^kvm_halt_polls_total{vm="\(.*\)",result="failure"} [1-9].*/\1/p' "$last_text")" \
	"$(fired_of KvmPollingWasted kvm_watcher_texts)"
is "of a machine: KvmEmulationFails is of the VM that fails" \
	"$(sed -n 's/^kvm_stat_emulation_failures_total{vm="\(.*\)"} 3$/\1/p' "$last_text")" \
	"$(fired_of KvmEmulationFails kvm_watcher_texts)"
# The first one did something of everything, and is well.
well_vm=$(sed -n 's/^kvm_vm_info{vm="\([^"]*\)".*/\1/p' "$TMP/texts/0")
alerts=$(ask_prometheus "count_over_time(ALERTS{alertstate=\"firing\", job=\"kvm_watcher_texts\", vm=\"${well_vm:-none}\"}[15m])" |
	jq -r '[.data.result[].metric.alertname] | unique | join(" ")')
is "of a machine: no alert of the VM that is well" "kvm_guest none" "$well_vm ${alerts:-none}"

# Texts, and what Prometheus makes of them.
scrape >"$TMP/classic"
sleep 1.1
scrape --compressed -H 'Accept: application/openmetrics-text;version=1.0.0' >"$TMP/open"
holds "classic: promtool takes it" sh -c "promtool check metrics <'$TMP/classic'"
is "OpenMetrics: it ends" "# EOF" "$(tail -1 "$TMP/open")"
sed 's/^\([^#].*\)$/\1 1700000000/' "$TMP/open" >"$TMP/open.at"
holds "OpenMetrics: Prometheus' parser takes it" promtool tsdb create-blocks-from openmetrics "$TMP/open.at" "$TMP/blocks"
curl -s "http://127.0.0.1:$prometheus_port/api/v1/metadata" >"$TMP/metadata.json"
sed -n 's/^# TYPE \([^ ]*\) \([^ ]*\)$/\1 \2/p' "$TMP/classic" "$last_text" | sort -u >"$TMP/families"
wrong=$(while read -r family type; do
	# Prometheus knows what it scraped as OpenMetrics by the name that this has.
	jq -r --arg f "$family" --arg t "$type" '(.data[$f] // .data[$f | sub("_total$"; "")] // .data[$f | sub("_info$"; "")] // [])
		| map(.type) | if index([$t]) or (index(["info"]) and $t == "gauge") then empty else "\($f) \($t): \(.)" end' \
		"$TMP/metadata.json"
done <"$TMP/families")
is "each family has its type in Prometheus" none "${wrong:-none}"
nr_families=$(wc -l <"$TMP/families")
test "$nr_families" -gt 70 && pass "there are families of all monitors" || fail "there are families of all monitors" "$nr_families"
duplicates=$(grep -v '^#' "$TMP/classic" | sed 's/ [^ ]*$//' | sort | uniq -d)
is "no series is there twice" none "${duplicates:-none}"

# Each panel, of the host that is here or of the one that has everything.
for board in fleet host vm; do
	empty=$(jq -r '.panels[].targets[].expr' "$contrib/grafana/kvm-$board.json" | while read -r expression; do
		# shellcheck disable=SC2016
		expression=$(echo "$expression" | sed -e 's/\$instance/.*/g; s/\$vm/.*/g; s/\$__rate_interval/10s/g; s/\[1h\]/[10s]/g')
		# What was made sick above may be over by now.
		has_data "last_over_time(($expression)[3m:2s])" >/dev/null || echo "$expression"
	done)
	is "dashboard $board: each panel has data" none "${empty:-none}"
done
sed -n 's/.*- record: //p' "$contrib/prometheus/recording.yml" | grep -v findings | while read -r record; do
	has_data "last_over_time(${record}[3m])" >/dev/null || echo "$record"
done >"$TMP/unrecorded"
is "each recording rule records" none "$(paste -sd' ' "$TMP/unrecorded" | sed 's/^$/none/')"

# A name may be given to the next VM; this one has had its own since then, and so has the program.
fallen=$(sed -n 's/^# TYPE \(.*_total\) counter$/\1/p; s/^# TYPE \(.*\) histogram$/\1_bucket\n\1_count\n\1_sum/p' "$TMP/classic" |
	while read -r family; do
		ask_prometheus "resets($family{job=\"kvm_watcher\", vm=~\"|${idle_vm:-none}\"}[$(($(date +%s) - named_at))s]) > 0" |
			jq -r --arg f "$family" '.data.result[].metric | "\($f) \(.vm)"'
	done | head -5)
is "no counter ran backwards" none "${fallen:-none}"

# --- bad company

memory()
{
	awk '/^VmRSS:/ { print $2 }' /proc/$watcher/status
}

node "$tests/serve/http.js" scrapes $port 300 >"$TMP/scrapes" 2>&1 && pass "300 scrapes" || fail "300 scrapes" "$(cat "$TMP/scrapes")"
before=$(memory)
lost_before=$(value "$TMP/classic" kvm_watcher_lost_events_total)
node "$tests/serve/http.js" slow $port 20 >"$TMP/slow" 2>&1 &
slow=$!
pids="$pids $slow"
# A second has one sample, so what grows would grow with these.
nr_scrapes=${KVM_WATCHER_SCRAPES:-10000}
node "$tests/serve/http.js" scrapes $port "$nr_scrapes" >"$TMP/scrapes" 2>&1 && pass "$nr_scrapes scrapes" ||
	fail "$nr_scrapes scrapes" "$(cat "$TMP/scrapes")"
refused=$(node "$tests/serve/http.js" crowd $port 200)
test "$refused" -ge 130 && pass "200 connections: most are told that there are too many" ||
	fail "200 connections: most are told that there are too many" "$refused"
answered=$(node "$tests/serve/http.js" garbage $port 200)
test "$answered" -ge 190 && pass "200 pieces of garbage are refused" || fail "200 pieces of garbage are refused" "$answered"
longest=$(for i in 1 2 3 4 5; do
	curl -s -o /dev/null -w '%{time_total}\n' http://127.0.0.1:$port/metrics
	sleep 1.1
done | sort -n | tail -1)
test "$(awk -v t="$longest" 'BEGIN { print (t < 2) }')" = 1 && pass "slow clients keep nobody waiting" ||
	fail "slow clients keep nobody waiting" "$longest s"
wait $slow
is "who types a byte a second is cut off" "HTTP/1.1 408 Request Timeout" "$(tr -d '\r' <"$TMP/slow")"
after=$(memory)
test "$after" -le $((before + 8192)) && pass "memory is flat" || fail "memory is flat" "$before KiB, then $after KiB"
sleep 1.1
scrape >"$TMP/classic"
for reason in connections deadline request; do
	test "$(value "$TMP/classic" "kvm_watcher_http_refused_total{reason=\"$reason\"}")" -gt 0 &&
		pass "refused for $reason: it is counted" || fail "refused for $reason: it is counted"
done
lost=$(value "$TMP/classic" kvm_watcher_lost_events_total)
test "$lost" = "$lost_before" && pass "nothing was lost meanwhile" ||
	fail "nothing was lost meanwhile" "$lost_before before; $(grep ^kvm_watcher_lost_events_total "$TMP/classic")"

# --- the totals of the same run

kvm_guest --vms=2 --vcpus=2 --separate cpuid=37 out=53 hlt=10:1000 --end-on="$TMP/last.end" >"$TMP/last" 2>&1 &
last=$!
pids="$pids $last"
wait_for 50 sh -c "test \"\$(grep -c 'what\":\"vm\"' '$TMP/last')\" -ge 2"
sleep 2.2
scrape >"$TMP/final"
kill -INT $watcher
wait $watcher && pass "serve: exit status 0" || fail "serve: exit status 0" "$(tail -3 "$TMP/serve.err")"
touch "$TMP/last.end" "$TMP/idle.end"
wait $last $idle $emulate
kvm_watcher replay "$TMP/run.zst" --format=json >"$TMP/total.json" 2>"$TMP/replay.err" || fail "it is replayed" "$(cat "$TMP/replay.err")"
same_totals "serve" "$TMP/last" "$TMP/final" "$TMP/total.json" "KVM_USERSPACE_EXIT HALTS VCPU_STATE VCPU_LOAD KVM_IOCTL"
live KvmWatcherDown
untried=$(sed -n 's/.*- alert: //p' "$contrib/prometheus/alerts.yml" | while read -r alert; do
	grep -qx "$alert" "$TMP/alerts" || echo "$alert"
done)
is "contrib: each alert was to fire here, none by promtool alone" none "${untried:-none}"

# --- sockets of systemd's

if has_tool "systemd hands a socket over" systemd-socket-activate; then
	systemd-socket-activate -l 127.0.0.1:$port "$(command -v kvm_watcher)" serve --config=/dev/null -t 15 2>"$TMP/activated.err" &
	activated=$!
	pids="$pids $activated"
	sleep 0.5
	wait_for 15 sh -c "curl -s --max-time 10 http://127.0.0.1:$port/healthz | grep -qx ok" &&
		pass "systemd hands a socket over" || fail "systemd hands a socket over" "$(cat "$TMP/activated.err")"
	kill -INT $activated
	wait $activated
fi

done_testing
