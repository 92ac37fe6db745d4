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
	is "$1: and no other" 0 "$(grep -vc "$2\|no VM runs\|partial:\|missing:\|not the host" "$TMP/err")"
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
done_testing
