# SPDX-License-Identifier: GPL-2.0-only
# -d is exact: the generator writes N pages of a slot with dirty logging on in M
# rounds and reads the log after each; -d counts N * M, page by page, whether
# the log is a bitmap, a bitmap cleared by hand or a ring.
. "$(dirname "$0")/lib.sh"

# watched GUEST_OPTIONS... -- WATCH_OPTIONS...: one run; false when it could not be made
watched()
{
	guest_options=
	while test "$1" != --; do
		guest_options="$guest_options $1"
		shift
	done
	shift
	rm -rf "$TMP/temp"
	watch -d --temp-dir="$TMP/temp" "$@" || return
	# shellcheck disable=SC2086
	guest $guest_options
	watch_end
}

# The checks, evaluated at once because jq is slow in the machines. "by_pid" gives "pid:N" lists. A
# page is dirtied once more when another vCPU reads the log between its fault and the second attempt
# at the write: the pages that the log showed are the truth, not pages times rounds.
defs='
def by_pid(n): map(select(n > 0) | "\(.pid):\(n)") | sort | join(" ");
def is(name; expected; got): [name, expected, got] | map(tostring) | join("|");
def vms: $guest | map(select(.what == "vm"));
def rows: $watch | map(select(.scope == "total" and .slot == 2));
def seen: $watch | map(select(.scope == "event" and .slot == 2));
(vms | map({key: "\(.pid) \(.log_slot.hva)", value: .log_slot}) | from_entries) as $slots |
is("pages that were clean, as the log has them"; vms | by_pid(.log.pages); rows | by_pid(.dirtied)),
is("marked no more often than that"; vms | by_pid(.log.pages); rows | by_pid(.count)),
is("different pages"; vms | by_pid(.log_slot.pages); rows | by_pid(.unique_pages)),
is("the kind of log"; $log; rows | map(.log) | unique | join(" ")),
if $events == 0 then is("no events"; 0; seen | length) else
	is("an event each"; vms | by_pid(.log.pages);
		seen | group_by(.pid) | map({pid: .[0].pid, n: length}) | by_pid(.n)) end,
if $partial + $events != 1 then empty else
	is("GFN, offset, size and address of every event"; 0; seen | map(
		$slots["\(.pid) \(.userspace_addr)"] as $slot | select($slot == null or
			.gfn != $slot.gpa / 4096 + .rel_gfn or .npages != $slot.pages or
			.rel_gfn >= $slot.pages)) | length) end,
if $partial * $events != 1 then empty else
	is("GFN, size and address that are not known are absent"; [[null, null, null]]; seen |
		map([.gfn, .npages, .userspace_addr]) | unique) end,
is("the pages in the file"; vms | map(.log_slot.pages) | add;
	$file | map(select(.slot == 2 and .count >= $rounds)) | length),
is("the counts in the file"; vms | map(.log.pages) | add;
	$file | map(select(.slot == 2) | .count) | add),
is("the order in the file"; true; $file | map(.count) | . == (sort | reverse)),
is("nothing lost"; 0; $watch[-1].lost | map(.) | add)'

partial()
{
	grep -q 'partial' "$TMP/watch.err"
}

# exact LABEL ROUNDS LOG GUEST_OPTIONS... -- WATCH_OPTIONS...
exact()
{
	label=$1 rounds=$2 log=$3 events=1 partial=0
	shift 3
	case "$*" in
	*--summary*) events=0 ;;
	esac
	if ! watched "$@"; then
		fail "$label: runs" "$(cat "$TMP/watch.err" "$TMP/guest.err")"
		return
	fi
	! preempted "$label" "$@" || return
	! partial || partial=1
	jq -rn --slurpfile watch "$TMP/watch.json" --slurpfile guest "$TMP/guest.json" \
		--slurpfile file "$(sed -n 's/.*mark_page_dirty: writing to //p' "$TMP/watch.err")" \
		--argjson rounds "$rounds" --arg log "$log" --argjson events $events \
		--argjson partial $partial "$defs" >"$TMP/checks" ||
		fail "$label: the checks can't be evaluated"
	while IFS='|' read -r name expected got; do
		if test "$name" = "nothing lost" && test -n "$others" && test "$got" != 0; then
			skip "$label: $name" "other VMs ran here, and may have lost them"
		else
			is "$label: $name" "$expected" "$got"
		fi
	done <"$TMP/checks"
}

why=$(missing mark_page_dirty mark_page_dirty)
if test -n "$why"; then
	skip "dirty pages" "$why"
	done_testing
fi
bitmap=
if needs mark_page_dirty | jq -e '.[] | select(.need == "mark_page_dirty") | .hook | test("dirty_ring")' >/dev/null; then
	skip "logs that are no ring" "functions can't be hooked here: only the dirty ring's event is left"
else
	bitmap=1
	exact "one vCPU" 3 bitmap dirty=40:3 --
	exact "4 vCPUs in 2 VMs" 5 bitmap --separate --vms=2 --vcpus=2 dirty=23:5 --
	exact "KVM_CLEAR_DIRTY_LOG" 4 bitmap --log=clear --vcpus=2 dirty=17:4 --
	if planned summary; then
		exact "--summary" 3 bitmap dirty=19:3 -- --summary
		part_ends
	fi
	if planned kinds; then
		if why=$(lacks mark_page_dirty fentry,iter); then
			skip "--hooks=fentry" "$why"
		else
			exact "--hooks=fentry" 3 bitmap --separate --vms=2 --vcpus=2 dirty=11:3 -- \
				--hooks=fentry,iter
		fi
		part_ends
	fi
fi

if ! kvm_guest --log=ring dirty=1 >"$TMP/ring.out" 2>&1; then
	skip "dirty rings" "$(head -n 1 "$TMP/ring.out")"
else
	exact "dirty rings" 3 ring --log=ring --separate --vms=2 --vcpus=2 dirty=29:3 --
	if planned kinds; then
		for kind in raw_tp tp_btf tracepoint; do
			if why=$(lacks mark_page_dirty $kind,iter '^mark_page_dirty$'); then
				skip "--hooks=$kind" "$why"
			else
				exact "--hooks=$kind" 3 ring --log=ring --vcpus=2 dirty=13:3 -- --hooks=$kind,iter
			fi
		done
		part_ends
	fi
fi

# A VM without dirty logging is named at once, and nothing is switched on.
kvm_guest --pause-ms=60000 out=1 >/dev/null 2>&1 &
idle=$!
sleep 1
why=$(missing mark_page_dirty memory_slots)
if test -n "$why"; then
	skip "a VM without dirty logging is named" "$why"
elif watch -d -p $idle; then
	holds "a VM without dirty logging is named" grep -q "dirty logging is off in VM kvm_guest" \
		"$TMP/watch.err"
	watch_end
else
	fail "a VM without dirty logging is named"
fi
kill $idle
wait $idle 2>/dev/null

# The slot that logs is the last of a long list.
guest_at_gate 1 --slots=300 dirty=3:2
if test -n "$why"; then
	skip "a VM with many slots of which one logs is not named" "$why"
elif ! kill -0 "$gated" 2>/dev/null; then
	skip "a VM with many slots of which one logs is not named" "the generator can't read a dirty log here"
elif watch -d -p "$gated"; then
	is "a VM with many slots of which one logs is not named" 0 \
		"$(grep -c "dirty logging is off" "$TMP/watch.err")"
	watch_end
else
	fail "a VM with many slots of which one logs is not named"
fi
open_gate
wait "$gated"

planned file || done_testing
# The directory is made for this user only; a link in its place is not followed.
log=ring
test -z "$bitmap" || log=bitmap
if kvm_guest --log=$log dirty=1 >/dev/null 2>&1; then
	mkdir "$TMP/elsewhere"
	ln -s "$TMP/elsewhere" "$TMP/link"
	is "the directory is for this user only" drwx------ "$(ls -ld "$TMP/temp" | cut -c 1-10)"
	timeout 20 kvm_watcher -d --summary -t 1 --temp-dir="$TMP/link" >"$TMP/out" 2>"$TMP/err"
	is "a link in the directory's place is refused at the start" "2 1" \
		"$? $(grep -c 'temp-dir: .* is a symbolic link' "$TMP/err")"
	is "... and not followed" 0 "$(ls "$TMP/elsewhere" | wc -l)"
	# Only who asks for dirty pages gets a file of them.
	(
		mkdir "$TMP/here" && cd "$TMP/here" &&
			exec kvm_watcher diagnose --all --after=0 -t 3 >"$TMP/out" 2>"$TMP/err"
	) &
	diagnosing=$!
	while ! grep -qs watching "$TMP/err" && kill -0 $diagnosing 2>/dev/null; do sleep 0.05; done
	kvm_guest --log=$log dirty=9 >/dev/null
	wait $diagnosing
	is "diagnose writes no file of pages" 0 "$(find "$TMP/here" -type f | wc -l)"
else
	skip "the file" "the dirty ring is not there and nothing else can be seen here"
fi
done_testing
