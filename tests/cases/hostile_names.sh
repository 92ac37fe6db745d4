# SPDX-License-Identifier: GPL-2.0-only
# VMs, programs, directories and command lines with names that want to steer a terminal, forge a message or be
# computed by a spreadsheet, through every format, file and message. tests/unit/test_text.c has more of them.
. "$(dirname "$0")/lib.sh"

names='\033]0;owned\007\033[2J\033[31mred
x\nkvm_watcher: forged
x\r\t\b\177\302\233 31m
\342\200\256txt.exe\342\200\254\330\234\342\200\217
w\342\200\213e\302\255b\357\273\277\341\240\216\357\277\271\363\240\200\201\363\240\204\200
\377\300\257\355\240\200 no UTF-8
=cmd|calc!A1
"quoted"; <b>\\
\350\231\232\346\213\237\346\234\272 \360\237\222\276
Z\314\220\314\221\314\222\314\223a'
escapes='[\x00-\x08\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f\xad]|\xd8\x9c|\xe1\xa0\x8e|\xe2\x80[\x8b-\x8f\xa8-\xae]|\xe2\x81[\xa0-\xaf]|\xef\xbb\xbf|\xef\xbf[\xb9-\xbb]|\xf0\x9d\x85[\xb3-\xba]|\xf3\xa0'

# harmless NAME FILE: nothing in it steers a terminal, all is UTF-8, and no line is forged; in CSV, lines end in CR LF
harmless()
{
	sed 's/\r$//' "$2" >"$TMP/lines"
	{
		LC_ALL=C grep -anP "$escapes" "$TMP/lines"
		LC_ALL=C.UTF-8 grep -anvx '.*' "$TMP/lines"
		grep -an '^kvm_watcher: forged' "$TMP/lines"
	} | cat -v >"$TMP/harm"
	if test ! -s "$2"; then
		fail "$1" "$2 is empty"
	elif test -s "$TMP/harm"; then
		fail "$1" "$(head -n 5 "$TMP/harm")"
	else
		pass "$1"
	fi
}

log=ring
kvm_guest --log=$log dirty=1 >/dev/null 2>&1 || log=bitmap
# A crosvm is told a VM's name with --name, and the last VM's name is its program's.
program=$(printf 'p\033[7m\nq\342\200\256')
cp "$(command -v kvm_guest)" "$TMP/crosvm"
cp "$TMP/crosvm" "$TMP/$program"
pids='' nr=0
while IFS= read -r name; do
	nr=$((nr + 1))
	# shellcheck disable=SC2059
	printf "$name" >"$TMP/name.$nr"
	"$TMP/crosvm" --log=$log --start-on="$TMP/gate" --name="$(cat "$TMP/name.$nr")" out=2 dirty=2 >/dev/null &
	pids="$pids $!"
	eval "pid_$nr=$!"
done <<EOT
$names
EOT
"$TMP/$program" --start-on="$TMP/gate" out=2 >/dev/null &
pids="$pids $!"
for pid in $pids; do
	# shellcheck disable=SC2010
	while ! ls -l "/proc/$pid/fd" 2>/dev/null | grep -q kvm-vcpu && kill -0 "$pid" 2>/dev/null; do
		sleep 0.05
	done
done

watchers=
for format in table json csv; do
	directory=$(printf '%s/%s\033[1m\nkvm_watcher: forged' "$TMP" "$format")
	tables='' list=''
	test $format != csv || tables=--table=KVM_EXIT,KVM_USERSPACE_EXIT list=--table=VMS
	# shellcheck disable=SC2086
	kvm_watcher -e -d --interval=3600 --format=$format $tables --temp-dir="$directory" >"$TMP/$format.out" 2>"$TMP/$format.err" &
	watchers="$watchers $!"
	# shellcheck disable=SC2086
	kvm_watcher --list --format=$format $list >"$TMP/$format.list" 2>"$TMP/$format.list.err"
done
kvm_watcher -e -d --interval=3600 --record="$TMP/run.zst" --format=json --temp-dir="$TMP/record" >"$TMP/record.out" 2>"$TMP/record.err" &
watchers="$watchers $!"
kvm_watcher serve -e --vm_state --listen=unix:"$TMP/socket" >"$TMP/serve.out" 2>"$TMP/serve.err" &
server=$!
for format in table json csv record; do
	tries=100
	while ! grep -q watching "$TMP/$format.err" && test $tries -gt 0; do
		sleep 0.1
		tries=$((tries - 1))
	done
done
# The VMs are there and have done nothing.
if has_tool "serve" curl; then
	curl -sS -m 20 --retry 20 --retry-connrefused --retry-delay 1 --unix-socket "$TMP/socket" http://localhost/metrics \
		>"$TMP/scrape" 2>"$TMP/curl.err"
	is "serve: the VMs are there" true "$(grep -aq 'calc!A1' "$TMP/scrape" && echo true)"
	harmless "serve: series" "$TMP/scrape"
	is "serve: a label's quotes are escaped" 0 "$(grep -ac '[^\\]"quoted"; <b>' "$TMP/scrape")"
fi
kill -INT "$server"
wait "$server" || fail "serve ends" "exit status $?"
: >"$TMP/gate"
for pid in $pids; do
	wait "$pid" || fail "the generator ends" "exit status $?"
done
# shellcheck disable=SC2086
kill -INT $watchers
for pid in $watchers; do
	wait "$pid" || fail "kvm_watcher ends" "exit status $?"
done

for format in table json csv; do
	harmless "rows, $format" "$TMP/$format.out"
	harmless "messages, $format" "$TMP/$format.err"
	harmless "list, $format" "$TMP/$format.list"
	is "$format: the directory's name is on the line of its message" 1 \
		"$(grep -ac 'writing to .*?\[1m?kvm_watcher: forged/mark' "$TMP/$format.err")"
	set -- "$(printf '%s/%s\033[1m\nkvm_watcher: forged' "$TMP" "$format")"/*
	harmless "the file, $format" "$1"
done
# A list of VMs that lacked it makes it news again.
is "a VM without dirty logging is named, in one line" 1 \
	"$(sort -u "$TMP/table.err" | grep -ac 'logging is off in VM p?\[7m?q? (pid [0-9]*): ')"

# What is made of a recording: by other formats, and by the commands that read one.
# said NAME COMMAND...: what it writes and says is harmless
said()
{
	said_name=$1
	shift
	kvm_watcher "$@" >"$TMP/said" 2>&1
	harmless "$said_name" "$TMP/said"
}
for format in table json folded; do
	said "replay, $format" replay "$TMP/run.zst" --format=$format
done
# The page's own code has tabs, which do nothing in it.
kvm_watcher replay "$TMP/run.zst" --format=html 2>"$TMP/said" | tr -d '\t' >"$TMP/page"
harmless "replay, html" "$TMP/page"
is "replay, html: no name is markup" 0 "$(grep -ac '; <b>' "$TMP/page")"
said "replay, one of them" replay "$TMP/run.zst" --vm='p*'
said "diff" diff "$TMP/run.zst" "$TMP/run.zst" --all
said "diagnose" diagnose "$TMP/run.zst" --all
said "diagnose, JSON" diagnose "$TMP/run.zst" --all --format=json
said "diagnose, an assertion" diagnose "$TMP/run.zst" --assert='count > 1000000'
said "top" top --once "$TMP/run.zst"
hostile=$(printf '%s/no\033[7m\nkvm_watcher: forged\342\200\256' "$TMP")
for command in replay "diff $TMP/run.zst" diagnose "top --once"; do
	# shellcheck disable=SC2086
	said "$command: a file that is not there" $command "$hostile"
	is "$command: in one line" 1 "$(wc -l <"$TMP/said")"
done
cp "$TMP/run.zst" "$hostile"
said "replay: a file's name" replay --by=file "$hostile" "$TMP/run.zst"
said "diff: a file's name" diff "$hostile" "$TMP/run.zst"

# The exact name, for a parser; what is no UTF-8 JSON cannot have.
nr=0
while IFS= read -r name; do
	nr=$((nr + 1))
	eval "pid=\$pid_$nr"
	case $name in
	*377*) continue ;;
	esac
	for file in list out; do
		# shellcheck disable=SC2154
		is "JSON, $file: name $nr is exact" true "$(jq -rs --argjson pid "$pid" --rawfile name "$TMP/name.$nr" \
			'[.[] | select(.pid == $pid) | .vm == $name] | length > 0 and all' "$TMP/json.$file")"
	done
done <<EOT
$names
EOT
is "CSV: what a spreadsheet would compute is text" 0 "$(grep -ac ',=cmd' "$TMP/csv.out")"
is "CSV: and it is there" true "$(grep -aq ",'=cmd|calc!A1," "$TMP/csv.out" && echo true)"

# Words of the command line; a process that is no VM.
cp "$(command -v sleep)" "$TMP/$program"
"$TMP/$program" 20 &
pid=$!
while ! grep -aq q "/proc/$pid/comm"; do
	sleep 0.05
done
kvm_watcher -e -p $pid 2>"$TMP/refused.err"
kill $pid
wait $pid
is "a process that is no VM is named, in one line" 1 "$(grep -ac ': p?\[7m?q? is not a VM' "$TMP/refused.err")"
word=$(printf 'x\033[7m\nkvm_watcher: forged\342\200\256')
for option in "--$word" "$word" --format="$word" --vcpu="$word" --interval="$word" --hooks="$word" -t"$word"; do
	kvm_watcher -e "$option" 2>>"$TMP/refused.err"
done
is "what is refused, a line each" 8 "$(wc -l <"$TMP/refused.err")"
harmless "what is refused" "$TMP/refused.err"
done_testing
