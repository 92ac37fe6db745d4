# SPDX-License-Identifier: GPL-2.0-only
# What makes a VM that is well sick, see tests/diagnose/derive. The input is all lines of its recording (-s), $id the
# rule; without one it prints each rule, and the recording it is derived from.
#
# What a sickness does is told per second of a vCPU, and counted out for each interval; the whole run has the sum of these,
# so counts, times and buckets stay sums. Time comes out of halts, which get shorter.

# exits: so many a second, how long each is, asleep within.
def rules: {
  "split-lock": { from: "6.1-vmx-vmx-cured-CPUID-now-and-then.zst",
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

# Nanoseconds that change hands in intervals of these lengths.
def moves($rule; $walls): reduce $rule.exits[] as $e ({ kvm: 0, blocked: 0 };
    count($walls; $e.rate) as $nr | .kvm += $nr * ($e.ns - $e.asleep) | .blocked += $nr * $e.asleep) |
  .gone = .kvm + .blocked;

def grown($key; $ns): if $ns > 0 then .[$key] = (.[$key] // 0) + $ns else . end;

def load($m; $longer):
  .halted_ns = (.halted_ns // 0) - $m.gone | grown("kvm_ns"; $m.kvm) | grown("blocked_ns"; $m.blocked) |
  .load |= stretched($longer; $m.kvm);

def thread($m): grown("cpu_ns"; $m.kvm) | grown("system_ns"; $m.kvm);

# A row of halts: they are shorter.
def halts($m; $key; $shorter):
  if $m.gone == 0 then .
  else (if has("total_ns") then .total_ns -= $m.gone else . end) |
    if .[$key] and (.[$key] | length) > 4 then .[$key] |= stretched($shorter; -$m.gone) else . end end;

def exit_row($e; $nr): { kind: "kvm", reason: $e.reason, whose: $e.reason, l2: null, reason_code: $e.code,
  class: $e.class, time: alike($nr; $e.ns) };

def detail_row($e; $nr):
  exit_row($e; $nr) + { detail_kind: "none", write: null, number: null, more: null, detail: "(none)" };

# The row, and those of the same reason that were there, are one.
def merged($row): (map(.reason == $row.reason and (.detail_kind // "none") == "none") | index(true)) as $at |
  if $at == null then . + [$row] else .[$at].time |= plus($row.time) end;

def with_exits($rule; $walls; of): reduce $rule.exits[] as $e (.;
  count($walls; $e.rate) as $nr | if $nr > 0 then merged($e | of) else . end);

def vcpu_state($rule; $walls): .exits += ([$rule.exits[] | count($walls; .rate)] | add);

def line($rule; $m; $ratio):
  if .table == "VCPU_LOAD" then .rows |= map(load($m.all; $ratio.longer))
  elif .table == "KVM_EXIT" or .table == "KVM_EXIT_DETAIL" then
    .rows |= map(if .halt then halts($m.all; "time"; $ratio.shorter) else . end)
  elif .table == "HALTS" then .rows |= map(halts($m.all; "halt"; $ratio.shorter))
  elif .table == "VMM_THREADS" and .vcpu != null then .rows |= map(thread($m.polled))
  elif .table == "VCPU_STATE" then .rows |= map(vcpu_state($rule; $m.polled_walls))
  else . end | select(.rows == null or .rows != []);

# The rows of exits once in a window, with what is new.
def with_new($rule; $walls): . as $lines |
  ([.[] | select(.table == "VCPU_LOAD")] | first) as $of |
  if $of == null then . else
    ($of | { table, vm, vm_id, vm_nr, pid, tid, vcpu }) as $vcpu |
    def rows_of($table; of):
      ([$lines[] | select(.table == $table) | .rows[]] | with_exits($rule; $walls; of)) as $rows |
      if $rows == [] then empty else $vcpu + { table: $table, rows: $rows } end;
    [rows_of("KVM_EXIT"; exit_row(.; count($walls; .rate))),
      rows_of("KVM_EXIT_DETAIL"; detail_row(.; count($walls; .rate)))] +
    [.[] | select(.table == "KVM_EXIT" or .table == "KVM_EXIT_DETAIL" | not)]
  end;

# What a vCPU's halts and stays are multiplied with, by the whole run: the same in each window.
def ratios($rule; $walls; $row): if $row == null then null else moves($rule; $walls) as $m |
  { longer: (if $row.load[0] > 0 then ($row.load[0] + $m.kvm) / $row.load[0] else 1 end),
    shorter: (if ($row.halted_ns // 0) > 0 then 1 - $m.gone / $row.halted_ns else 1 end) } end;

def load_of: [.[] | select(.table == "VCPU_LOAD") | .rows[0]] | first;

# One window: its lines, and the intervals that it is made of. What is asked for at the end of an interval (VCPU_STATE,
# VMM_THREADS) lacks where the VM had ended.
def window($rule; $ratio; $parts):
  [$parts[].row.wall_ns] as $walls | [$parts[] | select(.polled) | .row.wall_ns] as $polled |
  { all: moves($rule; $walls), polled: moves($rule; $polled), polled_walls: $polled } as $m |
  [.[] | line($rule; $m; $ratio)] | with_new($rule; $walls);

def part_of: load_of as $row |
  if $row == null then [] else [{ row: $row, polled: any(.[]; .table == "VCPU_STATE") }] end;

def derived($rule):
  [.[] | if .recording then .start.host |= (.hostname = "synthetic" | .cpus = 1) else . end] |
  # [[line...]...]: what is before, between and after windows, too
  reduce .[] as $line ([[]]; if $line.window == "end" then .[-1] += [$line] | . + [[]]
    elif $line.window then . + [[$line]] else .[-1] += [$line] end) |
  [.[] | select(.[0].window == "interval") | part_of[]] as $all |
  ([.[] | select(.[0].window == "total")] | first) as $total |
  ratios($rule; [$all[].row.wall_ns]; $total | load_of) as $ratio |
  .[] | .[0].window as $kind | . as $part |
  (if $kind == "interval" then part_of elif $kind == "total" then $all else null end) as $parts |
  if $parts then ($part[1:-1] | window($rule; $ratio; $parts)) as $lines | [$part[0]] + $lines + [$part[-1]]
  else . end | .[];

# No column that the recording does not list; what a monitor keeps beside its columns is "more".
def checked: . as $lines | (map(.monitors // empty)[0] | map(.tables) | add) as $tables |
  $lines[] | .table as $table |
  if $table then reduce (.rows[] | keys[]) as $key (.;
    if $key == "more" or $tables[$table][$key] then . else error("\($table) has no \($key)") end) else . end;

if $id == "" then rules | to_entries[] | [.key, .value.from] | join(" ")
else rules[$id] as $rule | [derived($rule)] | checked end
