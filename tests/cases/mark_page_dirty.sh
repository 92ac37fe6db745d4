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

# What the generator says of its VMs, by pid: slot:pages that its reads of the log found
log_found()
{
	jq -rs 'map(select(.what == "vm") | "\(.pid):\(.log_slot.slot):\(.log.pages)") | sort |
		join(" ")' "$TMP/guest.json"
}

# slots FIELD: the same of the total rows
slots()
{
	jq -rs --arg field "$1" 'map(select(.scope == "total" and .slot == 2) |
		"\(.pid):\(.slot):\(.[$field])") | sort | join(" ")' "$TMP/watch.json"
}

partial()
{
	grep -q 'partial' "$TMP/watch.err"
}

# Every event: place in the slot, and in the VMM, as the generator's own mapping has it.
check_events()
{
	is "$1: an event per page and round" "$(slots count)" "$(jq -rs 'map(select(.scope == "event" and
		.slot == 2)) | group_by(.pid) | map("\(.[0].pid):2:\(length)") | sort | join(" ")' \
		"$TMP/watch.json")"
	if partial; then
		skip "$1: GFN and address of every event" "the dirty ring's event does not tell them"
		return
	fi
	is "$1: GFN, offset and address of every event" 0 "$(jq -s --slurpfile guest "$TMP/guest.json" '
		($guest | map(select(.what == "vm") | {key: "\(.pid) \(.log_slot.hva)", value: .log_slot}) |
			from_entries) as $slots |
		map(select(.scope == "event" and .slot == 2) |
			$slots["\(.pid) \(.userspace_addr)"] as $slot |
			select($slot == null or .gfn != $slot.gpa / 4096 + .rel_gfn or
				.npages != $slot.pages or .rel_gfn >= $slot.pages)) | length' \
		"$TMP/watch.json")"
}

# The file: every page of the slot, each at least as often as there were rounds. A page is dirtied
# once more when another vCPU reads the log between its fault and the write's second attempt.
check_file()
{
	file=$(sed -n 's/.*dirty pages by count are in //p' "$TMP/watch.err")
	is "$1: the file's pages" "$(jq -s 'map(select(.what == "vm") | .log_slot.pages) | add' \
		"$TMP/guest.json")" "$(jq -s --argjson rounds "$2" 'map(select(.slot == 2 and
		.count >= $rounds)) | length' "$file")"
	is "$1: the file's counts" "$(jq -s 'map(select(.what == "vm") | .log.pages) | add' \
		"$TMP/guest.json")" "$(jq -s 'map(select(.slot == 2) | .count) | add' "$file")"
	holds "$1: by falling count" jq -es 'map(.count) | . == (sort | reverse)' "$file"
	is "$1: the directory is for this user only" drwx------ \
		"$(ls -ld "$TMP/temp" | cut -c 1-10)"
}

# exact LABEL ROUNDS GUEST_OPTIONS... -- WATCH_OPTIONS...
exact()
{
	label=$1 rounds=$2
	shift 2
	if ! watched "$@"; then
		fail "$label: runs" "$(cat "$TMP/watch.err" "$TMP/guest.err")"
		return
	fi
	is "$label: pages that were clean, as the log has them" "$(log_found)" "$(slots dirtied)"
	is "$label: marked no more often than that" "$(log_found)" "$(slots count)"
	is "$label: different pages" "$(jq -rs 'map(select(.what == "vm") |
		"\(.pid):\(.log_slot.slot):\(.log_slot.pages)") | sort | join(" ")' "$TMP/guest.json")" \
		"$(slots unique_pages)"
	check_events "$label"
	check_file "$label" "$rounds"
	no_loss "$label: nothing lost"
}

why=$(missing mark_page_dirty mark_page_dirty)
if test -n "$why"; then
	skip "dirty pages" "$why"
	done_testing
fi
bitmap=
if kvm_watcher --check --format=json 2>/dev/null |
	jq -e '.monitors.mark_page_dirty.needs[] | select(.need == "mark_page_dirty") |
		.hook | test("dirty_ring")' >/dev/null; then
	skip "logs that are no ring" "functions can't be hooked here: only the dirty ring's event is left"
else
	bitmap=1
	exact "one vCPU" 3 dirty=40:3 --
	exact "4 vCPUs in 2 VMs" 5 --separate --vms=2 --vcpus=2 dirty=23:5 --
	exact "KVM_CLEAR_DIRTY_LOG" 4 --log=clear --vcpus=2 dirty=17:4 --
	for kind in fentry kprobe; do
		why=$(kvm_watcher --check --format=json --hooks=$kind,iter 2>/dev/null |
			jq -r '[.monitors.mark_page_dirty.needs[] | select(.state == "missing") |
				.why][0] // empty')
		if test -n "$why"; then
			skip "--hooks=$kind" "$why"
		else
			exact "--hooks=$kind" 3 --separate --vms=2 --vcpus=2 dirty=11:3 -- \
				--hooks=$kind,iter
		fi
	done
fi

if ! kvm_guest --log=ring dirty=1 >"$TMP/ring.out" 2>&1; then
	skip "dirty rings" "$(head -n 1 "$TMP/ring.out")"
else
	exact "dirty rings" 3 --log=ring --separate --vms=2 --vcpus=2 dirty=29:3 --
	is "dirty rings: so they are called" ring "$(jq -rs 'map(select(.scope == "total" and
		.slot == 2) | .log) | unique | join(" ")' "$TMP/watch.json")"
	for kind in raw_tp tp_btf tracepoint; do
		why=$(kvm_watcher --check --format=json --hooks=$kind,iter 2>/dev/null |
			jq -r '[.monitors.mark_page_dirty.needs[] |
				select(.need == "mark_page_dirty" and .state == "missing") | .why][0] // empty')
		if test -n "$why"; then
			skip "--hooks=$kind" "$why"
		else
			exact "--hooks=$kind" 3 --log=ring --vcpus=2 dirty=13:3 -- --hooks=$kind,iter
		fi
	done
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

# --summary: the same counts without events.
options='dirty=19:3' log=bitmap
test -n "$bitmap" || log=ring
if kvm_guest --log=$log dirty=1 >/dev/null 2>&1; then
	if watched --log=$log $options -- --summary; then
		is "--summary: the same count" "$(log_found)" "$(slots count)"
		is "--summary: no events" 0 "$(jq -s 'map(select(.scope == "event")) | length' \
			"$TMP/watch.json")"
	else
		fail "--summary: runs" "$(cat "$TMP/watch.err")"
	fi
	# A link in the directory's place is not followed.
	mkdir "$TMP/elsewhere"
	ln -s "$TMP/elsewhere" "$TMP/link"
	watch -d --summary --temp-dir="$TMP/link"
	guest --log=$log dirty=3
	watch_end
	is "a link in the directory's place is not followed" 0 "$(ls "$TMP/elsewhere" | wc -l)"
	holds "... and that is said" grep -q "the pages are not written" "$TMP/watch.err"
else
	skip "--summary and the file" "the dirty ring is not there and nothing else can be seen here"
fi
done_testing
