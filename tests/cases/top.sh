# SPDX-License-Identifier: GPL-2.0-only
# top with real keys on a terminal (tests/terminal), on VMs that do exactly so much. How its screens look on made-up
# rows is tests/unit/test_top.c.
# alone
. "$(dirname "$0")/lib.sh"

export TERM=xterm LANG=C.UTF-8 XDG_CONFIG_HOME="$TMP/config"
unset NO_COLOR SUDO_UID SUDO_GID LC_ALL LC_CTYPE
mkdir "$XDG_CONFIG_HOME"

# on_screen NAME COMMAND...: the lines on stdin are done; one test of all of them
on_screen()
{
	on_name=$1
	shift
	if terminal "$@" >"$TMP/told" 2>&1; then
		pass "$on_name"
	else
		fail "$on_name" "$(grep -v '^ok' "$TMP/told"; head -n 30 "$TMP/screen" 2>/dev/null)"
	fi
}

# Other VMs may run on this host: these are told by their name, which a crosvm gets as --name.
mkdir "$TMP/bin"
cp "$(command -v kvm_guest)" "$TMP/bin/crosvm"
vm()
{
	exec "$TMP/bin/crosvm" --name="top-test" "$@" >/dev/null 2>&1
}
ours="--vm=top-test*"

# What a VM does, counted: all of it is in one interval, which stays on the screen. Each vCPU ends with one OUT more.
no_exits=$(missing vm_exit kvm_exit)
rm -f "$TMP/gate"
vm --start-on="$TMP/gate" --vcpus=2 cpuid=1234 out=321 &
guests=$!
{
	cat <<-END
	until 60 PAIN%
	run : >"$TMP/gate"
	until 20 top-test
	keys \x20
	until 5 PAUSED
	keys \r
	until 5 [vCPUs]
	keys \t
	until 5 [KVM_EXIT]
	END
	test -n "$no_exits" || cat <<-END
	keys v
	until 5 VCPU
	until 5 1234
	screen $TMP/exits
	keys v
	END
	cat <<-END
	keys \t
	until 5 [KVM_USERSPACE_EXIT]
	until 5 644
	screen $TMP/screen
	keys \r
	until 5 of top-test
	until 5 rate/s
	keys \e
	until 5 [KVM_USERSPACE_EXIT]
	keys v
	until 5 322
	keys q
	ends 20
	restored
	END
} >"$TMP/keys"
on_screen "all exits of a VM are on its screen" kvm_watcher top "$ours" --interval=4 <"$TMP/keys"
wait $guests
holds "the reason is named as the kernel does" grep -Eq '^(KVM_EXIT_)?IO .* 644 ' "$TMP/screen"
if test -z "$no_exits"; then
	is "exits to KVM: each vCPU has its own" 2 "$(grep -ci 'cpuid .* 1234 ' "$TMP/exits")"
else
	skip "exits to KVM: each vCPU has its own" "$no_exits"
fi

# What is measured is what is shown: links to hooks that the process holds. On a vCPU's screen these are slow events,
# too: of the VM's sleeps two. One began before and lasts until the screen is there, the last one is short.
rm -f "$TMP/gate"
vm --start-on="$TMP/gate" --go-on="$TMP/go" --timeout=300 cpuid=1000 sleep=90000 sleep=250 cpuid=3 sleep=300 sleep=5 \
	hlt=2:300000 &
guests=$!
links="ls -l /proc/\$CHILD/fd | grep -c bpf_link >$TMP/links"
{
	cat <<-END
	until 60 PAIN%
	run : >"$TMP/gate"
	until 20 top-test
	run $links.first
	keys \r
	until 5 [vCPUs]
	until 10 TOP_REASON
	keys \r
	until 5 [all rows]
	sleep 1500
	gone 60 attaching
	run $links.vcpu
	END
	test -n "$no_exits" || cat <<-END
	keys \t
	keys \t
	keys \t
	keys \t
	until 5 [SLOW KVM_EXIT]
	sleep 1500
	gone 30 attaching
	run : >"$TMP/go"
	until 20 io
	keys \x20
	until 5 PAUSED
	screen $TMP/slow
	keys \x20
	END
	cat <<-END
	run : >"$TMP/go"
	keys \e
	until 5 [vCPUs]
	keys \e
	gone 5 [vCPUs]
	sleep 2500
	gone 30 attaching
	run $links.again
	keys r
	sleep 1500
	gone 30 attaching
	keys r
	sleep 1500
	gone 30 attaching
	run $links.reset
	answers 50 h F1
	keys \e
	answers 50 > VM
	keys q
	ends 20
	restored
	END
} >"$TMP/keys"
on_screen "monitors come and go with the screens" kvm_watcher top "$ours" --interval=3 --slower-than=200ms <"$TMP/keys"
wait $guests
holds "a vCPU's screen takes more hooks" test "$(cat "$TMP/links.vcpu")" -gt "$(cat "$TMP/links.first")"
is "and they are gone with it" "$(cat "$TMP/links.first")" "$(cat "$TMP/links.again")"
is "all are there again after they were detached many times" "$(cat "$TMP/links.first")" "$(cat "$TMP/links.reset")"
if test -z "$no_exits"; then
	is "the slow exits of a vCPU, and no others" 2 "$(grep -Ec '^[0-9:.]+ .* io ' "$TMP/slow")"
	is "are all of the table" 2 "$(grep -Ec '^[0-9]+:[0-9]' "$TMP/slow")"
else
	skip "the slow exits of a vCPU, and no others" "$no_exits"
fi
holds "what was chosen is kept" grep -q '^sort VMs=' "$XDG_CONFIG_HOME/kvm_watcher/toprc"
is "for its user alone" 600 "$(stat -c %a "$XDG_CONFIG_HOME/kvm_watcher/toprc")"

if planned ends; then
# However it ends.
for how in "keys q:0" "keys \\x03:0" "kill 15:0" "kill 1:0" "kill 9:137" "kill 11:139" "kill 6:134"; do
	printf 'until 60 PAIN%%\n%s\nends 20\nrestored\n' "${how%:*}" >"$TMP/keys"
	on_screen "the terminal is as before after: ${how%:*}" kvm_watcher "$ours" <"$TMP/keys"
	is "and the status is: ${how%:*}" "ok ends ${how#*:}" "$(grep '^ok ends' "$TMP/told" | head -n 1)"
done
printf 'until 60 PAIN%%\nhangs_up\nends 20\n' >"$TMP/keys"
on_screen "it ends with its terminal" kvm_watcher top "$ours" --interval=1 <"$TMP/keys"

vm --timeout=120 --vcpus=2 cpuid=4000000000 &
busy=$!
# Sizes that change all the time, down to nothing.
{
	echo "until 60 PAIN%"
	for i in 1 2 3 4 5; do
		for size in "24 80" "2 3" "50 200" "1 1" "10 40" "3 300" "60 20" "24 80"; do
			echo "size $size"
			echo "keys $(printf %s 'jk>mhr[d' | cut -c "$i")"
			echo "sleep $((i * 3))"
		done
	done
	printf 'size 24 80\nkeys \\e\nkeys \\e\nkeys \\x0c\nkeys }\nuntil 30 lost 0\nuntil 30 PAIN%%\nscreen %s\nkeys q\nends 20\nrestored\n' "$TMP/screen"
} >"$TMP/keys"
on_screen "a storm of sizes" kvm_watcher top --no-config "$ours" --interval=1 <"$TMP/keys"
holds "a screen of 24 lines is left" test "$(wc -l <"$TMP/screen")" = 24
kill $busy 2>/dev/null
wait $busy
part_ends
fi

if planned names; then
# Names that steer terminals; the test's own terminal fails where a control character comes.
"$TMP/bin/crosvm" --timeout=120 --name="$(printf 'top-test\033[2J\033]0\007')" cpuid=4000000000 >/dev/null 2>&1 &
hostile=$!
"$TMP/bin/crosvm" --timeout=120 --name="$(printf 'top-test\350\231\232\346\213\237\346\234\272')" cpuid=4000000000 >/dev/null 2>&1 &
chinese=$!
cat >"$TMP/keys" <<END
until 60 top-test?[2J?]0?
until 20 top-test虚拟机
keys /
keys 拟
gone 5 ]0?
keys \r
keys \r
until 5 VMs > top-test虚拟机
screen $TMP/screen
keys q
ends 20
restored
END
on_screen "hostile and Chinese names" kvm_watcher top --no-config "$ours" --interval=1 <"$TMP/keys"
holds "as text, too" sh -c 'kvm_watcher top --once "$1" --interval=1 2>/dev/null | grep -q "top-test?\[2J?\]0?"' sh "$ours"
kill $hostile $chinese 2>/dev/null
wait $hostile $chinese
part_ends
fi

if planned recording; then
vm --timeout=120 --vcpus=2 cpuid=4000000000 &
busy=$!
kvm_watcher record "$TMP/run" "$ours" -e -o -w -t 5 --interval=500ms 2>/dev/null
kill $busy 2>/dev/null
wait $busy
cat >"$TMP/keys" <<END
until 20 VMs of run
until 10 top-test
keys {
until 5 STOPPED
keys ]
keys ]
keys \r
until 5 [vCPUs]
keys \t
until 5 VMs > top-test
keys }
keys \e
keys \x20
until 5 STOPPED
keys r
until 5 r does not work on a recording
keys q
ends 10
restored
END
on_screen "a recording plays" kvm_watcher top "$TMP/run" <"$TMP/keys"
is "and is printed" 1 "$(kvm_watcher top --once "$TMP/run" | grep -c '^top-test ')"

# w: from then on.
rm -f "$TMP/gate"
(vm out=77)
vm --start-on="$TMP/gate" --timeout=120 --vcpus=2 out=55 &
busy=$!
cat >"$TMP/keys" <<END
until 60 PAIN%
keys w
until 10 REC
run : >"$TMP/gate"
until 20 top-test
sleep 2500
keys q
ends 20
restored
END
on_screen "w records" kvm_watcher top --no-config "$ours" --record="$TMP/w" --record-interval=1 --interval=1 <"$TMP/keys"
wait $busy
# recorded SCOPE TABLE FILE: the exits of a table in it
recorded()
{
	kvm_watcher replay "$3" --by=vm --format=json 2>/dev/null |
		jq -s --arg scope "$1" --arg table "$2" '[.[] | select(.scope == $scope and .table == $table) | .count] | add // 0'
}
is "what came after it" 112 "$(recorded total KVM_USERSPACE_EXIT "$TMP/w")"
is "in its intervals, too" 112 "$(recorded interval KVM_USERSPACE_EXIT "$TMP/w")"

# w without a file: one of its own each time, where top was started.
rm -f "$TMP/gate"*
mkdir "$TMP/started"
for gate in 1 2 3; do
	vm --start-on="$TMP/gate$gate" --timeout=120 --vcpus=2 out=$((gate * 100 + 11)) &
done
cat >"$TMP/keys" <<END
until 60 PAIN%
keys w
until 10 REC kvm_watcher-
run : >"$TMP/gate1"
until 20 top-test
sleep 1500
keys w
until 10 recorded into kvm_watcher-
gone 5 REC
run : >"$TMP/gate2"
sleep 2000
keys w
until 10 REC kvm_watcher-
gone 10 attaching
run : >"$TMP/gate3"
sleep 2500
keys r
sleep 1500
keys q
ends 20
restored
END
(cd "$TMP/started" && terminal kvm_watcher top --no-config "$ours" --record-interval=1 --interval=1 <"$TMP/keys") >"$TMP/told" 2>&1
is "w, w and w again" 0 $?
grep -v '^ok' "$TMP/told"
wait
set -- "$TMP"/started/*
is "two files" 2 $#
holds "named by the time" sh -c "echo '${1##*/}' | grep -Eqx 'kvm_watcher-[0-9]{8}-[0-9]{6}\.zst'"
is "for their user alone" 600 "$(stat -c %a "$1")"
is "the first has what was done until the second w" 224 "$(recorded total KVM_USERSPACE_EXIT "$1")"
is "in its intervals" 224 "$(recorded interval KVM_USERSPACE_EXIT "$1")"
is "and ends with its summary" '"summary"' "$(kvm_watcher replay "$1" --format=json | tail -n 1 | jq .scope)"
is "the other one has what came after the third w, r or not" 624 "$(recorded total KVM_USERSPACE_EXIT "$2")"
is "in its intervals" 624 "$(recorded interval KVM_USERSPACE_EXIT "$2")"
is "and ends with its summary" '"summary"' "$(kvm_watcher replay "$2" --format=json | tail -n 1 | jq .scope)"
rm "$@"

# Under sudo it is the caller's file, made with the caller's rights.
printf 'until 60 PAIN%%\nkeys w\nuntil 10 not recording:\ngone 5 REC\nrun chown 65534:65534 .\nkeys w\nuntil 10 REC kvm_watcher-\nkeys q\nends 20\nrestored\n' >"$TMP/keys"
(cd "$TMP/started" && SUDO_UID=65534 SUDO_GID=65534 terminal kvm_watcher top --no-config "$ours" --interval=1 <"$TMP/keys") >"$TMP/told" 2>&1
is "a directory that the caller can't write" 0 $?
grep -v '^ok' "$TMP/told"
is "the file is the caller's" "65534:65534 600" "$(stat -c '%u:%g %a' "$TMP"/started/*)"
part_ends
fi

if planned refusals; then
on_screen "without a terminal's description: a sentence, and tables" env TERM=nonesuch kvm_watcher "$ours" <<-END
until 60 can't open a screen, because there is no terminfo entry for TERM
until 30 lost 0
signal 2
ends 20
END
kvm_watcher top </dev/null >"$TMP/out" 2>&1
is "without a terminal it is wrong" 2 $?
is "in one sentence" "kvm_watcher: top needs a terminal; --once prints its first screen as text" "$(cat "$TMP/out")"
kvm_watcher </dev/null >"$TMP/out" 2>&1
is "no arguments and no terminal: what it always was" 2 $?
holds "a sentence about monitors" grep -q '^kvm_watcher: choose at least one monitor' "$TMP/out"
holds "a file that is none" sh -c "! kvm_watcher top --once /dev/null 2>/dev/null"
rm -rf "$XDG_CONFIG_HOME/kvm_watcher"
ln -s "$TMP/elsewhere" "$XDG_CONFIG_HOME/kvm_watcher"
mkdir "$TMP/elsewhere"
ln -s "$TMP/victim" "$TMP/elsewhere/toprc"
echo precious >"$TMP/victim"
on_screen "a link in place of its settings" kvm_watcher top "$ours" --interval=1 <<-END
until 60 lost 0
keys >
keys q
ends 20
END
is "is not followed" precious "$(cat "$TMP/victim")"
part_ends
fi

if planned tmux && has_tool "tmux" tmux; then
# A shell's job: Ctrl-Z gives the terminal back, fg takes it again.
cat >"$TMP/rc" <<END
PS1='ready> '
END
tmux -u -L "top$$" -f /dev/null new-session -d -x 90 -y 25 "bash --noprofile --rcfile $TMP/rc -i"
keys()
{
	tmux -L "top$$" send-keys "$@"
}
# shellcheck disable=SC2317 # by holds
shown()
{
	for i in $(seq 200); do
		tmux -L "top$$" capture-pane -p >"$TMP/screen"
		grep -qF -- "$1" "$TMP/screen" && return
		sleep 0.1
	done
	return 1
}
holds "tmux: a shell" shown "ready>"
keys "kvm_watcher top --no-config --interval=1" Enter
holds "tmux: the screen" shown "lost 0"
keys h
holds "tmux: help" shown "Shift-Tab"
keys Escape
tmux -L "top$$" resize-window -x 60 -y 15
holds "tmux: smaller" shown "lost 0"
keys C-z
holds "tmux: Ctrl-Z" shown "Stopped"
keys "stty -a | tr ' ' '\n' | grep -x icanon" Enter
holds "tmux: the shell has its terminal" shown "icanon"
keys "fg" Enter
holds "tmux: the screen again" shown "lost 0"
keys q
sleep 3
keys "echo status \$?" Enter
holds "tmux: the end" shown "status 0"
tmux -L "top$$" kill-server
part_ends
fi

done_testing
