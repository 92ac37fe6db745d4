#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The manual pages: kvm_watcher(8), which is written by hand, and one for each command with a word, from the tables of
# options and docs/man. Called by the Makefile.
#
#	gen-man.sh DIRECTORY <tables.tsv
#
# scripts/print-tables.c says what the lines are. docs/man/COMMAND.mdoc is the prose of a page, with a line @OPTIONS@
# where they belong; a command without one has its help there.
set -eu
directory=$1
prose=$(dirname "$0")/../docs/man
# All pages have the date of the manual that is written by hand.
date=$(sed -n 's/^\.Dd //p' "$prose/../kvm_watcher.8")

tables=$(mktemp)
trap 'rm -f "$tables" "$tables".*' EXIT
cat >"$tables"
mkdir -p "$directory"
rm -f "$directory"/*.8
commands=$(cut -f 1,2 "$tables" | sed -n 's/^command	\(..*\)/\1/p' | LC_ALL=C sort)
# Its last section is SEE ALSO.
{
	sed '$s/$/ ,/' "$prose/../kvm_watcher.8"
	echo "$commands" | sed 's/.*/.Xr kvm_watcher-& 8 ,/; $s/ ,$//'
} >"$directory/kvm_watcher.8"
for command in $commands; do
	file=$prose/$command.mdoc
	awk -v wanted="$command" -f "$(dirname "$0")/man.awk" "$tables" >"$tables.page"
	if test -e "$file"; then
		cp "$file" "$tables.prose"
	else
		sed -n '/^@DESCRIPTION@$/,/^@SYNOPSIS@$/p' "$tables.page" | sed '1d;$d' >"$tables.prose"
		echo @OPTIONS@ >>"$tables.prose"
	fi
	{
		printf '.\\" SPDX-License-Identifier: GPL-2.0-only\n.\\" Made by scripts/gen-man.sh.\n.Dd %s\n' "$date"
		sed -n '1,/^@DESCRIPTION@$/p' "$tables.page" | sed '$d'
		sed '/^@OPTIONS@$/,$d' "$tables.prose"
		sed '1,/^@SYNOPSIS@$/d' "$tables.page"
		sed '1,/^@OPTIONS@$/d' "$tables.prose"
		printf '.Sh SEE ALSO\n.Xr kvm_watcher 8 ,\n'
		echo "$commands" | grep -vxF "$command" | sed 's/.*/.Xr kvm_watcher-& 8 ,/; $s/ ,$//'
	} >"$directory/kvm_watcher-$command.8"
done
