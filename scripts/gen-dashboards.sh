#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Writes contrib/grafana/*.json anew, or with a directory there. What they show is in gen-dashboards.jq.
set -eu

here=$(dirname "$0")
to=${1:-$here/../contrib/grafana}
jq=$(command -v gojq || command -v jq)
for board in fleet host vm; do
	"$jq" -n --tab --arg board $board -f "$here/gen-dashboards.jq" >"$to/kvm-$board.json"
done
