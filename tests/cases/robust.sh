# SPDX-License-Identifier: GPL-2.0-only
# A host that is short of something: limits, a full disk, directories that go, modules that are reloaded; and VMMs
# and other kvm_watchers that do what they want.
. "$(dirname "$0")/lib.sh"

# until_watching FILE: it says so there
until_watching()
{
	while ! grep -qs watching "$1" && kill -0 "$watcher" 2>/dev/null; do
		sleep 0.05
	done
}

# refused NAME SENTENCE STATUS: one sentence, exit status 1
refused()
{
	is "$1: exit status" 1 "$3"
	is "$1: one sentence, which names the limit" 1 "$(grep -c "$2" "$TMP/err")"
	is "$1: and no other" 0 "$(grep -vc "$2\|no VM is running\|partial:\|missing:\|not the host" "$TMP/err")"
}

# limited OPTION VALUE ARGUMENT...: kvm_watcher below that limit. Only the privileged may go beyond it.
limited()
{
	limited_option=$1 limited_value=$2
	shift 2
	(
		# shellcheck disable=SC3045 # dash has all of these but -u, bash and busybox have that too
		ulimit "$limited_option" "$limited_value" || exit
		exec setpriv --bounding-set -sys_resource --inh-caps -sys_resource kvm_watcher "$@"
	) >"$TMP/out" 2>"$TMP/err"
}

if planned limits && has_tool "limits of a process" setpriv; then
	for files in 12 60 200 500; do
		limited -n $files -l -t 0.1
		refused "$files files" 'raise ulimit -n to 512 or more' $?
	done
	for stack in 64 128 1000; do
		limited -s $stack -l -t 0.1
		refused "a stack of $stack KiB" 'raise ulimit -s to 1024 or more' $?
	done
	for memory in 10000 40000; do
		limited -v $memory -l -o -f -t 0.1
		refused "$memory KiB of memory" "ulimit -v is $memory, raise it" $?
	done
	# It works, or says so.
	for memory in 55000 60000 65000; do
		limited -v $memory -l -o -f -t 0.1
		memory_status=$?
		is "$memory KiB of memory: enough, or one sentence" "$memory_status" \
			"$(grep -c "ulimit -v is $memory, raise it" "$TMP/err")"
	done
	limited -d 20000 -l -o -f -t 0.1
	refused "20000 KiB of data" "ulimit -d is 20000, raise it" $?
	# Room for both processes, and for what they are asked for.
	limited -v 1000000 -l -o -f -t 0.1
	is "1 GB of memory is enough" 0 $?
	(
		# shellcheck disable=SC3045
		ulimit -S -n 64
		# shellcheck disable=SC3045
		ulimit -S -s 64
		kvm_watcher -l -t 0.1 >"$TMP/out" 2>"$TMP/err"
	)
	is "soft limits are raised" 0 $?
	# Blocks of 512 bytes.
	limited -f 2 -l -t 0.5 --interval=0.05 --format=json --output="$TMP/file"
	is "a file of 1 KiB: exit status" 1 $?
	is "a file of 1 KiB: why" 1 "$(grep -c "can't write the output: File too large: ulimit -f is [12], raise it" "$TMP/err")"
	part_ends
fi

# among_mounts COMMANDS ARGUMENT...: kvm_watcher, with mounts of its own that COMMANDS make; until it watches
among_mounts()
{
	among_commands=$1
	shift
	rm -f "$TMP/err" "$TMP/out"
	dir=$TMP/dir unshare -m sh -c "$among_commands"'
		exec kvm_watcher "$@"' sh "$@" >"$TMP/out" 2>"$TMP/err" &
	watcher=$!
	until_watching "$TMP/err"
}

# stopped NAME STATUS: Ctrl-C
stopped()
{
	kill -INT "$watcher" 2>/dev/null
	wait "$watcher"
	is "$1: exit status" "$2" $?
}

# total PID FILTER: what is counted of that process in the whole run
total()
{
	jq -s "[.[] | select(.scope == \"total\" and .pid == $1 and ($2)) | .count] | add // 0" "$TMP/out"
}

full='mount -t tmpfs -o size=8k full "$dir" && head -c 4096 /dev/zero >"$dir/other" || exit 9;'
if planned disk && has_tool "a full disk" unshare; then
	mkdir "$TMP/dir" "$TMP/gone"
	if among_mounts "$full" -d --format=json --temp-dir="$TMP/dir" && guest --log=ring dirty=400; then
		stopped "-d, a full disk" 1
		is "-d, a full disk: why" 1 \
			"$(grep -c 'is not complete: No space left on device (--temp-dir=DIR names' "$TMP/err")"
		is "-d, a full disk: totals" 400 "$(total "$(jq -s '.[0].pid' "$TMP/guest.json")" true)"
	else
		fail "-d, a full disk" "$(cat "$TMP/err" "$TMP/guest.err")"
	fi
	if among_mounts '' -d --format=json --temp-dir="$TMP/gone/files" && guest --log=ring dirty=400; then
		rmdir "$TMP/gone"
		stopped "-d, the directory is gone" 1
		is "-d, the directory is gone: why" 1 "$(grep -c "can't write into .*: No such file" "$TMP/err")"
		is "-d, the directory is gone: totals" 400 "$(total "$(jq -s '.[0].pid' "$TMP/guest.json")" true)"
	else
		fail "-d, the directory is gone" "$(cat "$TMP/err" "$TMP/guest.err")"
	fi
	among_mounts "$full" -l --events --format=json --output="$TMP/dir/out"
	guest out=400
	wait "$watcher"
	is "--output on a full disk: exit status" 1 $?
	is "--output on a full disk: why" 1 "$(grep -c "can't write the output: No space left on device" "$TMP/err")"
	if among_mounts 'mount -t proc -o hidepid=2 proc /proc && mount -t tmpfs -o ro none /tmp || exit 9
			umount -l /sys/kernel/tracing /sys/kernel/debug 2>/dev/null;' -e -l --format=json; then
		guest out=50
		stopped "hidepid, no tracefs, no /tmp" 0
		is "hidepid, no tracefs, no /tmp: totals" "51" \
			"$(total "$(jq -s '.[0].pid' "$TMP/guest.json")" '.monitor == "kvm_ioctl" and .name == "KVM_RUN"')"
	fi
	part_ends
fi
# Both processes may have no more memory than they have when they begin to watch.
if planned memory && has_tool "memory that ends" prlimit; then
	for format in json table; do
		rm -f "$TMP/err"
		kvm_watcher --no-sandbox -e -l -o -i -c --events --histogram --interval=0.1 --format=$format \
			>"$TMP/out" 2>"$TMP/err" &
		watcher=$!
		until_watching "$TMP/err"
		size=$(awk '/VmSize/ { print $2 * 1024 }' /proc/$watcher/status)
		prlimit --pid $watcher --as="$size" --data="$size"
		guest --vms=8 --vcpus=8 ioctls out=20 msi=5
		guest --vms=8 --vcpus=8 ioctls out=20 msi=5
		stopped "memory that ends, $format" 1
		holds "memory that ends, $format: why" grep -q "Cannot allocate memory: ulimit -v is $((size / 1024)), raise it" "$TMP/err"
	done
	part_ends
fi

# beside NAME: one more kvm_watcher, its rows in $TMP/NAME.out; its pid in $watcher
beside()
{
	rm -f "$TMP/$1.err"
	kvm_watcher -e -l --format=json --interval=0.1 >"$TMP/$1.out" 2>"$TMP/$1.err" &
	watcher=$!
	until_watching "$TMP/$1.err"
}

# saw NAME EXITS: in the whole run, of our guests
saw()
{
	cp "$TMP/$1.out" "$TMP/out"
	saw_pids=$(cat "$TMP"/guest.[123] | jq -s 'map(.pid // empty) | unique')
	is "$1 of three kvm_watchers: exits, KVM_RUNs" "$2 $2" "$(jq -rs --argjson pids "$saw_pids" '
		map(select(.scope == "total" and (.pid | IN($pids[]))) |
			select(.name == "KVM_RUN" or (.monitor == "vm_exit" and .kind == "userspace" and .reason == "IO"))) |
		[(map(select(.name == "KVM_RUN") | .count) | add), (map(select(.monitor == "vm_exit") | .count) | add)] |
		join(" ")' "$TMP/out")"
}

if planned several; then
	beside first
	first=$watcher
	guest out=30 && cp "$TMP/guest.json" "$TMP/guest.1"
	beside second
	second=$watcher
	beside third
	third=$watcher
	guest --vcpus=2 out=40 && cp "$TMP/guest.json" "$TMP/guest.2"
	# One ends as it should, another one as it should not.
	kill -INT "$second"
	wait "$second"
	is "second of three kvm_watchers: exit status" 0 $?
	kill -KILL "$third"
	wait "$third" 2>/dev/null
	guest out=50 && cp "$TMP/guest.json" "$TMP/guest.3"
	kill -INT "$first"
	wait "$first"
	is "first of three kvm_watchers: exit status" 0 $?
	saw first $((31 + 2 * 41 + 51))
	saw second $((2 * 41))
	part_ends
fi

# A VMM exits, execs or forks while its vCPU is in KVM_RUN. The generator that exits has no time to report.
amid()
{
	kvm_guest --amid="$1" out=40 spin=200 >"$TMP/amid.$1" 2>"$TMP/guest.err" &
	amid_pid=$!
	wait $amid_pid
}

# of PID FILTER: what is counted in the whole run, by VM
of()
{
	jq -rs "[.[] | select(.scope == \"total\" and .pid == $1 and ($2))] | group_by(.vm_id) |
		map(map(.count) | add) | join(\" \")" "$TMP/watch.json"
}

io='.monitor == "vm_exit" and .kind == "userspace" and .reason == "IO"'
if planned vmm; then
	: >"$TMP/guest.json"
	if watch -e -l -o --interval=0.2; then
		amid exit
		exits=$amid_pid
		amid exec
		execs=$amid_pid
		amid fork
		forks=$amid_pid
		# What a VMM that has ended holds no more is seen at the next look.
		sleep 0.5
		guest out=3
		printf '{"pid":%s}\n' "$exits" "$execs" "$forks" >>"$TMP/guest.json"
		watch_end
		is "exit in KVM_RUN: exits" 40 "$(of "$exits" "$io")"
		is "exit in KVM_RUN: the KVM_RUN that it ended, too" 41 "$(of "$exits" '.name == "KVM_RUN"')"
		is "exec in KVM_RUN: exits of the VM before and the one after" "40 8" "$(of "$execs" "$io")"
		is "exec in KVM_RUN: KVM_RUNs, of the process" 49 "$(of "$execs" '.name == "KVM_RUN"' | tr ' ' '\n' |
			awk '{ sum += $1 } END { print sum }')"
		is "fork in KVM_RUN: exits" 41 "$(of "$forks" "$io")"
		is "no VM of the process that was forked" "$(printf '%s\n' "$exits" "$execs" "$forks" | sort -n | tr '\n' ' ')" \
			"$(jq -rs --argjson other "$(jq -s '.[0].pid' "$TMP/guest.json")" '[.[] |
				select(.monitor == "vm_exit" and .pid != null and .pid != $other) | .pid] | unique |
				map("\(.) ") | add' "$TMP/watch.json")"
		is "nothing stays open" 0 "$(jq -s 'map(select(.scope == "total") | .open // 0) | add' "$TMP/watch.json")"
		# The last one had ended half a second before the end of the run.
		is "no time goes on" 0 "$(jq -s '.[-1].duration_ns as $all | map(select(.scope == "total" and
			.name == "KVM_RUN" and .total_ns > $all - 5e8)) | length' "$TMP/watch.json")"
		no_loss "nothing is lost"
	else
		fail "kvm_watcher starts beside VMMs that end"
	fi
	# Of slots that were not freed there would be none left.
	if watch -e --max-vcpus=24 --interval=0.2; then
		: >"$TMP/guest.json"
		for round in 1 2 3 4 5 6 7 8 9; do
			pids=
			for what in exit exec fork; do
				kvm_guest --amid=$what out=5 spin=50 >"$TMP/amid.$what.$round" 2>/dev/null &
				echo "{\"pid\":$!}" >>"$TMP/guest.json"
				pids="$pids $!"
			done
			# shellcheck disable=SC2086 # these are several
			wait $pids
		done
		watch_end
		is "27 VMMs that end while they run, in 24 slots: exits" $((9 * (5 + 5 + 8 + 6))) \
			"$(jq -s "[.[] | select(.scope == \"total\" and ($io)) | .count] | add" "$TMP/watch.json")"
		no_loss "27 VMMs that end while they run, in 24 slots: nothing is lost"
	fi
	part_ends
fi

# unload MODULE...: of those, last first; their messages in $TMP/rmmod
unload()
{
	: >"$TMP/rmmod"
	for module; do
		rmmod "$module" >>"$TMP/rmmod" 2>&1 || echo "$module stays" >>"$TMP/rmmod"
	done
}

load_again()
{
	while read -r module; do
		insmod "/modules/$module" 2>/dev/null
	done </modules/order
}

# says TEXT: within some seconds, on stderr; so often
times=1
says()
{
	for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
		test "$(grep -c "$1" "$TMP/watch.err")" -ge $times && return
		sleep 0.2
	done
	return 1
}

dirtied()
{
	jq -s '[.[] | select(.scope == "total" and .table == "DIRTY_SLOTS") | .count] | add' "$TMP/watch.json"
}

# Other VMs may need the modules of a host.
if test -n "$KVM_WATCHER_MACHINE" && planned reload; then
	vendor=kvm_amd
	everyone=1
	# Hooks that let the module go: kprobes. Here it is unloaded and loaded while no VM runs.
	if watch -d --temp-dir="$TMP"; then
		guest dirty=40
		unload $vendor kvm
		is "-d: the modules can be unloaded" 0 "$(wc -l <"$TMP/rmmod")"
		holds "-d: that hooks are gone is said" says 'unloaded; its [1-9] hook'
		load_again
		holds "-d: that they are there again, too" says 'loaded again; of \([1-9]\) lost hooks*, \1 att'
		guest dirty=50
		# Faster than it is looked at.
		unload $vendor kvm
		load_again
		times=2
		says "loaded again; of"
		times=1
		guest dirty=60
		watch_end
		is "-d: exit status" 0 $?
		is "-d: pages before and after" 150 "$(dirtied)"
		holds "-d: what had gone is counted" test "$(summary .lost.hooks_gone)" -ge 2
		is "-d: nothing else is lost" 0 "$(summary '.lost | del(.hooks_gone) | add')"
		is "-d: both times" 2 "$(grep -c 'loaded again; of' "$TMP/watch.err")"
		grep 'loaded' "$TMP/watch.err" | sed 's/^/# /'
	else
		fail "-d starts"
	fi
	if lacks vm_exit kprobe,iter 'kvm_exit|kvm_entry' >"$TMP/lacks"; then
		skip "-e by kprobes" "$(cat "$TMP/lacks")"
	elif watch -e --hooks=kprobe,iter; then
		guest cpuid=40
		unload $vendor kvm
		load_again
		holds "-e by kprobes: they are there again" says 'loaded again; of'
		guest cpuid=50
		watch_end
		is "-e by kprobes: exits before and after" 90 \
			"$(jq -s '[.[] | select(.scope == "total" and .class == "cpuid") | .count] | add' "$TMP/watch.json")"
	else
		fail "-e by kprobes starts"
	fi
	# The kernel counts who uses an event: the vendor's module may go, where nothing is in it.
	if watch -e; then
		guest cpuid=40
		unload $vendor kvm
		is "-e: kvm stays, and says so; the vendor's module goes" "kvm stays" "$(grep stays "$TMP/rmmod")"
		load_again
		guest cpuid=50
		watch_end
		is "-e: exits before and after" 90 \
			"$(jq -s '[.[] | select(.scope == "total" and .class == "cpuid") | .count] | add' "$TMP/watch.json")"
		is "-e: nothing is lost" 0 "$(summary '.lost | add')"
	else
		fail "-e starts"
	fi
	# Where maps count as locked memory, and the limit can't be raised.
	if kvm_watcher --check --format=json 2>/dev/null | jq -e '.host.kernel | startswith("5.10.")' >/dev/null; then
		# shellcheck disable=SC3045
		(
			ulimit -l 64
			with_caps 38,39 "$(command -v kvm_watcher)" -l -t 0.1 >"$TMP/out" 2>"$TMP/err"
		)
		refused "64 KiB of locked memory" "ulimit -l is 64, raise it" $?
	fi
	unload $vendor kvm
	kvm_watcher -e -t 1 >"$TMP/out" 2>"$TMP/err"
	is "without KVM: exit status" 1 $?
	is "without KVM: why" 1 "$(grep -c 'KVM is not loaded: load kvm_intel or kvm_amd' "$TMP/err")"
	insmod /modules/kvm.ko
	kvm_watcher -e -t 1 >"$TMP/out" 2>"$TMP/err"
	is "without the vendor's module: exit status" 1 $?
	is "without the vendor's module: why" 1 "$(grep -c 'load kvm_intel or kvm_amd' "$TMP/err")"
	load_again
	if watch -e; then
		guest cpuid=10
		watch_end
		is "loaded then: exits" 10 \
			"$(jq -s '[.[] | select(.scope == "total" and .class == "cpuid") | .count] | add' "$TMP/watch.json")"
	else
		fail "loaded then: it starts"
	fi
	everyone=
	part_ends
fi
done_testing
