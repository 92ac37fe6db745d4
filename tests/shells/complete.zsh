#!/bin/zsh
# SPDX-License-Identifier: GPL-2.0-only
# What zsh, or bash, completes at a terminal: tests/cases/completions.sh.
#
#	complete.zsh zsh|bash DIRECTORY LINE...
#
# Types each LINE and Tab into a shell at a pseudo-terminal, and prints the line that is there then. DIRECTORY has
# _kvm_watcher for zsh and completions/kvm_watcher for bash.
zmodload zsh/zpty || exit 1
shell=$1 directory=$2
shift 2
typeset -F SECONDS=0

# until_seen PATTERN: reads till the shell has printed it; what it printed is in $seen.
until_seen() {
	local part
	seen=
	while (( SECONDS < 15 )); do
		zpty -r -t shell part && seen+=$part || sleep 0.02
		[[ $seen == *${~1}* ]] && return
	done
	print -u2 "$shell did not answer: $seen"
	exit 1
}

if [[ $shell == zsh ]]; then
	zpty shell "TERM=dumb zsh -f -i"
	zpty -w shell "unsetopt zle_bracketed_paste 2>/dev/null; PROMPT= PROMPT2= RPROMPT=; LISTMAX=10000"
	zpty -w shell "fpath=(${(q)directory} \$fpath); autoload -Uz compinit; compinit -u -d $directory/zcompdump"
	# A key that shows the line and empties it.
	zpty -w shell "show() { print; print -r -- \"<\$BUFFER>\"; BUFFER=; zle redisplay }; zle -N show; bindkey '^X' show"
	zpty -w shell "setopt no_auto_menu no_list_beep; bindkey '^I' expand-or-complete"
else
	zpty shell "TERM=dumb bash --norc -i"
	zpty -w shell "bind 'set enable-bracketed-paste off'; bind 'set completion-query-items 0'; bind 'set page-completions off'; PS1="
	zpty -w shell "BASH_COMPLETION_USER_DIR=${(q)directory}; . /usr/share/bash-completion/bash_completion"
	zpty -w shell "show() { echo; echo \"<\$READLINE_LINE>\"; READLINE_LINE=; READLINE_POINT=0; }; bind -x '\"\\C-x\": show'"
fi
zpty -w shell "echo rea''dy"
until_seen ready
for line; do
	zpty -w -n shell "$line"$'\t'
	# The completion asks programs; the key is read when it is done.
	zpty -w -n shell $'\x18'
	until_seen "<*>"
	print -r -- "${${seen##*<}%%>*}"
done
zpty -d shell
