#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Runs in a test machine: what each monitor adds to the round trip of the event it watches. The guest reads the time
# stamp counter around every single event; the figure is the median. A line for each measurement, separated by tabs:
#	event	what	median	10th percentile	90th percentile	events
#
#	measure.sh [quick] [peers] [bpftrace] [python] [empty] [only=REGEX]
#
# empty: after each monitor, empty programs on the hooks that it has.
# only: no more than the lines of what matches (as grep -E has it): "kvm_watcher (-e|-o)$".
quick='' peers='' bpftrace='' python='' empty='' only=''
for word; do
	case $word in
	quick) quick=1 ;;
	peers) peers=1 ;;
	bpftrace) bpftrace=1 ;;
	python) python=1 ;;
	empty) empty=1 ;;
	only=*) only=${word#only=} ;;
	esac
done
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
printf '# kernel\t%s\n' "$(uname -r)"
# A standard input on which nothing ever comes, and which does not end.
mkfifo "$tmp/nothing"
exec 9<>"$tmp/nothing"

# op EVENT: what the generator is to do for it.
op() {
	case $1 in
	exit) echo cpuid=2000 ;;
	hypercall) echo vmcall=1000 ;;
	userspace_exit) echo out=1000 ;;
	page_fault) echo touch=1000 ;;
	mmio) echo mmio_read=1000 ;;
	dirty_page) echo dirty=500:4 ;;
	ioapic_irq) echo ioapic_irq=500 ;;
	timer_start) echo timer_dropped=500 ;;
	msr) echo rdmsr=1000 ;;
	cr) echo wrcr4=500 ;;
	exception) echo ud2=500 ;;
	esac
}

# of_host EVENT: it is none of a VM's
of_host() {
	case $1 in
	host_*) return 0 ;;
	esac
	return 1
}

# make_events EVENT
make_events() {
	if of_host "$1"; then host_events "${1#host_}" 1000; else kvm_guest --time "$(op "$1")"; fi
}

# figure EVENT WHAT
figure() {
	if ! make_events "$1" >"$tmp/guest" 2>"$tmp/guest.err"; then
		sed "s/^/# $2: /" "$tmp/guest.err"
		return
	fi
	sed -n 's/.*"ticks":{"turns":\([0-9]*\),"min":[0-9]*,"p10":\([0-9]*\),"median":\([0-9]*\),"p90":\([0-9]*\).*/\3 \2 \4 \1/p' \
		"$tmp/guest" | {
		read -r median p10 p90 turns
		printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$median" "$p10" "$p90" "$turns"
	}
}

# unwatched EVENT: what it takes, unless that was measured
unwatched() {
	test -e "$tmp/unwatched.$1" && return
	: >"$tmp/unwatched.$1"
	figure "$1" nothing
}

# ready READY: does the program say READY, or (READY is perf) has it opened its counters?
ready() {
	if [ "$1" = perf ]; then
		# shellcheck disable=SC2010
		ls -l "/proc/$pid/fd" 2>/dev/null | grep -q perf_event && sleep 20
	else
		grep -q "$1" "$tmp/messages" "$tmp/output"
	fi
}

# with EVENTS WHAT READY COMMAND...: the figures while COMMAND runs.
with() {
	events=$1 what=$2 ready=$3
	shift 3
	echo "$what" | grep -qE -e "$only" || return 0
	for event in $events; do unwatched "$event"; done
	: >"$tmp/messages"
	"$@" <"$tmp/nothing" >"$tmp/output" 2>"$tmp/messages" &
	pid=$!
	waited=0
	while ! ready "$ready"; do
		if ! kill -0 "$pid" 2>/dev/null || [ $waited -ge 1200 ]; then
			kill "$pid" 2>/dev/null
			sed "s/^/# $what: /" "$tmp/messages"
			return
		fi
		waited=$((waited + 1))
		sleep 0.1
	done
	for event in $events; do figure "$event" "$what" >>"$tmp/figures"; done
	if kill -INT "$pid" 2>/dev/null; then
		cat "$tmp/figures"
	else
		echo "# $what: it ended by itself"
	fi
	rm "$tmp/figures"
	waited=0
	while kill -0 "$pid" 2>/dev/null; do
		waited=$((waited + 1))
		test $waited -lt 300 || kill -KILL "$pid"
		sleep 0.1
	done
	grep -E 'missing|lost: ' "$tmp/messages" | grep -v exits_untraced | sed "s/^/# $what: /"
}

# hooks: those of the kvm_watcher that has just ended, as empty_programs wants them. One program is there for all
# that do something at exits or entries, and for all that are told of vCPUs; the second end of a call has another kind.
hooks() {
	sed -n '$s/.*"hooks":\[//p' "$tmp/output" | tr '{' '\n' | grep '"state":"attached"' |
		sed 's/.*"monitor":"\([^"]*\)","need":"\([^"]*\)","hook":"\([^"]*\)".*/\1 \2 \3/' | awk '
		$3 ~ /^iter/ { next }
		$3 ~ /sys_ioctl$/ && $3 ~ /^kprobe/ { sub(/^kprobe/, "kprobe.multi", $3) }
		$2 ~ /return$/ { sub(/^kprobe/, "kretprobe", $3); sub(/^fentry/, "fexit", $3) }
		$3 ~ /kvm_(entry|exit)$/ && said[$3]++ { next }
		$1 !~ /vm_exit|vcpu_load/ && $3 ~ /kvm_fpu$/ && said[$3]++ { next }
		{ print $3 }'
}

# beside EVENTS NAME: empty programs on the hooks that kvm_watcher has just told of
beside() {
	test -n "$empty" && test -s "$tmp/output" || return 0
	# shellcheck disable=SC2046
	with "$1" "empty programs of $2" watching empty_programs $(hooks)
}

# watcher EVENTS OPTION...
watcher() {
	watcher_events=$1
	shift
	: >"$tmp/output"
	with "$watcher_events" "kvm_watcher $*" watching kvm_watcher --interval=3600 --format=json "$@"
	beside "$watcher_events" "kvm_watcher $*"
}

all_events='exit hypercall userspace_exit page_fault mmio dirty_page ioapic_irq timer_start'
test -z "$quick" || all_events='exit'
detailed='msr cr exception'
test -z "$quick" || detailed=''
hosts='host_syscall host_ioctl host_switch'
test -z "$quick" || hosts=''
test -n "$only" || for event in $all_events $detailed $hosts; do unwatched "$event"; done
with exit 'empty programs' watching empty_programs
watcher "exit$(test -n "$quick" || echo " userspace_exit page_fault mmio hypercall $detailed")" -e
test -n "$quick" || watcher "exit userspace_exit page_fault mmio hypercall $detailed" -e --detail

kvm_guest sleep=3000000 --timeout=3600 >/dev/null 2>&1 &
other=$!
sleep 0.5
with exit 'kvm_watcher -e -p OTHER' watching kvm_watcher --interval=3600 --format=json -e -p "$other"
kill "$other"

if test -z "$quick"; then
	watcher 'exit hypercall' -h
	watcher 'exit userspace_exit host_syscall host_ioctl' -l
	watcher 'exit page_fault' -f --summary
	watcher 'exit mmio' -f -m --summary
	watcher 'exit dirty_page' -d --summary
	watcher 'exit userspace_exit host_switch' -o
	watcher 'exit host_switch' -w
	watcher 'exit' -n
	watcher 'exit ioapic_irq' -i --summary
	watcher 'exit ioapic_irq' -c --summary
	watcher 'exit timer_start' -T
	: >"$tmp/output"
	with "$all_events" 'kvm_watcher, all monitors' watching kvm_watcher --interval=3600 --format=json \
		-e -f -m -d -w -n -o -h -l -i -c -T --summary
	beside "$all_events" 'kvm_watcher, all monitors'
fi

# The alternatives, as far as they are here.
if test -n "$peers"; then
	trigger=/sys/kernel/tracing/events/kvm/kvm_exit/trigger
	if echo 'hist:keys=exit_reason:size=1024' 2>/dev/null >$trigger; then
		figure exit 'ftrace hist (counts only)'
		echo '!hist:keys=exit_reason:size=1024' >$trigger
	fi
	test -x /peers/perf/run || echo "# perf: not in this machine"
	test -z "$bpftrace" || test -x /peers/bpftrace/run || echo "# bpftrace: not in this machine"
fi
if test -n "$peers" && test -x /peers/perf/run; then
	with exit 'perf stat (counts only)' perf /peers/perf/run stat -a -e kvm:kvm_exit -o "$tmp/stat"
	with exit 'perf kvm stat record' perf /peers/perf/run kvm stat record -a -o "$tmp/perf.data"
	with exit 'perf kvm stat live' perf /peers/perf/run kvm stat live -a -d 3600
fi
if test -n "$bpftrace" && test -x /peers/bpftrace/run; then
	version=$(/peers/bpftrace/run --version)
	case $version in
	*v0.1[0-7].*) reason='args->exit_reason' ;;
	*) reason='args.exit_reason' ;;
	esac
	# It says that it attaches before it does, so the interval's word counts.
	with exit "$version (stats and hist)" watching /peers/bpftrace/run -B none -e "
		tracepoint:kvm:kvm_exit { @at[tid] = nsecs; @reason[tid] = $reason; }
		tracepoint:kvm:kvm_entry /@at[tid]/ {
			\$ns = nsecs - @at[tid];
			@stats[pid, tid, @reason[tid]] = stats(\$ns);
			@hist[pid, tid, @reason[tid]] = hist(\$ns);
			delete(@at[tid]);
		}
		interval:s:2 { printf(\"watching\\n\"); }"
fi

# They print when they have attached.
if test -n "$python" && tar -xf /peers/python/root.tar -C /peers/python; then
	rm /peers/python/root.tar
	for directory in proc sys dev; do
		mkdir -p "/peers/python/$directory"
		mount -o rbind "/$directory" "/peers/python/$directory"
	done
	# kvmexit asks /proc/cpuinfo by a shell.
	mkdir -p /peers/python/bin
	for program in sh cat grep head; do cp "$(busybox which busybox)" "/peers/python/bin/$program"; done
	with exit 'kvm_stat' kvm_exit chroot /peers/python python3 -u /usr/bin/kvm_stat -l -s 25
	with exit 'kvm_stat -d' '' chroot /peers/python python3 -u /usr/bin/kvm_stat -d -l -s 25
	# Where the kernel gives the tracepoint other arguments than it expects, its table is empty.
	if with exit "kvmexit of bcc" sleeping chroot /peers/python python3 -u /usr/sbin/kvmexit-bpfcc 20; then
		sed 's/^/# kvmexit says: /' "$tmp/output"
	fi
elif test -n "$python"; then
	echo "# kvm_stat, kvmexit: not in this machine"
fi
