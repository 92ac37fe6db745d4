# SPDX-License-Identifier: GPL-2.0-only
# --check --btf: what is foreseen of this host's kernel, by its files alone, is what --check finds by attaching.
# Of two kinds of hook on one event the running kernel says which is cheaper: that is not foreseen.
. "$(dirname "$0")/lib.sh"

# What --check finds of all monitors, kept for the cases that ask for one.
kvm_watcher --check --format=json 2>/dev/null >"$TMP/all.json"
for monitor in $(jq -r '.monitors | keys[]' "$TMP/all.json"); do
	jq -c ".monitors.$monitor.needs" "$TMP/all.json" >"$kept/check-$monitor-all.json"
done

# The kinds that this kernel attaches at all; hosts that guard their code refuse some that BTF tells of.
kinds=$(jq -r '[.hooks | to_entries[] | select(.value.works) | .key] | join(",")' "$TMP/all.json")
all=raw_tp,tp_btf,fentry,kprobe,tracepoint,iter
test "$kinds" != $all || kinds=
test -z "$kinds" || kvm_watcher --check --hooks="$kinds" --format=json 2>/dev/null >"$TMP/all.json"

# Its files: the kernel's types, and its modules where they are at hand, which have symbols, too.
mkdir "$TMP/kernel"
cp /sys/kernel/btf/vmlinux "$TMP/kernel"
for module in kvm kvm_intel kvm_amd; do
	if test -d "/sys/module/$module/holders" && test -e "/modules/$module.ko"; then
		cp "/modules/$module.ko" "$TMP/kernel"
	fi
done
kvm_watcher --check --btf="$TMP/kernel" ${kinds:+--hooks=$kinds} --format=json >"$TMP/foreseen.json" 2>"$TMP/err"
is "foreseen: something can be measured" 0 $?
is "foreseen: one answer, of one vendor" 1 "$(grep -c . "$TMP/foreseen.json")"

# answer: one line per need, with the kind of an event left out
answer='.[] | "\(.need) \(.state) \(.hook | sub("^(raw_tp|tracepoint)/"; "event/"))"'
for monitor in $(jq -r '.monitors | keys[]' "$TMP/foreseen.json"); do
	jq -r ".monitors.$monitor.needs | $answer" "$TMP/foreseen.json" >"$TMP/foreseen"
	jq -r ".monitors.$monitor.needs | $answer" "$TMP/all.json" >"$TMP/real"
	if test -s "$TMP/real" || test "$monitor" != host; then
		is "$monitor: attached is what was foreseen" "$(cat "$TMP/real")" "$(cat "$TMP/foreseen")"
	fi
done

if planned sentences; then
	# refuses NAME STATUS PATTERN OPTION...: one sentence that the pattern matches
	refuses()
	{
		refuses_name=$1 refuses_status=$2 refuses_pattern=$3
		shift 3
		kvm_watcher "$@" >"$TMP/out" 2>"$TMP/err"
		is "$refuses_name: exit status" "$refuses_status" $?
		is "$refuses_name: one sentence" "1 1" "$(grep -c . "$TMP/err") $(grep -c "$refuses_pattern" "$TMP/err")"
	}
	echo "no types" >"$TMP/text"
	head -c 100000 /sys/kernel/btf/vmlinux >"$TMP/cut"
	mkdir "$TMP/empty"
	refuses "no file" 1 "can't be read: No such file" --check --btf="$TMP/nothing"
	refuses "no BTF" 1 "has no BTF; give that kernel's" --check --btf="$TMP/text"
	refuses "a cut file" 1 "has no BTF; give that kernel's" --check --btf="$TMP/cut"
	refuses "a program" 1 "has no BTF; give that kernel's" --check --btf="$(command -v kvm_guest)"
	refuses "a module that is none" 1 "no BTF that fits the first file" --check --btf="/sys/kernel/btf/vmlinux,$TMP/text"
	refuses "an empty directory" 1 "has no file vmlinux" --check --btf="$TMP/empty"
	refuses "no device" 1 "is not a file" --check --btf=/dev/zero
	refuses "--btf without --check" 2 "btf works only with --check" -e --btf=/sys/kernel/btf
	refuses "an empty name" 2 "the name is empty" --check --btf=
	is "as a table: a line for each kind" 6 "$(kvm_watcher check --btf="$TMP/kernel" |
		grep -cE '^(raw_tp|tp_btf|fentry|kprobe|tracepoint|iter) +(yes|no)')"
	if has_tool "no root" setpriv; then
		chmod 755 "$TMP" "$TMP/kernel"
		setpriv --reuid=65534 --regid=65534 --clear-groups "$(command -v kvm_watcher)" --check --btf="$TMP/kernel" \
			${kinds:+--hooks=$kinds} --format=json >"$TMP/no_root.json" 2>"$TMP/err"
		is "no root: exit status" 0 $?
		is "no root: the same" "$(cat "$TMP/foreseen.json")" "$(cat "$TMP/no_root.json")"
	fi
	part_ends
fi
done_testing
