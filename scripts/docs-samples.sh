#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Makes the samples in the documents again. A sample is a code block behind a comment that says how it is made:
#
#	<!-- sample 6.1-svm: seen '-e --interval=100' cpuid=1000 -->
#
# That is a machine of tests/machine/machines.tsv, or "native" for this host, and a line of shell. What is of
# the machine "hand" was made by hand, and stays. These are known in it:
#
#	seen 'OPTIONS' GUEST-OPTIONS   what kvm_watcher prints while the generator does that
#	VMM=crosvm seen ...            the generator is called like that, so that --name is the VM's name
#	said 'OPTIONS' GUEST-OPTIONS   the same, and what it says on standard error in front of it
#	beside GUEST-OPTIONS           before one of these: another guest, which starts when kvm_watcher watches
#	part N                         the first N lines of each table of events, and "..." for the rest
#	bare COLUMN                    the rows of intervals alone, from that column on
#	only TITLE                     that table
#	ends                           the first interval and the total, "..." for the others
#	broken                         JSON in lines of 110 columns
#
# A machine boots once for all of its samples. The Chinese pages get them by scripts/zh.sh.
#
#	scripts/docs-samples.sh [--list] [--only=MACHINE] [PAGE...]     without a page: all
set -u

top=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
cd "$top" || exit 1
machine=tests/machine/machine
work=$(mktemp -d) || exit 1
trap '[ -n "${KEEP:-}" ] && cp -r "$work" "$KEEP"; rm -rf "$work"' EXIT
list=
only=
case ${1:-} in
--list) list=1; shift ;;
--only=*) only=${1#--only=}; shift ;;
esac
[ $# -gt 0 ] || set -- README.md docs/*.md docs/kvm/*.md

# Each sample: number, machine, page, command. Their numbers are those of this run.
awk '/^<!-- sample [^ :]*: .* -->$/ {
	line = $0
	sub(/^<!-- sample /, "", line)
	sub(/ -->$/, "", line)
	at = index(line, ": ")
	printf "%d\t%s\t%s\t%s\n", ++nr, substr(line, 1, at - 1), FILENAME, substr(line, at + 2)
}' "$@" >"$work/samples"
if [ -n "$list" ]; then
	cut -f 2- "$work/samples"
	exit
fi
[ -s "$work/samples" ] || { echo "docs-samples: no sample in $*" >&2; exit 1; }

# What the commands of the samples may use; busybox ash in the machines.
cat >"$work/lib.sh" <<'END'
T=$(mktemp -d)
watch() {
	eval "kvm_watcher $1 >\"$T/out\" 2>\"$T/err\" &"
	watcher=$!
	tries=0
	until grep -q ': watching' "$T/err"; do
		kill -0 $watcher 2>/dev/null || { cat "$T/err" >&2; return 1; }
		tries=$((tries + 1))
		[ $tries -lt 300 ] || return 1
		sleep 0.1
	done
	shift
	[ -z "${VMM:-}" ] || { rm -f "$T/$VMM"; cp "$(command -v kvm_guest)" "$T/$VMM"; }
	PATH=$T:$PATH
	[ $# -eq 0 ] || "${VMM:-kvm_guest}" "$@" >"$T/guest" 2>&1 || { cat "$T/guest" >&2; return 1; }
	kill -TERM $watcher 2>/dev/null
	wait $watcher
}
beside() {
	rm -rf "$T/err" "$T/go" "$T/beside"
	mkdir "$T/beside"
	cp "$(command -v kvm_guest)" "$T/beside/crosvm"
	"$T/beside/crosvm" --start-on="$T/go" "$@" >/dev/null 2>&1 &
	(until grep -qs ': watching' "$T/err"; do sleep 0.1; done; : >"$T/go") &
}
seen() { watch "$@" && cat "$T/out"; }
said() { watch "$@" && cat "$T/err" "$T/out"; }
part() {
	awk -v most="$1" '/\(events/ { events = 1; rows = 0 } /^$/ { events = 0 }
		events && ++rows > most + 2 { if (rows == most + 3) print "..."; next } { print }'
}
bare() {
	awk -v first="$1" '/whole run/ { exit } / REASON$/ { at = index($0, first); if (!seen++) print substr($0, at); next }
		at && /^[a-z]/ && !/^no room/ { print substr($0, at) }'
}
only() { awk -v title="$1" 'index($0, title) == 1 { on = 1 } on && /^$/ { exit } on'; }
squeeze() { awk '$0 != "" || last != "" { print } { last = $0 }'; }
ends() {
	awk '/^── / { nr++ } nr == 2 && !/whole run/ && !cut { print "..."; print ""; cut = 1 }
		/^── .*whole run/ { cut = 0; nr = 3 } !cut { print }'
}
broken() {
	awk '{ while (length($0) > 110) { at = 110; while (at > 1 && substr($0, at, 1) != ",") at--
		print substr($0, 1, at); $0 = " " substr($0, at + 1) } print }'
}
END

run_on() {
	local name=$1 script=$work/script number command limit
	cp "$work/lib.sh" "$script"
	while IFS=$'\t' read -r number _ _ command; do
		printf 'echo "@@sample %s"\n%s\necho "@@end $?"\n' "$number" "$command" >>"$script"
	done < <(awk -F '\t' -v name="$name" '$2 == name' "$work/samples")
	# Some 4 s each on a host that does nothing else.
	limit=$((120 + 20 * $(awk -F '\t' -v name="$name" '$2 == name { n++ } END { print n }' "$work/samples")))
	if [ "$name" = native ]; then
		(PATH=$top:$top/build/tests:$PATH timeout "$limit" bash "$script")
	else
		timeout "$((limit + 60))" "$machine" run "$name" --timeout="$limit" </dev/null --file="$top/kvm_watcher:/usr/local/bin/kvm_watcher:755" \
			--file="$top/build/tests/kvm_guest:/usr/local/bin/kvm_guest:755" --file="$script:/samples.sh" -- 'sh /samples.sh'
	fi >"$work/printed.$name" || echo "docs-samples: $name ended with $?" >&2
	awk -v dir="$work" '/^@@sample / { file = dir "/sample." $2; printf "" >file; next }
		/^@@end / { print $2 >(file ".status"); file = ""; next }
		file { print >file }' "$work/printed.$name"
}

while read -r name; do
	[ -z "$only" ] || [ "$name" = "$only" ] || continue
	echo "docs-samples: $(grep -c "	$name	" "$work/samples") of $name" >&2
	run_on "$name"
done < <(cut -f 2 "$work/samples" | grep -vx hand | sort -u)

# The blocks behind the comments, each as it was: fenced or indented.
failed=0
number=0
for page; do
	awk -v dir="$work" -v number="$number" -v list="$(cd "$work" && echo sample.*[0-9])" '
	BEGIN { nr = split(list, files, " "); for (i = 1; i <= nr; i++) { sub(/^sample\./, "", files[i]); made[files[i] + 0] = 1 } }
	function show(indent,   line, file) {
		file = dir "/sample." number
		while ((getline line <file) > 0)
			print line == "" ? "" : indent line
		close(file)
	}
	/^<!-- sample [^ :]*: .* -->$/ { number++; print; wait = made[number]; next }
	wait && /^```/ { print; show(""); wait = 0; skip = "fence"; next }
	wait && /^    / { show("    "); wait = 0; skip = "indent"; held = ""; next }
	skip == "fence" { if (/^```/) { print; skip = "" } next }
	skip == "indent" {
		if ($0 == "") { held = held "\n"; next }
		if (/^    /) { held = ""; next }
		printf "%s", held
		skip = ""
	}
	{ print }
	END { if (skip == "indent") printf "%s", held }' "$page" >"$work/page"
	while IFS=$'\t' read -r number name _ command; do
		case $name in hand) continue ;; esac
		case ${only:-$name} in "$name") ;; *) continue ;; esac
		if [ "$(cat "$work/sample.$number.status" 2>/dev/null)" != 0 ] || ! [ -s "$work/sample.$number" ]; then
			echo "docs-samples: $page: not made ($name): $command" >&2
			failed=1
			: >"$work/bad"
		fi
	done < <(awk -F '\t' -v page="$page" '$3 == page' "$work/samples")
	number=$(awk -F '\t' -v page="$page" '$3 == page { last = $1 } END { print last + 0 }' "$work/samples" | grep -v '^0$' || echo "$number")
	[ -e "$work/bad" ] || cmp -s "$work/page" "$page" || cp "$work/page" "$page"
	rm -f "$work/bad"
done
scripts/zh.sh || failed=1
exit "$failed"
