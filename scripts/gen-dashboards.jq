# SPDX-License-Identifier: GPL-2.0-only
# Writes one of contrib/grafana/: gojq -n --arg board fleet -f scripts/gen-dashboards.jq (scripts/gen-dashboards.sh)
# A panel is a row of a list: what it shows is here, how Grafana wants it is below.

def panel($title; $unit; $targets): { kind: "timeseries", $title, $unit, $targets, width: 12, height: 8 };
def target($expr; $legend): { $expr, $legend };
def wide: .width = 24;
def stacked: .stack = true;
def table: .kind = "table";
def stat: .kind = "stat" | .width = 4 | .height = 4;
def of($text): .description = $text;

def states: "sum by (state) (rate(kvm_vcpu_time_seconds_total{instance=~\"$instance\", vm=~\"$vm\"}[$__rate_interval]))";
def lost($by): "sum by (\($by)) (rate(kvm_vcpu_time_seconds_total{instance=~\"$instance\", vm=~\"$vm\", state=~\"kvm|vmm|poll|steal|blocked\"}[$__rate_interval]))";
def quantile($q; $name; $by; $match): "histogram_quantile(\($q), sum by (\($by)le) (rate(\($name)_bucket{instance=~\"$instance\", vm=~\"$vm\"\($match)}[$__rate_interval])))";
def rate_of($name; $by; $match): "sum by (\($by)) (rate(\($name){instance=~\"$instance\", vm=~\"$vm\"\($match)}[$__rate_interval]))";

def boards: {
	fleet: {
		title: "KVM: fleet", uid: "kvm-watcher-fleet", variables: ["instance"],
		panels: [
			(panel("Hosts"; "short"; [target("count(kvm_watcher_build_info)"; "hosts")]) | stat),
			(panel("VMs"; "short"; [target("count(kvm_vm_info)"; "VMs")]) | stat),
			(panel("vCPUs lost"; "short"; [target(lost("job"); "lost")]) | stat
				| of("vCPUs that had work and did not run their guest: in KVM, in the VMM, polling, stolen or asleep.")),
			(panel("Findings"; "short"; [target("count(kvm_finding) or vector(0)"; "findings")]) | stat),
			(panel("Events lost by kvm_watcher"; "short"; [target("sum(increase(kvm_watcher_lost_events_total[1h]))"; "lost")]) | stat),
			(panel("Targets down"; "short"; [target("count(up{job=~\".*kvm_watcher.*\"} == 0) or vector(0)"; "down")]) | stat),
			(panel("VMs that lose most"; "short"; [target("topk(20, \(lost("instance, vm")))"; "{{vm}} on {{instance}}")]) | table | wide
				| of("vCPUs lost, of all hosts.")),
			panel("vCPUs lost by host"; "short"; [target("topk(20, \(lost("instance")))"; "{{instance}}")]),
			panel("Steal by host"; "short"; [target("topk(20, \(rate_of("kvm_vcpu_time_seconds_total"; "instance"; ", state=\"steal\"")))"; "{{instance}}")]),
			panel("Exits by host"; "ops"; [target("topk(20, \(rate_of("kvm_exits_total"; "instance"; "")))"; "{{instance}}")]),
			panel("VMs by host"; "short"; [target("count by (instance) (kvm_vm_info{instance=~\"$instance\"})"; "{{instance}}")]),
			(panel("Findings by rule"; "short"; [target("count by (id, severity) (kvm_finding{instance=~\"$instance\"}) or vector(0)"; "{{id}} ({{severity}})")]) | wide)
		]
	},
	host: {
		title: "KVM: host", uid: "kvm-watcher-host", variables: ["instance"],
		panels: [
			(panel("Where the vCPUs' time goes"; "short"; [target(states; "{{state}}")]) | stacked | wide),
			(panel("VMs that lose most"; "short"; [target("topk(20, \(lost("vm")))"; "{{vm}}")]) | table),
			(panel("Findings"; "short"; [target("kvm_finding{instance=~\"$instance\", vm=~\"$vm\"} or vector(0)"; "{{vm}}: {{id}}")]) | table
				| of("vCPUs that each costs; docs/diagnose.md has the remedies.")),
			panel("Steal by VM"; "short"; [target("topk(20, \(rate_of("kvm_vcpu_time_seconds_total"; "vm"; ", state=\"steal\"")))"; "{{vm}}")]),
			panel("Exits by VM"; "ops"; [target("topk(20, \(rate_of("kvm_exits_total"; "vm"; "")))"; "{{vm}}")]),
			panel("P99 of exits without halts, by VM"; "s"; [target("topk(20, \(quantile("0.99"; "kvm_exit_duration_seconds"; "vm, "; ", halt=\"false\"")))"; "{{vm}}")]),
			panel("P99 of wake-ups, by VM"; "s"; [target("topk(20, \(quantile("0.99"; "kvm_wakeup_latency_seconds"; "vm, "; "")))"; "{{vm}}")]),
			panel("Halts by VM"; "ops"; [target("topk(20, \(rate_of("kvm_halts_total"; "vm"; "")))"; "{{vm}}")]),
			panel("Moves of vCPUs to another CPU"; "ops"; [target("topk(20, \(rate_of("kvm_vcpu_migrations_total"; "vm"; "")))"; "{{vm}}"), target("sum(\(rate_of("kvm_vcpu_node_migrations_total"; "vm"; "")))"; "to another node")]),
			panel("Memory of VMs"; "bytes"; [target("topk(20, kvm_vm_memory_bytes{instance=~\"$instance\", vm=~\"$vm\"})"; "{{vm}}")]),
			panel("vCPUs of VMs"; "short"; [target("topk(20, kvm_vm_vcpus{instance=~\"$instance\", vm=~\"$vm\"})"; "{{vm}}")]),
			panel("kvm_watcher: CPU"; "percentunit"; [target("rate(process_cpu_seconds_total{instance=~\"$instance\", job=~\".*kvm_watcher.*\"}[$__rate_interval])"; "{{instance}}")]),
			panel("kvm_watcher: series"; "short"; [target("kvm_watcher_series{instance=~\"$instance\"}"; "{{instance}}"), target("kvm_watcher_folded_series{instance=~\"$instance\"}"; "folded on {{instance}}")]),
			panel("kvm_watcher: a scrape"; "s"; [target("kvm_watcher_refresh_duration_seconds{instance=~\"$instance\"}"; "{{instance}}")]),
			panel("kvm_watcher: lost"; "ops"; [target("sum by (kind) (rate(kvm_watcher_lost_events_total{instance=~\"$instance\"}[$__rate_interval]))"; "{{kind}}")])
		]
	},
	vm: {
		title: "KVM: VM", uid: "kvm-watcher-vm", variables: ["instance", "vm"],
		panels: [
			(panel("Where the time of its vCPUs goes"; "short"; [target(states; "{{state}}")]) | stacked | wide),
			(panel("Findings"; "short"; [target("kvm_finding{instance=~\"$instance\", vm=~\"$vm\"} or vector(0)"; "{{id}}")]) | table),
			panel("Steal by vCPU"; "short"; [target(rate_of("kvm_vcpu_time_seconds_total"; "vcpu"; ", state=\"steal\""); "vCPU {{vcpu}}")]),
			(panel("Exits by reason"; "ops"; [target("topk(15, \(rate_of("kvm_exits_total"; "to, reason"; "")))"; "{{to}}: {{reason}}")]) | stacked),
			(panel("Time of exits by reason, without halts"; "short"; [target("topk(15, \(rate_of("kvm_exit_handling_seconds_total"; "to, reason"; ", halt=\"false\"")))"; "{{to}}: {{reason}}")]) | stacked),
			panel("How long exits take, without halts"; "s"; [target(quantile("0.5"; "kvm_exit_duration_seconds"; "to, "; ", halt=\"false\""); "P50, {{to}}"), target(quantile("0.99"; "kvm_exit_duration_seconds"; "to, "; ", halt=\"false\""); "P99, {{to}}")]),
			panel("How long wake-ups take"; "s"; [target(quantile("0.5"; "kvm_wakeup_latency_seconds"; ""; ""); "P50"), target(quantile("0.99"; "kvm_wakeup_latency_seconds"; ""; ""); "P99")]),
			panel("Halts"; "ops"; [target(rate_of("kvm_halts_total"; "how"; ""); "{{how}}")]),
			panel("How long halts take"; "s"; [target(quantile("0.5"; "kvm_halt_duration_seconds"; ""; ""); "P50")]),
			panel("How long vCPUs stay on a CPU"; "s"; [target(quantile("0.5"; "kvm_vcpu_load_duration_seconds"; ""; ""); "P50")]),
			panel("Exits by KVM's own count"; "ops"; [target(rate_of("kvm_vcpu_exits_total"; "vcpu"; ""); "vCPU {{vcpu}}")]),
			panel("Instructions that KVM emulated"; "ops"; [target(rate_of("kvm_stat_emulated_instructions_total"; "vm"; ""); "emulated"), target(rate_of("kvm_stat_emulation_failures_total"; "vm"; ""); "failed")]),
			panel("Pages that its page tables map"; "short"; [target("sum by (size) (kvm_vm_mapped_pages{instance=~\"$instance\", vm=~\"$vm\"})"; "{{size}}")]),
			panel("TLB flushes of all vCPUs"; "ops"; [target(rate_of("kvm_vm_remote_tlb_flushes_total"; "vm"; ""); "flushes")])
		]
	}
};

# Grafana's part. Panels stand side by side as long as there is room: 24 columns.
def placed: reduce .[] as $p ({ x: 0, y: 0, low: 0, id: 1, out: [] };
	(if .x + $p.width > 24 then .x = 0 | .y = .low else . end)
	| .out += [$p + { at: { h: $p.height, w: $p.width, x, y }, id }]
	| .x += $p.width | .id += 1 | .low = ([.low, .y + $p.height] | max)) | .out;

def datasource: { type: "prometheus", uid: "${datasource}" };

def drawn: {
	id, title, type: .kind, datasource: datasource, gridPos: .at,
	description: (.description // ""),
	fieldConfig: {
		defaults: ({ unit } + if .kind == "timeseries" then
			{ custom: { lineWidth: 1, fillOpacity: (if .stack then 60 else 10 end),
				stacking: { mode: (if .stack then "normal" else "none" end) } } } else {} end),
		overrides: []
	},
	options: (if .kind == "timeseries" then
		{ legend: { displayMode: "list", placement: "bottom", showLegend: true }, tooltip: { mode: "multi", sort: "desc" } }
		elif .kind == "stat" then { reduceOptions: { calcs: ["lastNotNull"] }, colorMode: "value" }
		else { showHeader: true, sortBy: [{ displayName: "Value", desc: true }] } end),
	targets: [.kind as $kind | .targets | to_entries[] | {
		refId: ("ABCDEFGH"[.key:.key + 1]), datasource: datasource, expr: .value.expr, legendFormat: .value.legend,
		instant: ($kind == "table"), range: ($kind != "table"), format: (if $kind == "table" then "table" else "time_series" end)
	}]
};

def variable($name): { instance: "label_values(kvm_watcher_build_info, instance)",
	vm: "label_values(kvm_vm_info{instance=~\"$instance\"}, vm)" }[$name] as $query
	| { name: $name, label: $name, type: "query", datasource: datasource, query: { query: $query, refId: "V" }, definition: $query,
		refresh: 2, sort: 1, includeAll: true, multi: true, allValue: ".*",
		current: { text: ["All"], value: ["$__all"] } };

def hidden_vm: { name: "vm", type: "constant", query: ".*", hide: 2, current: { text: ".*", value: ".*" } };

boards[$board] | {
	title, uid, schemaVersion: 38, version: 1, editable: true, tags: ["kvm"], timezone: "browser", refresh: "30s",
	time: { from: "now-1h", to: "now" },
	annotations: { list: [] },
	links: [{ type: "dashboards", title: "KVM", tags: ["kvm"], asDropdown: true, includeVars: true, keepTime: true }],
	templating: { list: ([{ name: "datasource", label: "Prometheus", type: "datasource", query: "prometheus", refresh: 1 }]
		+ [.variables[] | variable(.)]
		+ (if (.variables | index("vm")) then [] else [hidden_vm] end)) },
	panels: (.panels | placed | map(drawn))
}
