# SPDX-License-Identifier: GPL-2.0-only
# What bash, zsh and fish complete, asked in the shells themselves.
. "$(dirname "$0")/lib.sh"

top=$(cd "$(dirname "$0")/../.." && pwd)
shells=$top/tests/shells

mkdir -p "$TMP/shells/completions" "$TMP/files/logs"
cp "$top/build/completions/kvm_watcher.bash" "$TMP/shells/completions/kvm_watcher"
cp "$top/build/completions/_kvm_watcher" "$TMP/shells/"
cd "$TMP/files" || exit 1
: >night.kvmw
: >night.txt
: >old.zst.1

# A VM whose name a shell and CSV have to quote, and one that nobody can type.
cp "$(command -v kvm_guest)" "$TMP/crosvm"
"$TMP/crosvm" --start-on="$TMP/gate" --name='quoted, "1" $x' out >/dev/null &
pid=$!
"$TMP/crosvm" --start-on="$TMP/gate" --name="$(printf 'quoted\033[2J')" out >/dev/null &
other=$!
# shellcheck disable=SC2010
for guest in $pid $other; do
	while ! ls -l "/proc/$guest/fd" 2>/dev/null | grep -q kvm-vcpu && kill -0 "$guest" 2>/dev/null; do
		sleep 0.05
	done
done

# offers SHELL LINE: what Tab has to offer there, one a line, in an order of its own
offers()
{
	case $1 in
	bash) "$shells/complete.bash" "$TMP/shells" "$2" ;;
	fish) fish --no-config -c "source '$top/build/completions/kvm_watcher.fish'; complete -C '$2'" | cut -f 1 ;;
	esac 2>"$TMP/err" | LC_ALL=C sort -u
	sed 's/^/# /' "$TMP/err" >&2
}

# The options that --help=all prints, sorted
all_options()
{
	# shellcheck disable=SC2086
	kvm_watcher $1 --help=all | sed -nE 's/^ +(-., )?--([a-z0-9_-]+).*/--\2/p' | LC_ALL=C sort -u
}

commands=$(kvm_watcher --help=all | sed -n 's/^  \([a-z]*\)  *[A-Z].*/\1/p' | LC_ALL=C sort)
for shell in bash fish; do
	has_tool "$shell" $shell || continue
	if test $shell = bash && ! test -r /usr/share/bash-completion/bash_completion; then
		has_tool "bash-completion" bash-completion
		continue
	fi
	is "$shell: commands" "$commands" \
		"$(offers $shell 'kvm_watcher ' | grep -v '^-')"
	for command in '' $commands; do
		is "$shell: options of ${command:-no command}" "$(all_options "$command")" \
			"$(offers $shell "kvm_watcher $command --" | sed 's/=.*//' | grep '^--' | sort -u)"
	done
	before=$(test $shell = bash || echo --format=)
	is "$shell: formats" "csv folded html json perfetto prometheus table" \
		"$(offers $shell 'kvm_watcher -e --format=' | sed "s/^$before//" | xargs)"
	before=$(test $shell = bash || echo --hooks=)
	is "$shell: a list" "raw_tp,fentry" "$(offers $shell 'kvm_watcher --hooks=raw_tp,fe' | sed "s/^$before//")"
	is "$shell: one of a rule's ids" steal-host-task "$(offers $shell 'kvm_watcher diagnose --ignore=steal-ho' | sed 's/^--ignore=//')"
	is "$shell: recordings and directories" "logs night.kvmw old.zst.1" \
		"$(offers $shell 'kvm_watcher replay ' | sed 's,/$,,' | xargs)"
	is "$shell: a process that is a VM" $pid "$(offers $shell 'kvm_watcher -e -p ' | grep -x $pid)"
	case $shell in
	bash) expected='quoted\,\ \"1\"\ \$x' ;;
	fish) expected='--vm=quoted, "1" $x' ;;
	esac
	is "$shell: a VM's name, and no name that steers a terminal" "$expected" \
		"$(offers $shell 'kvm_watcher --vm=quoted,')"
	is "$shell: nothing steers a terminal" 0 "$(offers $shell 'kvm_watcher --vm=' | LC_ALL=C grep -c '[[:cntrl:]]')"
	offers $shell 'kvm_watcher --interval=' >"$TMP/offers"
	is "$shell: nothing where nothing is known" 0 "$(wc -l <"$TMP/offers")"
done

# The same at a terminal: what a line becomes with Tab.
for shell in bash zsh; do
	has_tool "$shell at a terminal" zsh && has_tool "$shell at a terminal" $shell || continue
	"$shells/complete.zsh" $shell "$TMP/shells" 'kvm_watcher rep' 'kvm_watcher --form' 'kvm_watcher -e --format=per' \
		'kvm_watcher diagnose --undecided=p' 'kvm_watcher replay ni' 'kvm_watcher -e --hooks=raw_tp,fe' \
		'kvm_watcher --vm=quoted,' "kvm_watcher -p $pid" >"$TMP/lines" 2>"$TMP/err" </dev/null
	sed 's/^/# /' "$TMP/err"
	comma=$(test $shell = zsh || printf '\134')
	cat >"$TMP/expected" <<-END
		kvm_watcher replay
		kvm_watcher --format=
		kvm_watcher -e --format=perfetto
		kvm_watcher diagnose --undecided=pass
		kvm_watcher replay night.kvmw
		kvm_watcher -e --hooks=raw_tp,fentry
		kvm_watcher --vm=quoted$comma,\\ \\"1\\"\\ \\\$x
		kvm_watcher -p $pid
	END
	is "$shell at a terminal" "$(cat "$TMP/expected")" "$(sed 's/[ ,]*$//' "$TMP/lines")"
done

: >"$TMP/gate"
wait $pid $other
done_testing
