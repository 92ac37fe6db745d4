# SPDX-License-Identifier: GPL-2.0-only
# The tool as its user opens it: wrong input, a closed pipe, signals, formats,
# --list and --check. What needs no VM of this host's KVM at all is in
# tests/unit/test_options.c.
. "$(dirname "$0")/lib.sh"

# refuses NAME STATUS PATTERN OPTION...: that exit status and one line on stderr
refuses()
{
	name=$1 status=$2 pattern=$3
	shift 3
	timeout 20 kvm_watcher "$@" >"$TMP/out" 2>"$TMP/err" </dev/null
	got=$?
	if test $got -eq "$status" && test "$(wc -l <"$TMP/err")" -eq 1 &&
	   grep -q "$pattern" "$TMP/err" && test ! -s "$TMP/out"; then
		pass "$name"
	else
		fail "$name" "exit status $got, expected $status
$(cat "$TMP/err")"
	fi
}

refuses "no monitor" 2 "at least one monitor"
refuses "a process that does not exist" 2 "no such process" -e -p 4194303
refuses "a process that is no VM" 2 "no KVM VM descriptor" -e -p $$
refuses "-m without -f" 2 "mmio\|-m" -m
refuses "--temp-dir that can't be written to" 2 "temp-dir: can't create files in" -d --temp-dir=/none/x
refuses "--temp-dir that is no directory" 2 "temp-dir: .* not a directory" -h --temp-dir=/etc/passwd
for command in --help --usage -V list 'check -e' '-e --interval=0.1'; do
	# shellcheck disable=SC2086
	timeout 20 kvm_watcher $command >&- 2>"$TMP/err"
	is "$command, standard output closed" "1 1" "$? $(grep -c 'standard output is closed' "$TMP/err")"
	# shellcheck disable=SC2086
	timeout 20 kvm_watcher $command >/dev/full 2>"$TMP/err"
	is "$command into /dev/full" "1 1" "$? $(grep -c "can't write .*No space left" "$TMP/err")"
done

# What is asked for in vain is said, and is no error.
kvm_watcher -e -o -t 100ms --events --temp-dir=/none >"$TMP/out" 2>"$TMP/err"
is "options for what no monitor has: exit status" 0 $?
is "--events, and no monitor has events" 1 \
	"$(grep -c -- '--events: vm_exit, vcpu_load have no single events' "$TMP/err")"
is "--temp-dir, and no monitor writes files" 1 "$(grep -c -- '--temp-dir: vm_exit, vcpu_load write no file' "$TMP/err")"

# Missing hooks: a line for each cause.
kvm_watcher -e -n -w -t 0.1 --hooks=iter >"$TMP/out" 2>"$TMP/err"
is "hooks that are missing: a line for each cause" \
	"$(sed -n 's/.*missing: .*, because //p' "$TMP/err" | sort -u | wc -l)" "$(grep -c 'missing: ' "$TMP/err")"
is "hooks that are missing: all monitors in it" 1 "$(grep -c \
	'missing: .*(vm_exit).*(vcpu_wakeup).*(halt_poll_ns), because --hooks leaves out ' "$TMP/err")"

LC_ALL=C kvm_watcher -e -t 0.3 --self-cost >"$TMP/out" 2>&1
is "-t ends it: exit status" 0 $?
is "a run of one interval is shown once, with the time of day" 1 \
	"$(grep -c '^-- [012][0-9]:[0-5][0-9]:[0-6][0-9]  whole run, [0-9.]* s --$' "$TMP/out")"
is "... each table too" 1 "$(grep -c '^KVM_USERSPACE_EXIT' "$TMP/out")"
is "... and what is said at the end comes after it" 1 \
	"$(tail -n 1 "$TMP/out" | grep -c '^kvm_watcher: self-cost: user space')"

kvm_watcher -e -t 0.3 --interval=0.1 --format=json >"$TMP/out" 2>"$TMP/err"
holds "every line is JSON" jq -e . "$TMP/out"
is "the first line tells what it is" 'start 1 ["-e","-t","0.3","--interval=0.1","--format=json"] 0.1' \
	"$(head -n 1 "$TMP/out" | jq -r '"\(.scope) \(.schema) \(.options | tojson) \(.interval_ns / 1e9)"')"
is "its clocks are of one moment, now" true "$(head -n 1 "$TMP/out" | jq '.clock.mono_ns == .ts_ns and
	.clock.real_time == .time and now - .clock.real_ns / 1e9 < 60')"
is "its hooks are the summary's" "$(head -n 1 "$TMP/out" | jq -c .hooks)" "$(tail -n 1 "$TMP/out" | jq -c .hooks)"
is "the last line is the summary" '"summary"' "$(tail -n 1 "$TMP/out" | jq .scope)"
is "the summary tells every kind of loss as a number" true \
	"$(tail -n 1 "$TMP/out" | jq '[.lost[]] | length > 0 and all(type == "number")')"
is "and every hook's state" true "$(tail -n 1 "$TMP/out" |
	jq '.hooks | length > 0 and all(.state == "attached" or .state == "replaced" or .state == "missing")')"
if watch -e --self-cost && guest out=2000 && watch_end; then
	if grep -q "BPF statistics can't be enabled" "$TMP/watch.err"; then
		is "--self-cost: without the kernel's statistics no hook has times" 0 \
			"$(summary '[.hooks[] | select(has("runs"))] | length')"
	else
		# A program runs for all VMs.
		made=$(summary '.hooks[] | select(.need == "kvm_userspace_exit") | .runs')
		if test -n "$others" && test "$made" -gt 2001; then made=2001; fi
		is "--self-cost: the events that the generator made" 2001 "$made"
		is "--self-cost: each took time" true \
			"$(summary '[.hooks[] | select(.runs > 0)] | length > 0 and all(.run_ns > .runs)')"
		is "--self-cost: each is said on standard error" "$(summary '[.hooks[] | select(.runs > 0)] | length')" \
			"$(grep -c 'self-cost: vm_exit: .* events, [0-9]* ns each' "$TMP/watch.err")"
	fi
	holds "--self-cost: and what user space took" \
		grep -q 'self-cost: user space: [0-9.]* ms' "$TMP/watch.err"
else
	fail "--self-cost: kvm_watcher runs"
fi
kvm_watcher -e -t 0.2 --format=csv >"$TMP/out" 2>/dev/null
is "CSV begins with its header" "monitor,table,scope,ts_ns,time,interval_ns,vm,vm_id,pid,tid,vcpu" \
	"$(head -n 1 "$TMP/out" | cut -d, -f1-11)"
refuses "CSV of tables with different columns" 2 "table=NAME.*output=DIR/" -e -w --format=csv
refuses "a table that there is none of" 2 "choose from KVM_EXIT, KVM_USERSPACE_EXIT" -e --table=HALTS
refuses "--output of a directory without a slash" 1 "end the name with a slash" -e --output="$TMP"
refuses "--output where no file can be" 1 "No such file" -e --output="$TMP/none/rows"

kvm_watcher -e -T -t 0.3 --format=csv --output="$TMP/rows/" >"$TMP/out" 2>"$TMP/err"
is "--output=DIR/: a file for each table" "KVM_EXIT.csv KVM_TIMER.csv KVM_USERSPACE_EXIT.csv" \
	"$(cd "$TMP/rows" && echo *)"
is "--output=DIR/: nothing on standard output" 0 "$(wc -c <"$TMP/out")"
kvm_watcher -e -t 0.1 --format=json --output="$TMP/rows.json" >"$TMP/out" 2>"$TMP/err"
is "--output=FILE: all of it" "start summary" \
	"$(jq -r 'select(.monitor == "kvm_watcher" and .scope != "vm") | .scope' "$TMP/rows.json" | paste -sd ' ' -)"
for question in "-e -t 0.1" list; do
	# shellcheck disable=SC2086
	kvm_watcher $question --output=/dev/full >"$TMP/out" 2>"$TMP/err"
	is "a full disk: $question: exit status" 1 $?
	is "a full disk: $question: a sentence" 1 "$(grep -c 'No space left' "$TMP/err")"
done

# What all monitors write, against the schema; the guest does something for most tables.
if planned schema; then
	guest_at_gate 1 out=20 cpuid=20 mmio_read=20 mmio_write=20 hlt=5
	guest_pid=$gated
	kvm_watcher -e -w -h -l -d -f -m -n -o -c -i -T --vm_state --vmm_threads --unmaps --host --events -p "$guest_pid" --format=json \
		--output="$TMP/all.json" 2>"$TMP/err" &
	watch_pid=$!
	for _ in $(seq 300); do
		! grep -qs ": watching" "$TMP/err" || break
		sleep 0.1
	done
	open_gate
	wait "$guest_pid"
	wait "$watch_pid"
	watch_pid=
	{
		kvm_watcher --check -e -w --format=json
		kvm_watcher --list -p $$ --format=json
	} >>"$TMP/all.json" 2>/dev/null
	is "all monitors' rows fit the schema" null \
		"$(jq -nc --slurpfile schema docs/schema.json -f tests/schema.jq "$TMP/all.json")"
	sed 's/"table":"KVM_USERSPACE_EXIT"/&,"more":1/' "$TMP/all.json" >"$TMP/more.json"
	is "the schema finds what does not fit" '["KVM_USERSPACE_EXIT.more: not in the schema"]' \
		"$(jq -nc --slurpfile schema docs/schema.json -f tests/schema.jq "$TMP/more.json")"
fi

# A reader that goes away ends it quietly.
kvm_guest out=20000 >/dev/null &
{ timeout 20 kvm_watcher -e --interval=0.05 2>"$TMP/err"; echo $? >"$TMP/status"; } | head -n 1 >/dev/null
is "a closed pipe: exit status" 0 "$(cat "$TMP/status")"
is "a closed pipe: no complaint" 0 "$(grep -ci 'pipe\|can.t write' "$TMP/err")"
wait

for signal in INT TERM HUP; do
	if watch -e; then
		kill -$signal "$watch_pid"
		wait "$watch_pid"
		is "SIG$signal ends it with what was measured" '0 "summary"' "$? $(summary .scope)"
		watch_pid=
	else
		fail "kvm_watcher starts"
	fi
done

guest_at_gate 3 --vcpus=3 out=1
guest_pid=$gated
kvm_watcher -e -t 0.1 --vm='no such*' --vcpu=0-255 >"$TMP/out" 2>"$TMP/err"
is "--vm that nothing matches names what runs" 1 \
	"$(grep -c "no VM matches 'no such\*' now (running: .*); waiting" "$TMP/err")"
kvm_watcher -e -t 0.1 -p "$guest_pid" --vcpu=3-255 >"$TMP/out" 2>"$TMP/err"
is "--vcpu that nothing has names what runs" 1 "$(grep -c \
	'no VM has a vCPU that --vcpu selects (running: kvm_guest with 3 vCPUs); waiting' "$TMP/err")"
kvm_watcher -e -t 0.1 --vm='kvm_g*' --vcpu=2,9 >"$TMP/out" 2>"$TMP/err"
is "--vm and --vcpu that are there: no word" 0 "$(grep -c 'waiting' "$TMP/err")"
kvm_watcher --list --format=json >"$TMP/list.json" 2>"$TMP/err"
is "--list: exit status" 0 $?
is "--list: the VM" "kvm_guest $guest_pid 3" \
	"$(jq -r "select(.kind == \"vm\" and .pid == $guest_pid) | \"\(.vm) \(.pid) \(.vcpus)\"" "$TMP/list.json")"
is "--list: its vCPUs" "0 1 2" "$(jq -rs "map(select(.kind == \"vcpu\" and .pid == $guest_pid) | .vcpu) |
	sort | join(\" \")" "$TMP/list.json")"
kvm_watcher list --width=40 >"$TMP/out" 2>/dev/null
is "--width: no line is longer, and the VM is there" "0 1" \
	"$(grep -c '.\{41\}' "$TMP/out") $(grep -c "^kvm_g.* $guest_pid .* 3$" "$TMP/out")"
# Other VMs may come and go between the two.
kvm_watcher list --format=json >"$TMP/list2.json" 2>/dev/null
is "list is the same question" "$(jq -c "select(.pid == $guest_pid) | [.kind, .vm, .vcpu]" "$TMP/list.json")" \
	"$(jq -c "select(.pid == $guest_pid) | [.kind, .vm, .vcpu]" "$TMP/list2.json")"
open_gate
wait "$guest_pid"
if kvm_watcher list 2>&1 | grep -q 'no VM is running'; then
	kvm_watcher -e -t 0.1 >"$TMP/out" 2>"$TMP/err"
	is "no VM" 1 "$(grep -c 'no VM is running; waiting' "$TMP/err")"
fi

# Who a VM is: the generator takes names that look like QEMU's options; tests/unit/test_identity.c has real ones.
cp "$(command -v kvm_guest)" "$TMP/qemu-kvm"
uuid=5a9fc181-957e-5c32-9e5a-2de5e9673531
rm -f "$TMP/gate"
"$TMP/qemu-kvm" --start-on="$TMP/gate" --name -uuid=$uuid --name=/var/run/kubevirt-private/x --name=guest=shop_cart-0 \
	--vms=2 out=3 >"$TMP/guest.json" &
who_pid=$!
until kvm_watcher list --vm=uuid:5A9FC181-957E-5C32-9E5A-2DE5E9673531 --format=json >"$TMP/list.json" 2>/dev/null &&
      jq -es 'map(select(.kind == "vcpu")) | length == 2' "$TMP/list.json" >/dev/null || ! kill -0 $who_pid 2>/dev/null; do
	sleep 0.1
done
who='[.vm, .pid, .vmm, .vmm_version, .uuid, .libvirt_name, .kube_namespace, .kube_vmi]'
for nth in '' '#2'; do
	echo "[\"shop_cart-0$nth\",$who_pid,\"qemu\",null,\"$uuid\",null,\"shop\",\"cart-0\"]"
done >"$TMP/who"
is "--list --vm=uuid:... has who they are" "$(cat "$TMP/who")" \
	"$(jq -c "select(.kind == \"vm\") | $who" "$TMP/list.json")"
is "... which hide nothing from the host" '[true,null]' "$(jq -cs 'map(select(.kind == "vm")) |
	[all(has("confidential")), (map(.confidential) | unique[])]' "$TMP/list.json")"
cgroup=$(jq -rs 'map(select(.kind == "vm"))[0].cgroup' "$TMP/list.json")
is "... and their cgroup" "$cgroup" "$(cut -d : -f 3- /proc/$who_pid/cgroup | grep -Fxm 1 -e "$cgroup")"
watch -e --vm='pod:shop/cart*' --interval=0.2
: >"$TMP/gate"
wait $who_pid
watch_end
is "a run tells it once" "$(cat "$TMP/who")" \
	"$(jq -c "select(.scope == \"vm\") | $who" "$TMP/watch.json" | sort)"
is "... before the rows, which can be joined" '[8,0]' "$(jq -cs '. as $all | [range(length) | select($all[.].table)
	| . as $i | $all[:$i] | any(.scope == "vm" and .vm_id == $all[$i].vm_id and .cgroup == "'"$cgroup"'")]
	| [($all | map(select(.scope == "total" and .table == "KVM_USERSPACE_EXIT" and .reason == "IO") | .count) | add // 0),
	(map(select(. | not)) | length)]' "$TMP/watch.json")"
kvm_watcher -e -t 0.1 --vm=uuid:$uuid >"$TMP/out" 2>"$TMP/err"
is "--vm=uuid:... that is not there" 1 "$(grep -c "no VM .*'uuid:$uuid'\|no VM is running" "$TMP/err")"
refuses "--vm=uuid: that is none" 2 '"xyz" is not a UUID; give a full one' -e --vm=uuid:xyz

# Its VM ends while programs are loaded.
guest_at_gate 1 out=1
kvm_watcher -e -f -o -t 20 -p "$gated" >"$TMP/out" 2>"$TMP/err" &
watching=$!
# shellcheck disable=SC2010
until ls -l /proc/$watching/fd 2>/dev/null | grep -q bpf-prog || ! kill -0 "$watching" 2>/dev/null; do
	sleep 0.01
done
kill -KILL "$gated"
wait "$gated" 2>/dev/null
wait "$watching"
is "-p of a VM that ends during the start" "0 1" "$? $(grep -c "the VM with pid $gated has ended" "$TMP/err")"

# Single events: of one monitor alone, else when they are asked for.
# shown OPTION...: monitors whose events are shown
shown()
{
	watch --temp-dir="$TMP/temp" "$@" && guest --halt-poll=0 hlt=20 ioctls=1 && watch_end &&
		jq -rs 'map(select(.scope == "event") | .monitor) | unique | join(" ")' "$TMP/watch.json"
}

is "events of one monitor" vcpu_wakeup "$(shown -w)"
is "events of several" "none " "none $(shown -w -l -e)"
is "events of several, as asked" "kvm_ioctl vcpu_wakeup" "$(shown -w -l -e --events)"

# owner NAME VMS GUEST_OPTION...: the VMs are listed once, and -p finds them
owner()
{
	owner_name=$1 owner_vms=$2
	shift 2
	guest_at_gate $((2 * owner_vms)) --vcpus=2 --vms="$owner_vms" "$@" out=5
	owner_pid=$gated
	# Its holders are processes of their own.
	holders=$(grep -ls "^PPid:[[:space:]]*$owner_pid\$" /proc/[0-9]*/status | jq -Rsc '[scan("[0-9]+") | tonumber]')
	kvm_watcher --list --format=json 2>/dev/null |
		jq -c --argjson pids "$holders" "select(.pid | IN($owner_pid, \$pids[]))" \
		>"$TMP/list.json"
	is "$owner_name: --list has each VM once, with 2 vCPUs" "$owner_vms of 2, $((2 * owner_vms))" \
		"$(jq -rs 'map(select(.kind == "vm") | .vcpus) as $vms | "\($vms | length) of \($vms | unique | join(" ")), \(
		map(select(.kind == "vcpu")) | length)"' "$TMP/list.json")"
	is "$owner_name: --list has its process's name and memory" true \
		"$(jq -s 'map(select(.kind == "vm")) | all((.vm | startswith("kvm_guest")) and .rss_bytes > 0)' "$TMP/list.json")"
	if watch -e -p "$owner_pid"; then
		open_gate
		wait "$owner_pid"
		watch_end
		is "$owner_name: -p has their exits" $((12 * owner_vms)) "$(jq -s "map(select(.scope == \"total\" and
			.kind == \"userspace\" and .reason == \"IO\") | .count) | add" "$TMP/watch.json")"
	else
		fail "$owner_name: kvm_watcher starts"
		open_gate
		wait "$owner_pid"
	fi
}

if planned owners; then
	owner "descriptors shared by fork" 2 --holders=3
	owner "a VMM whose main thread has ended" 1 --main=exits
	owner "a VMM whose descriptors are a thread's own" 1 --main=unshared
fi
part_ends

# memory SLOTS: bytes of a VM with so many further memory slots
memory()
{
	guest_at_gate 1 --slots="$1" out=1
	kvm_watcher --list --format=json 2>/dev/null |
		jq -r "select(.kind == \"vm\" and .pid == $gated) | .memory_bytes"
	open_gate
	wait "$gated"
}

few=$(memory 0)
is "--list: memory of 300 further slots, most of them in one list of KVM's" $((300 * 4096)) \
	$(($(memory 300) - few))

kvm_watcher --check >"$TMP/out" 2>"$TMP/err"
is "--check: something can be measured here" 0 $?
is "--check: names the vendor module" 1 "$(grep -c "^vendor" "$TMP/out")"
kvm_watcher check >"$TMP/check" 2>/dev/null
is "check is the same question" "$(cat "$TMP/out")" "$(cat "$TMP/check")"
refuses "a command's option that it has not" 2 "kvm_watcher list --help" list --interval=1
holds "--check as JSON" sh -c "kvm_watcher --check --format=json | jq -e '.hooks.raw_tp.works'"

# Without root: a sentence, and exit status 1.
if ! planned no_root; then
	:
elif ! has_tool "no root" setpriv; then
	:
elif setpriv --reuid=65534 --regid=65534 --clear-groups true 2>/dev/null; then
	setpriv --reuid=65534 --regid=65534 --clear-groups "$(command -v kvm_watcher)" -e -t 1 \
		>"$TMP/out" 2>"$TMP/err"
	is "no root: exit status" 1 $?
	is "no root: says what to do" 1 "$(grep -c 'run it as root' "$TMP/err")"
	setpriv --reuid=65534 --regid=65534 --clear-groups "$(command -v kvm_watcher)" --list \
		>"$TMP/out" 2>"$TMP/err"
	is "no root: --list ends by itself: exit status" 1 $?
	guest_at_gate 1 out=1
	setpriv --reuid=65534 --regid=65534 --clear-groups "$(command -v kvm_watcher)" -e -t 1 -p "$gated" \
		>"$TMP/out" 2>"$TMP/p.err"
	is "no root: -p" "1 1" "$? $(grep -c "descriptors can't be read: run as root" "$TMP/p.err")"
	open_gate
	wait "$gated"
	is "no root: --list says what it does not know" 1 "$(grep -c 'are unknown: BPF needs root here' "$TMP/err")"
else
	skip "no root" "this is not root"
fi

done_testing
