# SPDX-License-Identifier: GPL-2.0-only
# What makes a VM that is well sick, see tests/diagnose/derive. The input is all lines of its recording (-s), $id the
# rule; without one it prints each rule, the recording it is derived from, and what truly comes along.
#
# What a sickness does is told per second of a vCPU, and counted out for each interval; the whole run has the sum of these,
# so counts, times and buckets stay sums. Time comes out of halts, which get shorter.

def on_svm: "6.12-svm-exits-cured-CPUID-now-and-then.zst";
def on_vmx: "6.1-vmx-vmx-cured-CPUID-now-and-then.zst";

# exits: so many a second, how long each is, asleep within, halted within.
# no_halts: those that were there are gone; what the exits leave of their time is the guest's.
# guest, steal: so many thousandths of the time were halts.
def rules: {
  "apicv-not-used": { from: on_vmx, injections: 1500,
    exits: [{ reason: "INTERRUPT_WINDOW", code: 7, class: "window", rate: 1500, ns: 50000 }],
    vm: { inhibit_bits: 2 }, host: { "kvm_intel.enable_apicv": "Y" } },
  "intx-eoi": { from: on_vmx, injections: 1500,
    exits: [{ reason: "EOI_INDUCED", code: 45, class: "eoi", rate: 1500, ns: 50000 }] },
  "split-lock": { from: on_vmx,
    exits: [{ reason: "EXCEPTION_NMI", code: 0, class: "exception", rate: 8, ns: 10100000, asleep: 10000000 }] }
};

def bucket: if . < 80 then 0 else . as $ns | ([range(6; 40) | select($ns >= pow(2; .))] | max) as $octave |
  ($octave - 6) * 4 + ($ns / pow(2; $octave - 2) | floor) % 4 end;

# So many times of that length.
def alike($nr; $ns): [$nr * $ns, $ns, $ns, ($ns | bucket), $nr];

# Two histograms; the least, the longest and the buckets of both.
def plus($b):
  if . == null then $b else . as $a | ([$a[3], $b[3]] | min) as $first |
    ([$a[3] + ($a | length) - 4, $b[3] + ($b | length) - 4] | max) as $above |
    [$a[0] + $b[0], ([$a[1], $b[1]] | min), ([$a[2], $b[2]] | max), $first] +
    [range($first; $above) | (if . >= $a[3] then $a[. - $a[3] + 4] else null end // 0) +
      (if . >= $b[3] then $b[. - $b[3] + 4] else null end // 0)] end;

# All times longer or shorter by the factor, together by $ns.
def stretched($factor; $ns): (($factor | log2) * 4 | round) as $steps |
  [.[0] + $ns, (.[1] * $factor | floor), (.[2] * $factor | floor), ([.[3] + $steps, 0] | max)] + .[4:];

# Of a window of these lengths: so many a second.
def count($walls; $rate): [$walls[] | . * $rate / 1000000000 | floor] | add // 0;

# Nanoseconds that change hands in intervals with these rows of VCPU_LOAD.
def moves($rule; $rows; $is_victim): [$rows[].wall_ns] as $walls | ([$rows[].halted_ns // 0] | add // 0) as $were |
  (reduce ($rule.exits // [])[] as $e ({ kvm: 0, blocked: 0, halted: 0 };
    count($walls; $e.rate) as $nr |
    .kvm += $nr * ($e.ns - ($e.asleep // 0) - ($e.halted // 0)) |
    .blocked += $nr * ($e.asleep // 0) | .halted += $nr * ($e.halted // 0)) |
    if $is_victim then { kvm: 0, blocked: 0, halted: 0 } else . end) |
  .steal = if $is_victim or ($rule.two_vcpus | not) then
    [$walls[] | . * ($rule.steal // 0) / 1000 | floor] | add // 0 else 0 end |
  .guest = if $is_victim then 0 else [$walls[] | . * ($rule.guest // 0) / 1000 | floor] | add // 0 end |
  if $rule.no_halts then .guest = $were - .kvm - .blocked - .halted | .gone = $were
  else .gone = .kvm + .blocked + .guest + .steal end;

def grown($key; $ns): if $ns > 0 then .[$key] = (.[$key] // 0) + $ns else . end;

def may_run($cpus): if $cpus then [0, $cpus] else . end;

def load($rule; $m; $longer):
  .halted_ns = (.halted_ns // 0) - $m.gone + (if $rule.no_halts then $m.halted else 0 end) |
  if .halted_ns == 0 then del(.halted_ns) else . end |
  grown("kvm_ns"; $m.kvm) | grown("blocked_ns"; $m.blocked) |
  grown("steal_ns"; $m.steal) | grown("guest_ns"; $m.guest) |
  .load |= stretched($longer; $m.kvm + $m.guest) | .cpus |= may_run(if $rule.two_vcpus then null else $rule.cpus end) |
  if $m.steal > 0 then .more += [{ ns: $m.steal, comm: "CPU 0/KVM", pid: 4711, vcpu: 0, vm: "db", vm_id: "4700.100.1" }]
  else . end;

def thread($rule; $m):
  grown("cpu_ns"; $m.kvm + $m.guest) | grown("system_ns"; $m.kvm) | grown("user_ns"; $m.guest) |
  grown("guest_ns"; $m.guest) | grown("delay_ns"; $m.steal) | .allowed |= may_run($rule.cpus);

# A row of halts: they are shorter, or gone.
def halts($rule; $m; $key; $shorter):
  if $rule.no_halts then empty
  elif $m.gone == 0 then .
  else (if has("total_ns") then .total_ns -= $m.gone else . end) |
    if .[$key] and (.[$key] | length) > 4 then .[$key] |= stretched($shorter; -$m.gone) else . end end;

def exit_row($e; $nr): { kind: "kvm", reason: $e.reason, whose: $e.reason, l2: null, reason_code: $e.code } +
  (if $e.halted then { halt: true } else {} end) + { class: $e.class, time: alike($nr; $e.ns) };

def detail_row($e; $nr):
  exit_row($e; $nr) + { detail_kind: "none", write: null, number: null, more: null, detail: "(none)" };

# The row, and those of the same reason that were there, are one.
def merged($row): (map(.reason == $row.reason and (.detail_kind // "none") == "none") | index(true)) as $at |
  if $at == null then . + [$row] else .[$at].time |= plus($row.time) end;

def with_exits($rule; $walls; of): reduce ($rule.exits // [])[] as $e (.;
  count($walls; $e.rate) as $nr | if $nr > 0 then merged($e | of) else . end);

def vcpu_state($rule; $walls):
  ([($rule.exits // [])[] | count($walls; .rate)] | add // 0) as $more | count($walls; $rule.injections // 0) as $irqs |
  count($walls; $rule.faults.rate // 0) as $faults |
  (if $rule.no_halts then .exits -= (.halt_exits // 0) | del(.halt_exits, .blocking) else . end) |
  .exits += $more | grown("irq_injections"; $irqs) | grown("pf_taken"; $faults) |
  grown(if $rule.no_halts then "pf_spurious" else "pf_fixed" end; $faults) |
  grown("halt_exits"; [($rule.exits // [])[] | select(.halted) | count($walls; .rate)] | add // 0) |
  if $rule.l1d_flush then .l1d_flush = .exits else . end;

def setting($name; $value): { name: $name, count: null } +
  (if $value | type == "string" then { number: null, text: $value }
   elif $value == 0 then { text: null } else { number: $value, text: null } end);

# A table's rows that nothing had before.
def more_tables($rule; $id; $vm; $vcpu; $walls; $is_total):
  def of_vm($table; $rows): $vm + { table: $table, rows: $rows };
  def of_vcpu($table; $rows): $vcpu + { table: $table, rows: $rows };
  (if $id == "lock-holder-preempted" or $id == "ple-on-dedicated" then count($walls; 400) as $nr |
     of_vcpu("PAUSE_LOOPS"; [{ ple_grows: $nr, ple_spun: ($nr * 1000000), ple_window: 2000000 }]) else empty end),
  (if $rule.nested then count($walls; $rule.nested) as $nr |
     of_vcpu("NESTED_ENTRY"; [{ entries: $nr, time: alike($nr; 120000) }]),
     of_vcpu("NESTED_EXIT"; [{ reason: "CPUID", reason_code: 10, class: "cpuid", count: $nr, reflected: $nr,
       time: alike($nr; 110000) }]) else empty end);

def head($rule; $id): .start.host.hostname = "synthetic" |
  .start.host.cpus = ([range(1; 8) | select(pow(2; .) > ($rule.cpus // 1))] | min);

# A second vCPU that does what the first one does, on a CPU of its own.
def twins: ., (if .vcpu == 0 and .table then .vcpu = 1 | .tid += 1000 |
  (if .table == "VCPU_LOAD" then .rows[].cpus = [0, 2] else . end)
  else empty end);

def line($rule; $walls; $until; $m; $ratio):
  (.vcpu == 1) as $is_victim | (if $is_victim then $m.victim else $m.first end) as $mine |
  (if $is_victim then $ratio.victim else $ratio.first end) as $r |
  (if $is_victim then $rule | .exits = [] | del(.injections) else $rule end) as $rule |
  if .table == "VCPU_LOAD" then .rows |= map(load($rule; $mine; $r.longer))
  elif .table == "KVM_EXIT" or .table == "KVM_EXIT_DETAIL" then
    .rows |= map(if .halt then halts($rule; $mine; "time"; $r.shorter) else . end)
  elif .table == "HALTS" then .rows |= map(halts($rule; $mine; "halt"; $r.shorter))
  elif .table == "VMM_THREADS" and .vcpu != null then
    .rows |= map(thread($rule; if $is_victim then $m.polled_victim else $m.polled end))
  elif .table == "VCPU_STATE" then .rows |= map(vcpu_state($rule; $m.polled_walls))
  elif .table == "VM_STATE" then .rows |= map(. + ($rule.vm // {}) |
    if $rule.two_vcpus then .vcpus = 2 else . end)
  elif .table == "HOST" and (.rows | length) > 10 then
    .rows |= (map(select(.name | in($rule.host // {}) | not)) +
      [($rule.host // {}) | to_entries | sort_by(.key)[] | setting(.key; .value)])
  else . end | select(.rows == null or .rows != []);

def fault_row($nr; $ns):
  { kind: "tdp", npages: 336, levels: [1, $nr], errors: [1, $nr, 2, $nr], time: alike($nr; $ns) };

# Two lists of keys and counts.
def tallied($b): [., $b | range(0; length; 2) as $i | { key: .[$i], nr: .[$i + 1] }] |
  [group_by(.key)[] | .[0].key, (map(.nr) | add)];

# Faults of the slot, on top of those that were there.
def with_faults($row): if . == null then $row else
  .levels |= tallied($row.levels) | .errors |= tallied($row.errors) | .time |= plus($row.time) end;

# The rows of exits and of faults once in a window, with what is new.
def with_new($rule; $id; $walls; $is_total): . as $lines |
  ([.[] | select(.table == "VCPU_LOAD" and .vcpu == 0)] | first) as $of |
  if $of == null then . else
    ($of | { table, vm, vm_id, vm_nr, pid, tid, vcpu }) as $vcpu | ($vcpu | del(.tid, .vcpu)) as $vm |
    def rows_of($table; of):
      ([$lines[] | select(.table == $table and .vcpu == 0) | .rows[]] | with_exits($rule; $walls; of)) as $rows |
      if $rows == [] then empty else $vcpu + { table: $table, rows: $rows } end;
    [rows_of("KVM_EXIT"; exit_row(.; count($walls; .rate))),
      rows_of("KVM_EXIT_DETAIL"; detail_row(.; count($walls; .rate)))] +
    (if $rule.faults then ([.[] | select(.table == "PAGE_FAULTS") | .rows[]] | first) as $row |
      [$vm + { table: "PAGE_FAULTS", rows:
        [$row | with_faults(fault_row(count($walls; $rule.faults.rate); $rule.faults.ns))] }]
      else [] end) +
    [.[] | select((.table == "KVM_EXIT" or .table == "KVM_EXIT_DETAIL") and .vcpu == 0 | not) |
      select((.table == "PAGE_FAULTS" and $rule.faults) | not)] +
    (if ([$rule.exits // [] | .[] | select(.halted)] | length) > 0 then
      ($rule.exits[0]) as $e | count($walls; $e.rate) as $nr |
      [$vcpu + { table: "HALTS", rows:
        [{ waited: $nr, halt: alike($nr; $e.halted), wake: alike($nr; $e.ns - $e.halted) }] }] else [] end) +
    [more_tables($rule; $id; $vm; $vcpu; $walls; $is_total)]
  end;

# What a vCPU's halts and stays are multiplied with, by the whole run: the same in each window.
def ratios($rule; $rows; $row; $is_victim): if $row == null then null else moves($rule; $rows; $is_victim) as $m |
  { longer: (if $row.load[0] > 0 then ($row.load[0] + $m.kvm + $m.guest) / $row.load[0] else 1 end),
    shorter: (if ($row.halted_ns // 0) > 0 and ($rule.no_halts | not) then
      1 - $m.gone / $row.halted_ns else 1 end) } end;

def load_of($vcpu): [.[] | select(.table == "VCPU_LOAD" and .vcpu == $vcpu) | .rows[0]] | first;

# One window: its lines; the intervals that it is made of, and those until its end. What is asked for at the end of an
# interval (VCPU_STATE, VMM_THREADS) lacks where the VM had ended.
def window($rule; $id; $ratio; $parts; $until; $is_total):
  [$parts[].row.wall_ns] as $walls | [$parts[] | select(.polled)] as $polled |
  { first: moves($rule; [$parts[].row]; false), victim: moves($rule; [$parts[].victim // empty]; true),
    polled: moves($rule; [$polled[].row]; false), polled_victim: moves($rule; [$polled[].victim // empty]; true),
    polled_walls: [$polled[].row.wall_ns] } as $m |
  [.[] | line($rule; $walls; [$until[].row.wall_ns]; $m; $ratio)] | with_new($rule; $id; $walls; $is_total);

def part_of: load_of(0) as $row | if $row == null then [] else
  [{ row: $row, victim: load_of(1), polled: any(.[]; .table == "VCPU_STATE") }] end;

def derived($rule; $id):
  [.[] | if .recording then head($rule; $id) else . end | if $rule.two_vcpus then twins else . end] |
  # [[line...]...]: what is before, between and after windows, too
  reduce .[] as $line ([[]]; if $line.window == "end" then .[-1] += [$line] | . + [[]]
    elif $line.window then . + [[$line]] else .[-1] += [$line] end) |
  [.[] | select(.[0].window == "interval") | part_of[]] as $all |
  ([.[] | select(.[0].window == "total")] | first) as $total |
  { first: ratios($rule; [$all[].row]; $total | load_of(0); false),
    victim: ratios($rule; [$all[].victim // empty]; $total | load_of(1); true) } as $ratio |
  reduce .[] as $part ({ until: [], out: [] };
    ($part[0].window) as $kind |
    if $kind == "interval" then
      ($part | part_of) as $parts | .until += $parts |
      .until as $until |
      .out += ($part[1:-1] | window($rule; $id; $ratio; $parts; $until; false) | [$part[0]] + . + [$part[-1]])
    elif $kind == "total" then
      .out += ($part[1:-1] | window($rule; $id; $ratio; $all; $all; true) | [$part[0]] + . + [$part[-1]])
    else .out += $part end) | .out[];

# No column that the recording does not list; what a monitor keeps beside its columns is "more".
def checked: . as $lines | (map(.monitors // empty)[0] | map(.tables) | add) as $tables |
  $lines[] | .table as $table |
  if $table then reduce (.rows[] | keys[]) as $key (.;
    if $key == "more" or $tables[$table][$key] then . else error("\($table) has no \($key)") end) else . end;

if $id == "" then rules | to_entries[] | [.key, .value.from, .value.beside // empty] | join(" ")
else rules[$id] as $rule | [derived($rule; $id)] | checked end
