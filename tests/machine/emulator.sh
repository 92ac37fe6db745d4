# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2154
# Starting the emulators, following what the machine prints, and stopping them. Sourced by `machine`.
#
# The first serial line is the kernel's console, $work/console; the second carries what the command
# prints and then the end marker, $work/output. Both are files that the emulator writes. The terminal of
# `machine shell` takes the second one's place.

emulator_pid=''

# loglevel=3: the console is slow, so the kernel is quiet until init has started; a crash is shown anyway.
# cryptomgr.notests: in Bochs the self-tests of the crypto code take twelve seconds.

kernel_arguments="console=ttyS0 loglevel=3 oops=panic mitigations=off no_timer_check tsc=reliable cryptomgr.notests"

# aml OPCODE CONTENTS: an object of ACPI's language that begins with its length, as escapes of printf %b.
aml() {
	local length=$((${#2} / 4 + 2))
	printf '%s' "$1"
	printf '\\x%02x' $((0x40 | length & 15)) $((length >> 4))
	printf '%s' "$2"
}

# pstates_of CPU: it has 2000 and 1000 MHz, chosen by a port that nobody is at. That is all a driver of the kernel needs.
pstates_of() {
	local port='\x82\x0c\x00\x01\x08\x00\x00\xe0\x05\x00\x00\x00\x00\x00\x00\x79\x00' state states='' name
	port=$(aml '\x11' "\\x0a\\x11$port")
	for state in '\xd0\x07|\x00' '\xe8\x03|\x01'; do # MHz, mW, two latencies, what is written, what is read
		states=$states$(aml '\x12' "\\x06\\x0b${state%|*}\\x0b${state%|*}\\x0a\\x0a\\x0a\\x0a\\x0a${state#*|}\\x0a${state#*|}")
	done
	name=$(printf '%s' "_SB_CPUS$1_PCT_PSS_PPC" | od -An -v -tx1 | tr -d '\n' | sed 's/ /\\x/g')
	aml '\x10' "\\x5c\\x2f\\x03${name:0:48}\\x08${name:48:16}$(aml '\x12' "\\x02$port$port")$(
		)\\x08${name:64:16}$(aml '\x12' "\\x02$states")\\x08${name:80:16}\\x00"
}

# machines.tsv gives QEMU's machines one CPU. With two and a thread each, kernel code that patches itself ran into
# its own int3, and a vCPU of a guest was shut down once; with two and one thread for both, half of the Linux guests
# inside hung at boot, with or without kvm_watcher.
#
# Time in QEMU's machines is instructions, as it is in Bochs: a busy host makes them slower, and no timer late;
# who sleeps takes no time of the host. A Linux guest inside has hung at its boot that way, and whoever sits at a shell
# wants seconds that are seconds: these machines have the host's time, and so has one that is asked to (--host-time).
qemu_arguments() {
	local clock=(-accel 'tcg,thread=single' -icount "shift=$shift,sleep=off") more=() i
	if [ -n "$with_qemu$interactive$host_time" ] || { [ "$cpus" != 1 ] && [ -z "$single" ]; }; then
		clock=(-accel 'tcg,thread=multi')
	fi
	for ((i = 0; i < cpus; i++)); do
		[ -z "$numa" ] || more+=(-object "memory-backend-ram,id=node$i,size=$((memory / cpus))M" -numa "node,memdev=node$i,cpus=$i")
		[ -z "$pstates" ] || printf '%b' "$(pstates_of "$(printf 'C%03d' $i)")" >>"$work/pstates"
	done
	[ -z "$pstates" ] || more+=(-acpitable "sig=SSDT,rev=2,data=$work/pstates")
	qemu_line=(qemu-system-x86_64 "${clock[@]}" -cpu "$cpu" -smp "$cpus" -m "$memory"
		-nodefaults -no-user-config -display none -vga none -no-reboot
		-kernel "$kernel" -initrd "$work/initramfs"
		-append "$kernel_arguments panic=-1 $append" -serial "file:$work/console" "${more[@]}")
}

start_qemu() {
	need qemu-system-x86_64 || return 1
	qemu_arguments
	: >"$work/output"
	setsid "${qemu_line[@]}" -serial "file:$work/output" </dev/null >"$work/emulator.log" 2>&1 &
	emulator_pid=$!
}

shell_qemu() {
	need qemu-system-x86_64 || return 1
	qemu_arguments
	"${qemu_line[@]}" -chardev stdio,id=terminal,signal=off -serial chardev:terminal \
		<&0 2>"$work/emulator.log" &
	emulator_pid=$!
}

# write_bochs_files COM2: Bochs' configuration, COM2 being the options of the second serial line.
write_bochs_files() {
	local share=/usr/share program=$fast_bochs display=nogui commands=''
	if [ ! -x "$program" ]; then
		program=bochs display=term commands="-rc $work/bochs.rc"
		# The debugger that is built in waits for a command: go on. When it comes back, that is the end.
		printf 'c\nq\n' >"$work/bochs.rc"
	fi
	cat >"$work/bochsrc" <<-END
		display_library: $display
		memory: guest=$memory, host=$memory
		romimage: file=$share/bochs/BIOS-bochs-latest
		vgaromimage: file=$share/vgabios/vgabios.bin
		ata0-master: type=cdrom, path=$work/machine.iso, status=inserted
		boot: cdrom
		cpu: model=$cpu, count=1, ips=100000000, reset_on_triple_fault=0, ignore_bad_msrs=1
		clock: sync=none, time0=local
		com1: enabled=1, mode=file, dev=$work/console
		com2: enabled=1, $1
		log: $work/emulator.log
		panic: action=fatal
		error: action=ignore
		info: action=ignore
		debug: action=ignore
	END
	# Bochs' own process id is noted, for what draws and for stopping it.
	cat >"$work/bochs" <<-END
		#!/bin/sh
		echo \$\$ >"$work/bochs.pid"
		TERM=linux exec $program -q -f "$work/bochsrc" $commands </dev/null >/dev/null 2>&1
	END
	chmod +x "$work/bochs"
}

# drain_display: a Bochs with a display draws into a pseudo-terminal that it opens itself, for somebody to look at. What nobody
# reads fills up, and Bochs then waits for ever to move its cursor.
drain_display() {
	local pid fd number=''
	[ ! -x "$fast_bochs" ] || return 0
	for ((;;)); do
		sleep 0.2
		kill -0 "$emulator_pid" 2>/dev/null || return 0
		read -r pid 2>/dev/null <"$work/bochs.pid" || continue
		for fd in /proc/"$pid"/fd/*; do
			[ "$(readlink "$fd")" = /dev/ptmx ] || continue
			number=$(sed -n 's/^tty-index:[[:space:]]*//p' "/proc/$pid/fdinfo/${fd##*/}" 2>/dev/null)
		done
		[ -z "$number" ] || break
	done
	stty raw -echo <"/dev/pts/$number" && exec cat "/dev/pts/$number" >/dev/null
}

# prepare_bochs COM2
prepare_bochs() {
	need script grub-mkrescue xorriso || return 1
	fetch_bochs || need bochs || return 1
	build_iso "$kernel_arguments panic=0 lpj=1000000 $append" || return 1
	: >"$work/output"
	: >"$work/console"
	write_bochs_files "$1"
}

start_bochs() {
	prepare_bochs "mode=file, dev=$work/output" || return 1
	setsid script -qfc "$work/bochs" /dev/null </dev/null >/dev/null 2>&1 &
	emulator_pid=$!
	drain_display 2>/dev/null &
}

shell_bochs() {
	prepare_bochs "mode=term, dev=$(tty)" || return 1
	setsid script -qfc "$work/bochs" /dev/null </dev/null >/dev/null 2>&1 &
	emulator_pid=$!
	drain_display 2>/dev/null &
}

# attend: wait for the end of a shell. It ends with its terminal, too, which nobody need have sent a signal for,
# and at the time limit if one is given. The emulator runs in the background: bash handles a signal at once
# while it waits, but not before a program in the foreground has ended.
attend() {
	while kill -0 "$emulator_pid" 2>/dev/null; do
		sleep 0.5 &
		wait $!
		stty -g >/dev/null 2>&1 || exit 129
		if [ -n "$limit" ] && [ $SECONDS -ge "$limit" ]; then
			stop_emulator
			stty "$saved_terminal" 2>/dev/null
			printf '\n' >&2
			say "$name hit the time limit of $limit s and was stopped"
			exit 124
		fi
	done
	wait "$emulator_pid"
}

# cpu_seconds PID: what it had of the host's CPUs. What it takes longer than that it waited for them.
cpu_seconds() {
	local stat
	read -r stat 2>/dev/null <"/proc/$1/stat" || return
	# shellcheck disable=SC2086
	set -- ${stat##*) }
	echo $(((${12} + ${13}) / 100))
}

# stop_emulator: end what this script started, and only that.
stop_emulator() {
	local bochs
	exec 3<&-
	[ -n "$emulator_pid" ] || return 0
	bochs=$(cat "$work/bochs.pid" 2>/dev/null)
	[ -z "$timed" ] || say "$name took $SECONDS s, $(cpu_seconds "${bochs:-$emulator_pid}") of them on a CPU"
	if [ -n "$interactive" ]; then
		# QEMU leaves the terminal as it was when it may.
		kill -TERM "$emulator_pid" 2>/dev/null
		sleep 0.5
	fi
	# shellcheck disable=SC2086
	kill -KILL $bochs "$emulator_pid" 2>/dev/null
	wait "$emulator_pid" 2>/dev/null
	emulator_pid=''
}

# last_lines: why a machine ended badly, for standard error.
last_lines() {
	say "the last lines of $name (emulator, kernel, command):"
	{
		grep -v "warning: TCG doesn't support requested feature" "$work/emulator.log" | tail -n 5
		tail -n 25 "$work/console"
		tail -n 10 "$work/output"
	} 2>/dev/null | tr -d '\r' | sed 's/^/  | /' >&2
}

# trouble: what the kernel complained about after init had started, which a "-- init" line on the console
# tells. What it complains about before comes from the emulated processor, and is the same every time.
trouble() {
	tr -d '\r' <"$work/console" | sed '1,/^-- init/d' |
		grep -a -A 30 -m 1 -E 'BUG: |WARNING: |Oops|Kernel panic|general protection fault'
}

# finish STATUS: report what the kernel complained about and exit with the command's status.
finish() {
	local complaints
	[ -n "$verbose" ] && sed 's/^/  | /' "$work/console" >&2
	complaints=$(trouble)
	if [ -n "$complaints" ]; then
		say "the kernel of $name complained:"
		printf '%s\n' "$complaints" | sed 's/^/  | /' >&2
		case $complaints in *BUG:* | *Oops* | *panic* | *'general protection'*) exit 125 ;; esac
	fi
	exit "$1"
}

# died REASON: the machine ended without the end marker. 126: QEMU broke it, see qemu_arguments.
died() {
	stop_emulator
	say "$name died: $1"
	last_lines
	if [ "$emulator" = qemu ] && grep -qaE 'Oops: int3|int3: 0000' "$work/console"; then exit 126; fi
	exit 125
}

# stands_still: QEMU has taken next to no CPU time for a minute. A kernel that idles takes more; this one waits
# for a timer that QEMU has lost, as was seen now and then with a Linux guest inside.
stands_still() {
	local stat ticks
	[ "$emulator" = qemu ] && read -r stat <"/proc/$emulator_pid/stat" || return
	# shellcheck disable=SC2086
	set -- ${stat##*) }
	ticks=$((${12} + ${13}))
	if [ $((ticks - still_ticks)) -gt 2 ]; then
		still_ticks=$ticks still_since=$SECONDS
	fi
	[ $((SECONDS - still_since)) -ge 60 ]
} 2>/dev/null

# output_and_ticks MARK: what the command prints, and each second a line that ends with MARK; until the emulator has ended.
output_and_ticks() {
	tail -n +1 -s 0.1 -f --pid="$emulator_pid" "$work/output" &
	while kill -0 $!; do
		sleep 1
		printf '%s\n' "$1" || kill $!
	done
} 2>/dev/null

# follow: print what the command prints as it comes, until the end marker, the time limit or a crash.
follow() {
	local line='' part result deadline=$((SECONDS + timeout)) checked=$SECONDS tick="@@tick $marker@@"
	local still_ticks=0 still_since=$SECONDS
	# Not `read -t`: of bash it loses the character that comes as the time ends.
	exec 3< <(output_and_ticks "$tick")
	while :; do
		IFS= read -r part <&3
		result=$?
		line=$line${part%"$tick"}
		case $line in *"@@$marker "[0-9]*@@)
			printf '%s' "${line%%"@@$marker "*}"
			line=${line##*"@@$marker "}
			stop_emulator
			finish "${line%@@}"
			;;
		esac
		if [ $result != 0 ]; then
			died "it stopped without the end marker"
		elif [ "${part%"$tick"}" = "$part" ]; then
			printf '%s\n' "$line"
			line=''
		fi
		if [ $SECONDS -ge $deadline ]; then
			stop_emulator
			say "$name hit the time limit of $timeout s and was stopped"
			last_lines
			exit 124
		fi
		if [ $SECONDS != "$checked" ]; then
			checked=$SECONDS
			grep -a -q 'Kernel panic' "$work/console" && died "the kernel panicked"
			if stands_still; then
				stop_emulator
				say "$name stands still: QEMU has lost its timer"
				last_lines
				exit 126
			fi
		fi
	done
}
