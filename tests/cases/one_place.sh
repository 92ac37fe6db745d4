# SPDX-License-Identifier: GPL-2.0-only
# vCPUs that have one place in the tables by address, and run at the same time, are not mixed up: a kvm_watcher that
# was built with tables of one place.
. "$(dirname "$0")/lib.sh"

has_tool "everything" one_place || done_testing
test "$(nproc)" -gt 1 || echo "# one CPU: little happens at the same time"
mkdir "$TMP/bin"
ln -s "$(command -v one_place)" "$TMP/bin/kvm_watcher"
PATH=$TMP/bin:$PATH

# exits LABEL WATCH_OPTION...
exits()
{
	label=$1
	shift
	# Others may run VMs meanwhile, whose vCPUs need room too.
	if ! watch --max-vcpus=2000 "$@"; then
		fail "$label: kvm_watcher starts"
		return
	fi
	guest --vms=200 --vcpus=2 out=800
	watch_end
	ask "$label: exits to user space of each vCPU" 'guests(.user_exits.IO)' \
		'per_vcpu(.monitor == "vm_exit" and .kind == "userspace" and .reason == "IO")'
	# Of 400 threads that take the CPU from each other there are more pairs than -o has room for.
	ask_lost "$label: nothing lost" 0 'lost | del(.records_full) | add'
}

exits "-e" -e
answers
exits "-e -o" -e -o
ask "-e -o: an account of each vCPU" 400 \
	'$watch | map(select(.monitor == "vcpu_load" and .scope == "total") | .tid) | unique | length'
answers
done_testing
