# SPDX-License-Identifier: GPL-2.0-only
# The manual pages: what their checker says, and that they and --help=all have the same options.
. "$(dirname "$0")/lib.sh"

top=$(cd "$(dirname "$0")/../.." && pwd)
commands=$(kvm_watcher --help=all | sed -n 's/^  \([a-z]*\)  *[A-Z].*/\1/p')

has_tool "manual pages" mandoc || {
	done_testing
}
is "a page for each command" "$(for command in $commands; do echo "kvm_watcher-$command.8"; done | LC_ALL=C sort)
kvm_watcher.8" \
	"$(cd "$top/build/man" && LC_ALL=C ls -- *.8)"
for page in "$top"/build/man/*.8; do
	name=$(basename "$page" .8)
	# Which other pages are installed here says nothing about this one.
	mandoc -T lint "$page" 2>&1 | grep -vE 'referenced manual not found|outdated mandoc.db' >"$TMP/lint"
	is "$name: mandoc has nothing to say" 0 "$(wc -l <"$TMP/lint")"
	sed 's/^/# /' "$TMP/lint"
	test "$name" != kvm_watcher || continue
	command=${name#kvm_watcher-}
	mandoc -T ascii -O width=78 "$page" | sed "s/.$(printf '\b')//g" >"$TMP/page"
	is "$name: the options of $command" \
		"$(kvm_watcher "$command" --help=all | sed -nE 's/^ +(-., )?--([a-z0-9_-]+).*/--\2/p' | LC_ALL=C sort)" \
		"$(sed -nE 's/^     (-., )?--([a-z0-9_-]+).*/--\2/p' "$TMP/page" | LC_ALL=C sort)"
	is "$name: kvm_watcher(8) names it" 1 "$(grep -c "^\.Xr $name 8" "$top/build/man/kvm_watcher.8")"
done
done_testing
