# SPDX-License-Identifier: GPL-2.0-only
# Completion of kvm_watcher for bash, made by scripts/gen-completions.sh. It needs the package bash-completion.
# shellcheck shell=bash

@TABLES@

# _kvm_watcher_column PROGRAM COLUMN: that column of the VMs that run now, a line each. Names that could steer a
# terminal are left out.
_kvm_watcher_column()
{
	"$1" --list --format=csv --table=VMS 2>/dev/null | awk -v column="$2" '
@COLUMN@
'
}

# The replies of lines on standard input that begin with what is there, quoted as a shell needs it.
_kvm_watcher_lines()
{
	local line quoted
	COMPREPLY=()
	while IFS= read -r line; do
		printf -v quoted %q "$line"
		[[ $line == "$cur"* || $quoted == "$cur"* ]] && COMPREPLY+=("$quoted")
	done
}

_kvm_watcher_vm() { _kvm_watcher_lines < <(_kvm_watcher_column "$1" vm); }
_kvm_watcher_pid() { _kvm_watcher_lines < <(_kvm_watcher_column "$1" pid); }
_kvm_watcher_one() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur"); }
_kvm_watcher_file() { _filedir; }
_kvm_watcher_directory() { _filedir -d; }
_kvm_watcher_recording() { _filedir '@(kvmw|zst)?(.[123])'; }

# Words with commas between them: the last one is completed.
_kvm_watcher_several()
{
	local before=''
	[[ $cur != *,* ]] || before=${cur%,*},
	mapfile -t COMPREPLY < <(compgen -P "$before" -W "$1" -- "${cur##*,}")
	compopt -o nospace
}

_kvm_watcher()
{
	# The tables above make it.
	# shellcheck disable=SC2154
	local known=" $_kvm_watcher_commands "
	local cur prev words cword split=false command='' takes
	_init_completion -s || return
	[[ $cword -le 1 || $known != *" ${words[1]} "* ]] || command=${words[1]}
	_kvm_watcher_value "$1" "$prev" && return
	! $split || return
	if [[ $cur == -* ]]; then
		_kvm_watcher_one "$(_kvm_watcher_options "$command")"
		[[ ${COMPREPLY[0]} != *= ]] || compopt -o nospace
		return
	fi
	[[ $cword -gt 1 ]] || _kvm_watcher_one "$_kvm_watcher_commands"
	takes=$(_kvm_watcher_takes "$command")
	[[ -z $takes ]] || "_kvm_watcher_$takes" "$1"
}

complete -F _kvm_watcher kvm_watcher
