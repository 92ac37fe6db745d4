# SPDX-License-Identifier: GPL-2.0-only
# Two processes: the one that reads and prints has no rights, and it measures what it did. What each may do, what
# happens when one of them is killed, and with which rights it can be started at all.
. "$(dirname "$0")/lib.sh"

chmod 755 "$TMP"

# field PID NAME...: what the kernel says of that process
field()
{
	field_pid=$1
	shift
	for field_name; do
		sed -n "s/^$field_name:[[:space:]]*//p" "/proc/$field_pid/status"
	done | tr '\t\n' '  ' | sed 's/ $//'
}

# exits PID: to user space, by the rows that were shown
exits()
{
	jq -s --argjson pid "$1" 'map(select(.scope == "total" and .pid == $pid and .kind == "userspace" and
		.reason == "IO") | .count) | add' "$TMP/watch.json"
}

# descriptors PID: what it has open and did not inherit, each kind once
descriptors()
{
	for descriptor in "/proc/$1/fd"/*; do
		descriptor=$(readlink "$descriptor")
		case $descriptor in
		"$TMP"/*) echo "the output" ;;
		socket:*) echo "socket" ;;
		*)
			inherited=
			for mine in "/proc/$$/fd"/*; do
				test "$(readlink "$mine")" != "$descriptor" || inherited=1
			done
			test -n "$inherited" && test "$descriptor" != /dev/null || echo "$descriptor"
			;;
		esac
	done | sort | uniq
}

# sockets PID: how many
sockets()
{
	for descriptor in "/proc/$1/fd"/*; do
		readlink "$descriptor"
	done | grep -c '^socket:'
}

# shellcheck disable=SC2317 # holds calls it
# ended PID: the process is gone, at the latest in five seconds
ended()
{
	for ended_try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25; do
		kill -0 "$1" 2>/dev/null || return 0
		sleep 0.2
	done
	return "$((ended_try > 0))"
}

# The name of a QEMU whose command line does not say that it is one: that takes the link of its executable.
cp "$(command -v kvm_guest)" "$TMP/qemu-system-x86_64"
ln -s qemu-system-x86_64 "$TMP/renamed"
watch -e -v
broker=$(broker_of "$watch_pid")
uid=$(sed -n 's/^kvm_watcher:[^:]*:\([0-9]*\):.*/\1/p' /etc/passwd)
uid=${uid:-65534}
keeps=0000000000000000
grep -q 'CAP_BPF alone' "$TMP/watch.err" && keeps=0000008000000000
is "who reads and prints: real, effective, saved user" "$uid $uid $uid $uid" "$(field "$watch_pid" Uid)"
is "... has no further group" "[]" "[$(field "$watch_pid" Groups | tr -d ' ')]"
is "... capabilities: inheritable, permitted, effective, ambient" \
	"0000000000000000 $keeps $keeps 0000000000000000" "$(field "$watch_pid" CapInh CapPrm CapEff CapAmb)"
is "... no_new_privs and seccomp" "1 2" "$(field "$watch_pid" NoNewPrivs Seccomp)"
threads=0 filtered=0
for task in "/proc/$watch_pid"/task/*; do
	threads=$((threads + 1))
	! grep -q '^Seccomp:.*2$' "$task/status" || ! grep -q "^CapEff:.*$keeps\$" "$task/status" || filtered=$((filtered + 1))
done
is "... all of its threads" "$threads" "$filtered"
is "... bounding set" $keeps "$(field "$watch_pid" CapBnd)"
descriptors "$watch_pid" >"$TMP/open"
is "... has open: the output, maps, programs and links, timers, counters, a socket; and nothing else" 0 "$(grep -vcxE 'the output|/dev/null|socket|anon_inode:(bpf-map|bpf-prog|bpf.link|\[(eventfd|eventpoll|signalfd|timerfd|pidfd|perf_event)\])' "$TMP/open")"
holds "... they are looked at" grep -qx 'anon_inode:bpf-map' "$TMP/open"
sed 's/^/# /' "$TMP/open"
is "... one socket" "1 1" "$(sockets "$watch_pid") $(sockets "$broker")"
is "-v says it" 1 "$(grep -c "runs as uid $uid with .*, no_new_privs and a seccomp filter" "$TMP/watch.err")"
is "who loads and attaches" "kvm_watcher-bpf 0 0 0 0" "$(field "$broker" Name Uid)"
is "... has the capabilities of who started it" "$(field $$ CapEff) $(field $$ CapPrm)" "$(field "$broker" CapEff CapPrm)"
descriptors "$broker" >"$TMP/open"
is "... has open: messages, maps, programs, links and types, a socket; and nothing else" 0 "$(grep -vcxE 'the output|/dev/null|socket|/memfd:kvm_watcher-types \(deleted\)|anon_inode:(bpf-map|bpf-prog|bpf.link|btf|\[perf_event\])' "$TMP/open")"
sed 's/^/# /' "$TMP/open"
"$TMP/renamed" --name=web1 out=299 sleep=500 >"$TMP/guest.json" &
guest=$!
wait "$guest"
watch_end
is "what is measured" 301 "$(exits "$guest")"
is "the name" web1 "$(jq -r 'select(.scope == "total") | .vm' "$TMP/watch.json" | sort -u)"
holds "and nothing is left of either" ended "$broker"

watch -e --no-sandbox -v
is "--no-sandbox: user" "0 0 0 0" "$(field "$watch_pid" Uid)"
is "--no-sandbox: -v says it" 1 "$(grep -c 'keeps full privileges' "$TMP/watch.err")"
watch_end

# A file of its own, which the one without rights could not make.
if kvm_guest --log=ring dirty=1 >"$TMP/out" 2>&1; then
	watch -d --summary --temp-dir="$TMP/temp"
	guest --log=ring dirty=40
	watch_end
	is "a file: whose, and how many" "0 1" "$(stat -c %u "$TMP"/temp/mark_page_dirty-*) $(find "$TMP/temp" -name 'mark_page_dirty-*' -size +0 | wc -l)"
else
	skip "a file" "$(head -n 1 "$TMP/out")"
fi

# The privileged one is gone: what is attached goes on.
watch -e
broker=$(broker_of "$watch_pid")
kvm_guest out=100 >"$TMP/guest.json" &
before=$!
wait "$before"
kill -KILL "$broker"
"$TMP/renamed" --name=web2 out=200 >>"$TMP/guest.json" &
after=$!
wait "$after"
watch_end
is "the privileged process is killed: exit status" 1 "$watch_status"
is "... a sentence" 1 "$(grep -c 'the privileged process has ended: attached' "$TMP/watch.err")"
is "... before and after it" "101 201" "$(exits "$before") $(exits "$after")"
is "... a VM that came later has its thread's name" renamed \
	"$(jq -r --argjson pid "$after" 'select(.scope == "total" and .pid == $pid) | .vm' "$TMP/watch.json" | sort -u)"

# The other one is.
watch -e
broker=$(broker_of "$watch_pid")
kill -KILL "$watch_pid"
wait "$watch_pid" 2>/dev/null
watch_pid=
holds "who prints is killed: the privileged process ends" ended "$broker"

# The unprivileged process is an attacker's: build/tests/compromised.
if has_tool "an attacker" compromised && has_tool "an attacker" setpriv; then
	echo secret >"$TMP/secret"
	chmod 600 "$TMP/secret"
	mkdir "$TMP/open-to-all"
	chmod 777 "$TMP/open-to-all"
	sleep 100 &
	victim=$!
	setpriv --reuid="$uid" --regid="$uid" --clear-groups sleep 100 &
	peer=$!
	export VICTIM=$victim PEER=$peer SECRET="$TMP/secret" DIR="$TMP/open-to-all"
	# With all rights each attempt reaches the kernel, or is none: the same arguments.
	compromised -l --no-sandbox >"$TMP/control" 2>"$TMP/control.err"
	rm -f "$TMP/open-to-all/made"
	OLD_CALLS=1 compromised -l >"$TMP/attempts" 2>"$TMP/attempts.err"
	attacked=$?
	kill $victim $peer
	wait $victim $peer 2>/dev/null
	grep -E '^(refused|REACHED) ' "$TMP/attempts" >"$TMP/attempts.lines"
	while read -r outcome attempt; do
		is "an attacker: ${attempt%% (*}" refused "$outcome"
	done <"$TMP/attempts.lines"
	is "an attacker: all attempts were made" 1 "$(grep -c '^all is tried' "$TMP/attempts")"
	holds "... so many" test "$(wc -l <"$TMP/attempts.lines")" -ge 95
	# SIGSYS ends the whole process, not a thread of it.
	is "... calls of 32-bit programs end it" 159 "$attacked"
	is "... and no file was made" 0 "$(find "$TMP/open-to-all" -mindepth 1 | wc -l)"
	is "with all rights nothing of the same is refused, but by the privileged process" 0 "$(grep '^refused' "$TMP/control" |
		grep -vcE 'refused broker: |\(Function not implemented\)')"
fi

# With which rights it can be started.
real=$(command -v kvm_watcher)
if unshare -r true 2>/dev/null; then
	unshare -r "$real" -e -t 1 >"$TMP/out" 2>"$TMP/err"
	is "root of a user namespace" "1 1" "$? $(grep -c "BPF needs the host's root" "$TMP/err")"
else
	skip "root of a user namespace" "unshare -r is refused here"
fi
if unshare -m true 2>/dev/null; then
	for container in "-m -u -i -n" "-m -u -i -n -p -f"; do
		# shellcheck disable=SC2086 # these are options
		unshare $container "$real" -e -t 1 --format=json >"$TMP/out" 2>"$TMP/err"
		is "namespaces $container: exit status" 0 $?
		is "namespaces $container: it watches" 1 "$(grep -c 'watching vm_exit' "$TMP/err")"
	done
	unshare -m sh -c "mount -t tmpfs none /sys/kernel/btf && exec '$real' -e -t 1" >"$TMP/out" 2>"$TMP/err"
	is "a container without BTF: one sentence, with the remedy" "1 1 1" \
		"$? $(wc -l <"$TMP/err") $(grep -c "kernel's BTF is missing.*the host's /sys/kernel/btf" "$TMP/err")"
else
	skip "containers" "unshare is refused here"
fi
if with_caps 38,39 "$real" --help >"$TMP/out" 2>&1; then
	with_caps 38,39 "$real" -l -t 2 >"$TMP/out" 2>"$TMP/caps.err" &
	watcher=$!
	until grep -q watching "$TMP/caps.err" 2>/dev/null || ! kill -0 $watcher 2>/dev/null; do
		sleep 0.05
	done
	if grep -q watching "$TMP/caps.err"; then
		is "CAP_BPF and CAP_PERFMON: who prints keeps neither, or CAP_BPF" "$keeps 1 2" \
			"$(field $watcher CapEff NoNewPrivs Seccomp)"
	else
		skip "CAP_BPF and CAP_PERFMON: -l" "$(head -n 1 "$TMP/caps.err")"
	fi
	wait $watcher
fi
if ! command -v setcap >"$TMP/out" || ! cp "$real" "$TMP/capable" || ! setcap cap_bpf,cap_perfmon+ep "$TMP/capable" 2>"$TMP/err"; then
	skip "capabilities of the file" "setcap is not here, or $TMP keeps none"
else
	setpriv --reuid=65534 --regid=65534 --clear-groups "$TMP/capable" -l -v -t 0.5 >"$TMP/out" 2>"$TMP/err"
	is "capabilities of the file: it watches, and gives them up" "0 1 1" "$? $(grep -c 'watching kvm_ioctl' "$TMP/err") $(
		grep -c 'runs as uid 65534 with \(no capability\|CAP_BPF alone\)' "$TMP/err")"
fi

# Nobody with CAP_PERFMON and CAP_BPF: exits to user space, wherever libbpf does not look for a function in modules
# that this kernel has nowhere.
modules=
test ! -e /sys/kernel/btf/kvm || grep -q ' bpf_rdonly_cast$' /proc/kallsyms || modules=1
real=$(command -v kvm_watcher)
mkdir "$TMP/bin"
printf '#!/bin/sh\nexec with_caps 38,39 %s "$@"\n' "$real" >"$TMP/bin/kvm_watcher"
chmod 755 "$TMP/bin/kvm_watcher"
PATH=$TMP/bin:$PATH
if ! with_caps 38,39 "$real" --help >"$TMP/out" 2>&1; then
	skip "two capabilities" "with_caps is not here, or this is not root"
elif test -n "$modules"; then
	kvm_watcher -e -t 1 >"$TMP/out" 2>"$TMP/err"
	is "two capabilities: exit status" 1 $?
	is "two capabilities: says what to do" 1 "$(grep -c 'KVM_USERSPACE_EXIT.*run it as root' "$TMP/err")"
elif watch -e -o --self-cost; then
	# One vCPU: Linux 7.2 preempts what is left without tracefs, and skips the program for another vCPU then.
	guest out=600
	watch_end
	is "two capabilities: exits to user space" 601 "$(jq -s 'map(select(.scope == "total" and
		.kind == "userspace" and .reason == "IO") | .count) | add' "$TMP/watch.json")"
	# Their reasons are in types of modules, which /sys/kernel/btf shows to everybody.
	if test -e /sys/kernel/btf/kvm_amd || test -e /sys/kernel/btf/kvm_intel; then
		is "two capabilities: exits to KVM" 601 "$(jq -s 'map(select(.scope == "total" and .kind == "kvm" and
			.class == "io") | .count) | add' "$TMP/watch.json")"
	fi
	# What a program's functions are is root's to know: nobody takes the place of one, and each has a hook.
	is "two capabilities: no shared program on kvm_entry" 0 \
		"$(summary '.hooks | map(select(.monitor == "kvm_watcher" and .need == "kvm_entry")) | length')"
	is "two capabilities: nothing lost" 0 "$(summary '[.lost[]] | add')"
else
	fail "two capabilities: kvm_watcher starts"
fi
done_testing
