#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What bash completes: tests/cases/completions.sh.
#
#	complete.bash DIRECTORY LINE
#
# Prints what Tab at the end of LINE has to offer, one a line, with the machinery of bash-completion. DIRECTORY has
# completions/kvm_watcher.
export BASH_COMPLETION_USER_DIR=$1
. /usr/share/bash-completion/bash_completion
_completion_loader kvm_watcher
function=$(complete -p kvm_watcher | sed 's/.*-F \([^ ]*\).*/\1/')

# As readline has it: these characters are words of their own.
COMP_LINE=$2 COMP_POINT=${#2} COMP_TYPE=9 COMP_KEY=9
read -ra COMP_WORDS <<<"${2//=/ = }"
[[ $2 == *[\ =] && $2 != *= ]] && COMP_WORDS+=('')
[[ $2 == *= ]] && COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
previous=${COMP_WORDS[COMP_CWORD - 1]}
# compopt works only below readline.
compopt() { :; }
$function kvm_watcher "${COMP_WORDS[COMP_CWORD]}" "$previous"
[[ ${#COMPREPLY[@]} = 0 ]] || printf '%s\n' "${COMPREPLY[@]}"
