# SPDX-License-Identifier: GPL-2.0-only
# What happens while it watches: one of the two processes is killed, VMs are stopped and go on, vCPUs are added, a vCPU is set
# back to an earlier state, the host's clock is set. A CPU that goes and comes and a suspend are in events_two_cpus.sh,
# snapshots of a real QEMU in events_qemu.sh.
# A process gets the number of one that has ended, and VMs end before anybody looks.
# Modules that are unloaded, VMMs that end in KVM_RUN and several kvm_watchers at a time are in robust.sh.
. "$(dirname "$0")/lib.sh"

# kernel_ids PID...: of programs, maps and links that these have open, as "prog 12"
kernel_ids()
{
	for kernel_pid; do
		sed -n 's/^\(prog\|map\|link\)_id:[[:space:]]*/\1 /p' "/proc/$kernel_pid"/fdinfo/* 2>/dev/null
	done | sort -u
}

# shellcheck disable=SC2317 # holds calls it
# gone PID: at the latest in five seconds
gone()
{
	gone_tries=0
	# Nobody may have waited for it yet.
	while grep -qs '^State:[[:space:]]*[A-Ya-z]' "/proc/$1/status"; do
		test $gone_tries -lt 100 || return 1
		sleep 0.05
		gone_tries=$((gone_tries + 1))
	done
}

# still_there FILE: those of its ids that the kernel still has; it lets go of them soon after their last descriptor
still_there()
{
	still_tries=0
	while :; do
		while read -r kind id; do
			! bpftool "$kind" show id "$id" >"$TMP/shown" 2>&1 || echo "$kind $id"
		done <"$1" >"$TMP/still"
		test -s "$TMP/still" && test $still_tries -lt 50 || break
		sleep 0.1
		still_tries=$((still_tries + 1))
	done
	wc -l <"$TMP/still"
}

# exits PID: to user space, by the rows that were shown
exits()
{
	jq -s --argjson pid "$1" 'map(select(.scope == "total" and .pid == $pid and .kind == "userspace" and
		.reason == "IO") | .count) | add' "$TMP/watch.json"
}

all="-e -f -d -w -n -o -c -i -h -l -T --temp-dir=$TMP --summary"

if planned killed && has_tool "what is left in the kernel" bpftool; then
	# shellcheck disable=SC2086 # these are options
	watch $all
	broker=$(broker_of "$watch_pid")
	kernel_ids "$watch_pid" "$broker" >"$TMP/ids"
	holds "programs, maps and links are there" test "$(cut -d ' ' -f 1 "$TMP/ids" | sort -u | wc -l)" = 3
	guest out=100
	kill -KILL "$broker"
	holds "the privileged process is killed: it is gone" gone "$broker"
	# What asks for it next finds out.
	guest out=50
	watch_end
	is "the privileged process is killed: exit status" 1 "$watch_status"
	is "... a sentence, once" 1 "$(grep -c 'the privileged process has ended: attached' "$TMP/watch.err")"
	is "... what was attached has counted on" 51 "$(exits "$(jq -s '.[0].pid' "$TMP/guest.json")")"
	is "... nothing is left in the kernel" 0 "$(still_there "$TMP/ids")"

	# shellcheck disable=SC2086 # these are options
	watch $all
	broker=$(broker_of "$watch_pid")
	kernel_ids "$watch_pid" "$broker" >"$TMP/ids"
	holds "again: programs are there" grep -q prog "$TMP/ids"
	kill -KILL "$watch_pid"
	wait "$watch_pid" 2>/dev/null
	watch_pid=
	holds "who reads and prints is killed: the privileged process ends" gone "$broker"
	is "... nothing is left in the kernel" 0 "$(still_there "$TMP/ids")"
	part_ends
fi

# A VM that is stopped, with its exit open, and goes on. -e takes it for what it is: time in the VMM.
watch -e -l --interval=0.2
kvm_guest --vms=2 --vcpus=2 out=20000 sleep=300 out=100 >"$TMP/guest.json" &
guest=$!
sleep 0.1
kill -STOP $guest
sleep 1
kill -CONT $guest
wait $guest
watch_end
# The end and the sleep are an exit each. A KVM_RUN that SIGSTOP interrupts fails with EINTR, and is made again.
is "VMs are stopped and go on: every exit" "$((4 * 20102))" "$(exits $guest)"
is "... every KVM_RUN" "$((4 * 20102))" "$(jq -s --argjson pid $guest 'map(select(.scope == "total" and .pid == $pid and
	.name == "KVM_RUN") | .count - (.errors.EINTR // 0)) | add' "$TMP/watch.json")"
is "... exit status" 0 "$watch_status"
no_loss "... nothing is lost"

# by_vcpu: "vcpu exits" of this case's generators, by the rows that were shown
by_vcpu()
{
	jq -rs 'map(select(.scope == "total" and .kind == "userspace" and .reason == "IO"))[] |
		"\(.vcpu) \(.count)"' "$TMP/watch.json" | sort -n
}

# wanted: the same by the generator
wanted()
{
	jq -rs 'map(select(.what == "vcpu"))[] | "\(.vcpu) \(.user_exits.IO)"' "$TMP/guest.json" | sort -n
}

# vCPUs that come while others run, and vCPUs with the greatest ids that KVM gives. 5.10 has ids up to 1022.
if planned vcpus; then
	step=1024
	kvm_guest --vcpus=4 --id-step=$step out=1 >"$TMP/out" 2>&1 || step=255
	watch -e -o -l
	guest --vcpus=6 --late-ms=150 out=3000 sleep=200 out=500
	watch_end
	is "vCPUs are added to a VM that runs: each one's exits" "$(wanted)" "$(by_vcpu)"
	is "... every KVM_RUN" $((6 * 3502)) "$(jq -s 'map(select(.scope == "total" and .name == "KVM_RUN") |
		.count - (.errors.EINTR // 0)) | add' "$TMP/watch.json")"
	is "... a budget for each" 6 "$(jq -s 'map(select(.scope == "total" and .monitor == "vcpu_load") | .vcpu) |
		unique | length' "$TMP/watch.json")"
	no_loss "... nothing is lost"

	watch -e -o
	guest --vcpus=4 --id-step=$step out=300
	watch_end
	is "vCPUs with ids up to $((4 * step - 1)): each one's exits" "$(wanted)" "$(by_vcpu)"
	is "... exit status" 0 $watch_status

	watch -e --vcpu=$((4 * step - 1))
	guest --vcpus=4 --id-step=$step out=200
	watch_end
	is "--vcpu=$((4 * step - 1)): it alone" "$((4 * step - 1)) 201" "$(by_vcpu)"

	watch -e
	guest --vcpus=64 --id-step=$((step / 16)) out=20
	watch_end
	is "64 vCPUs with holes between their ids" "$(wanted)" "$(by_vcpu)"
	part_ends
fi

# each FILTER: what of the rows of each process with the number $again, the oldest first
each()
{
	jq -rs --argjson pid "$again" "map(select(.scope == \"total\" and .pid == \$pid)) | group_by(.vm_id) |
		sort_by(.[0].vm_id | split(\".\")[1] | tonumber) | map(map(select($1) | .count) | add // 0) | join(\" \")" \
		"$TMP/watch.json"
}

# Process numbers are used again: on a busy host in a minute. Here at once, the vCPU thread's too, and often the address of
# the VM and of its vCPU with them; in one interval, in which nobody looks who has ended. A number that has just been given
# comes last.
if planned numbers; then
	watch -e -l --summary
	true &
	again=$!
	wait $again
	if guest --pid=$again --same-thread out=41; then
		sleep 0.05
		guest --pid=$again --same-thread out=43
		sleep 0.05
		guest --pid=$again --vcpus=2 out=47
		watch_end
		is "three processes with one number: each one's exits" "42 44 96" "$(each '.kind == "userspace" and .reason == "IO"')"
		is "... each one's KVM_RUNs" "42 44 96" "$(each '.name == "KVM_RUN"')"
		is "... each one has made a VM" "1 1 1" "$(each '.name == "KVM_CREATE_VM"')"
		is "... each one's vCPUs" "1 1 2" "$(each '.name == "KVM_CREATE_VCPU"')"
		no_loss "... nothing is lost"
	else
		watch_end
		fail "a process gets the number of one that has ended" "$(cat "$TMP/guest.err")"
	fi
	part_ends
fi

# named: "monitor name count" of this case's VMs, by the rows that were shown
named()
{
	jq -rs 'map(select(.scope == "total" and (.vm | startswith("late")) and ((.kind == "userspace" and .reason == "IO") or
		.name == "KVM_RUN"))) | group_by([.monitor, .vm])[] | "\(.[0].monitor) \(.[0].vm) \(map(.count) | add)"' "$TMP/watch.json"
}

# Who reads and prints is stopped, as on a host that is busy: both processes are gone when it goes on. A third one has a name
# that is cut, as it is behind what the kernel keeps. A fourth one's parent does not wait for it: it is in /proc, without its
# command line.
if planned late; then
	generator=$TMP/crosvm
	cp "$(command -v kvm_guest)" "$generator"
	for options in "-e" "-l --vm=late-*" "-e --vm=late-t*"; do
		# shellcheck disable=SC2086 # these are options
		watch $options
		kill -STOP "$watch_pid"
		"$generator" --name=late-one --repeat=3 out=100 >"$TMP/1.json"
		"$generator" --name=late-two --vcpus=2 out=50 >"$TMP/2.json"
		"$generator" --start-on="/$(printf '/%.0s' $(seq 1 1000))" --name=late-behind out=10 >"$TMP/3.json"
		sh -c '"$0" --name=late-unwaited out=20 >"$1.json" & echo $! >"$1.pid"; exec sleep 60' "$generator" "$TMP/4" &
		parent=$!
		is_zombie() { grep -qs '^State:[[:space:]]*Z' "/proc/$(cat "$TMP/4.pid")/status"; }
		for _ in $(seq 50); do
			sleep 0.1
			is_zombie && break
		done
		holds "a VMM has ended, and its parent does not wait for it" is_zombie
		kill -CONT "$watch_pid"
		watch_end
		kill $parent
		case $options in
		*-\*) want='kvm_ioctl late-one 101
kvm_ioctl late-one#2 101
kvm_ioctl late-one#3 101
kvm_ioctl late-two 102
kvm_ioctl late-unwaited 21' ;;
		*t\*) want='vm_exit late-two 102' ;;
		*) want='vm_exit late-one 101
vm_exit late-one#2 101
vm_exit late-one#3 101
vm_exit late-two 102
vm_exit late-unwaited 21' ;;
		esac
		is "VMs that have ended before anybody looked, $options: they have their names" "$want" "$(named)"
	done
	part_ends
fi

# As a VMM does that takes a snapshot and goes back to it: the guest's registers, its clock and its interrupts are what they
# were, and it does again what it did since. What was counted stays counted. A halt makes it wait for a wake-up of before.
if planned saved; then
	watch -e -l -o -w --summary
	guest --vcpus=2 out=1000 sleep=50 save out=700 sleep=50 load out=30
	watch_end
	is "a vCPU is set back to what it was: every exit" "$(wanted)" "$(by_vcpu)"
	# 1000 + sleep + save, twice 700 + sleep + load, 30 and the end
	is "... as many as were made" "0 2437
1 2437" "$(by_vcpu)"
	is "... no time is negative, or longer than the run" 0 "$(jq -s '(map(select(.scope == "total") | .interval_ns) | max) as $run |
		map(select(.scope == "total" and (.total_ns // 0 | . < 0 or . > $run))) | length' "$TMP/watch.json")"
	is "... exit status" 0 $watch_status
	no_loss "... nothing is lost"
	part_ends
fi

# Rows have the monotonic clock; what is shown of the host's clock follows it.
if test -n "$KVM_WATCHER_MACHINE" && planned clock; then
	watch -e --interval=0.5
	guest out=50
	cp "$TMP/guest.json" "$TMP/guest.before"
	real=$(date +%s)
	date -s "@$((real + 86400))" >"$TMP/out"
	guest out=60
	cp "$TMP/guest.json" "$TMP/guest.ahead"
	date -s "@$((real - 86400))" >"$TMP/out"
	guest out=70
	cat "$TMP/guest.before" "$TMP/guest.ahead" >>"$TMP/guest.json"
	watch_end
	date -s "@$real" >"$TMP/out"
	is "the clock is set twice: exits" "183" "$(jq -s 'map(select(.scope == "total" and .kind == "userspace" and
		.reason == "IO") | .count) | add' "$TMP/watch.json")"
	is "... no interval is longer than a second, or backwards" 0 "$(jq -s 'map(select(.scope == "interval" and
		(.interval_ns > 2e9 or .interval_ns <= 0))) | length' "$TMP/watch.json")"
	is "... the monotonic clock of the rows does not go back" true "$(jq -s 'map(select(.scope == "interval") | .ts_ns) |
		. == sort' "$TMP/watch.json")"
	is "... exit status" 0 "$watch_status"
	part_ends
fi
done_testing
