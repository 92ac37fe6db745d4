#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The Chinese pages in docs/zh/ get their code blocks, with the comments in front of them, and the anchors of their headings, from the
# English pages of the same names: block by block and heading by heading. Where a block belongs, a
# new page needs no more than an empty one: a line of four spaces and a dot, or two fences. What a test writes into the
# English page, from <!-- NAME: COMMAND --> to <!-- NAME ends -->, is copied as it is.
#
#	scripts/zh.sh [PAGE...]         docs/zh/kvm_exit.md, README.zh.md; without a page all of them
set -u

cd "$(dirname "$0")/.." || exit 1

# english PAGE: the page that it is a translation of
english()
{
	case $1 in
	README.zh.md) echo README.md ;;
	*) echo "docs/${1#docs/zh/}" ;;
	esac
}

fill()
{
	awk '
	# Is this line of code? Fenced, or indented by four spaces behind an empty line or another one of code.
	function code(line) {
		if (line ~ /^```/) {
			fenced = !fenced
			return 1
		}
		if (fenced)
			return 1
		if (line ~ /^    / && (empty || indented)) {
			indented = 1
			return 1
		}
		return 0
	}
	# The anchor that GitHub gives to a heading.
	function slug(text) {
		sub(/^#+ */, "", text)
		gsub(/<[^>]*>/, "", text)
		while (match(text, /\]\([^)]*\)/))
			text = substr(text, 1, RSTART - 1) substr(text, RSTART + RLENGTH)
		text = tolower(text)
		gsub(/[^a-z0-9 _-]/, "", text)
		gsub(/ /, "-", text)
		return text
	}
	function anchor(text,   name) {
		name = slug(text)
		return seen[name]++ ? name "-" (seen[name] - 1) : name
	}
	# Empty lines within a block belong to it; those behind it do not.
	function end_block() {
		if (in_block)
			in_block = 0
		held = ""
	}
	FNR == 1 { part++; fenced = indented = in_block = 0; empty = 1; held = "" }
	/^<!-- [a-z]+: / {
		if (part == 2)
			printf "%s%s", held, written[++copied]
		else
			nr_written++
		end_block()
		in_written = 1
	}
	in_written {
		if (part == 1)
			written[nr_written] = written[nr_written] $0 "\n"
		in_written = !/ ends -->$/
		empty = 0
		next
	}
	{
		was_fenced = fenced
		is_code = code($0)
		if (!is_code && $0 != "")
			indented = 0
	}
	part == 1 {
		if (is_code) {
			if (!in_block) {
				in_block = 1
				blocks[++nr] = mark
			} else
				blocks[nr] = blocks[nr] held
			held = ""
			blocks[nr] = blocks[nr] $0 "\n"
			if (was_fenced && !fenced)
				end_block()
		} else if ($0 == "" && in_block && indented)
			held = held "\n"
		else {
			end_block()
			if ($0 != "")
				mark = /^<!-- sample / ? $0 "\n" : ""
			if (/^#/)
				anchors[++nr_anchors] = anchor($0)
		}
	}
	# How a sample was made comes with its block.
	part == 2 && !/^<!-- sample / {
		if (is_code) {
			if (!in_block) {
				in_block = 1
				printf "%s%s", held, blocks[++used]
			}
			held = ""
			if (was_fenced && !fenced)
				end_block()
		} else if ($0 == "" && in_block && indented)
			held = held "\n"
		else {
			printf "%s", held
			end_block()
			if (/^#/) {
				name = anchors[++headings]
				gsub(/<a id="[^"]*"><\/a>/, "")
				match($0, /^#+ */)
				print substr($0, 1, RLENGTH) "<a id=\"" name "\"></a>" substr($0, RLENGTH + 1)
			} else
				print
		}
	}
	{ empty = $0 == "" || /^<!-- .* -->$/ }
	END {
		if (used != nr || headings != nr_anchors || copied != nr_written) {
			printf "%d of %d blocks, %d of %d headings, %d of %d written by tests\n", used, nr, headings, nr_anchors, copied,
				nr_written >"/dev/stderr"
			exit 1
		}
	}' "$1" "$2"
}

[ $# -gt 0 ] || set -- docs/zh/*.md docs/zh/kvm/*.md README.zh.md
made=$(mktemp) || exit 1
trap 'rm -f "$made"' EXIT
failed=0
for page; do
	[ -e "$page" ] || continue
	if fill "$(english "$page")" "$page" >"$made"; then
		cmp -s "$made" "$page" || cp "$made" "$page"
	else
		echo "zh: $page does not have the parts of $(english "$page")" >&2
		failed=1
	fi
done
exit "$failed"
