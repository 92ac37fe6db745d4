# SPDX-License-Identifier: GPL-2.0-only
# Two CPUs see a new vCPU at the same moment: it has one slot, and nothing is used up.
. "$(dirname "$0")/lib.sh"

if ! command -v race >/dev/null; then
	skip "everything" "left to the native run"
	done_testing
fi
if ! race >"$TMP/race" 2>"$TMP/err"; then
	skip "everything" "$(head -n 1 "$TMP/err")"
	done_testing
fi
while IFS= read -r line; do
	is "${line#*: }" holds "${line%%: *}"
done <"$TMP/race"
done_testing
