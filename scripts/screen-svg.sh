#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Makes a picture of a sample in README.md, as a terminal shows it: docs/pictures/exits.svg.
#
#	scripts/screen-svg.sh [COMMAND]
set -eu

cd "$(dirname "$0")/.."
mkdir -p docs/pictures
awk '/^<!-- sample hand: -e of a guest / { on = 1; next } on && !/^    / && $0 != "" { exit } on { print substr($0, 5) }' README.md |
	sed -e :a -e '/^\n*$/{$d;N;ba' -e '}' -e 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g' |
	awk -v command="${1:-kvm_watcher -e -t 10}" '
	{ lines[NR] = $0; if (length($0) > width) width = length($0) }
	END {
		w = width * 7.25 + 32
		h = (NR + 1) * 17 + 34
		printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\">\n", w, h, w, h
		print "<title>" command "</title>"
		print "<style>text { font: 12px ui-monospace, Menlo, Consolas, \"DejaVu Sans Mono\", monospace; fill: #d6dde6; white-space: pre }"
		print ".h { fill: #7fb4ff; font-weight: 600 } .c { fill: #8fd694 } .d { fill: #8a97a8 } .s { fill: #f2c97d }</style>"
		printf "<rect width=\"%d\" height=\"%d\" rx=\"8\" fill=\"#161b22\"/>\n", w, h
		printf "<text x=\"16\" y=\"30\" class=\"c\" xml:space=\"preserve\"># %s</text>\n", command
		for (i = 1; i <= NR; i++) {
			class = ""
			if (lines[i] ~ /^KVM_/)
				class = "h"
			else if (lines[i] ~ /^(VM |──|\.\.\.)/)
				class = "d"
			else if (lines[i] ~ /\(all but halts\)/)
				class = "s"
			if (lines[i] != "")
				printf "<text x=\"16\" y=\"%d\"%s xml:space=\"preserve\">%s</text>\n", 30 + i * 17, class == "" ? "" : " class=\"" class "\"", lines[i]
		}
		print "</svg>"
	}' >docs/pictures/exits.svg
