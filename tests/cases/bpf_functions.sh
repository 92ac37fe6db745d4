# SPDX-License-Identifier: GPL-2.0-only
# Functions of the BPF programs by themselves: what a whole run shows by chance only.
. "$(dirname "$0")/lib.sh"

if ! command -v bpf_functions >/dev/null; then
	skip "everything" "left to the native run"
	done_testing
fi
if ! bpf_functions >"$TMP/found" 2>"$TMP/err"; then
	fail "the functions run" "$(cat "$TMP/err")"
fi
while IFS= read -r line; do
	case $line in
	"absent: "*) skip "${line#*: }" "this kernel does not have it" ;;
	*) is "${line#*: }" holds "${line%%: *}" ;;
	esac
done <"$TMP/found"
done_testing
