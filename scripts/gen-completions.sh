#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Completions of a shell, from the tables of options. Called by the Makefile.
#
#	gen-completions.sh kvm_watcher.bash|_kvm_watcher|kvm_watcher.fish <tables.tsv
#
# scripts/print-tables.c says what the lines are. What is the same for all tables is in completion/.
set -eu
directory=$(dirname "$0")/completion

tables=$(mktemp)
trap 'rm -f "$tables"' EXIT
case $1 in
kvm_watcher.bash) shell=bash file=$directory/kvm_watcher.bash ;;
_kvm_watcher) shell=zsh file=$directory/_kvm_watcher ;;
kvm_watcher.fish) shell=fish file=$directory/kvm_watcher.fish ;;
*) echo "gen-completions.sh: there is no $1" >&2; exit 2 ;;
esac
# Comments of the program are not needed where it is pasted.
column=$(sed '/^#/d' "$directory/column.awk")
awk -f "$directory/tables.awk" -f "$directory/$shell.awk" >"$tables"
while IFS= read -r line; do
	case $line in
	@TABLES@) cat "$tables" ;;
	@COLUMN@) printf '%s\n' "$column" ;;
	*) printf '%s\n' "$line" ;;
	esac
done <"$file"
