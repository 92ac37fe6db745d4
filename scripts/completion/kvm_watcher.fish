# SPDX-License-Identifier: GPL-2.0-only
# Completion of kvm_watcher for fish, made by scripts/gen-completions.sh.

# The line so far is of this command; none: of no command.
function __kvm_watcher_is
    set -l words (commandline -opc)
    if test "$argv[1]" = none
        test (count $words) -lt 2; or string match -q -- '-*' $words[2]
    else
        test (count $words) -gt 1; and test "$words[2]" = "$argv[1]"
    end
end

function __kvm_watcher_begins
    test (count (commandline -opc)) -eq 1
end

# The VMs that run now. Names that could steer a terminal are left out.
function __kvm_watcher_column
    set -l program (commandline -opc)[1]
    $program --list --format=csv --table=VMS 2>/dev/null | awk -v column="$argv[1]" '
@COLUMN@
'
end

function __kvm_watcher_vms
    __kvm_watcher_column vm
end

function __kvm_watcher_pids
    __kvm_watcher_column pid
end

function __kvm_watcher_recordings
    __fish_complete_directories
    set -l start (commandline -ct | string replace -r '^--[a-z-]+=' '')
    for file in $start*.{kvmw,zst}{,.1,.2,.3}
        echo $file
    end
end

@TABLES@
