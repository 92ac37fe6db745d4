# SPDX-License-Identifier: GPL-2.0-only
# A column of CSV, each value once: awk -v column=NAME. It stands in quotes of three shells, and has none of these itself.
# Fields in quotes may have commas and doubled quotes.
function field(line, wanted,    n, c, i, text, inside) {
	for (i = 1; i <= length(line); i++) {
		c = substr(line, i, 1)
		if (c == "\"") {
			if (inside && substr(line, i + 1, 1) == "\"") { text = text c; i++ }
			else inside = !inside
		} else if (c == "," && !inside) {
			if (++n == wanted) return text
			text = ""
		} else text = text c
	}
	return n + 1 == wanted ? text : ""
}
{ sub(/\r$/, "") }
NR == 1 { for (i = 1; field($0, i) != ""; i++) if (field($0, i) == column) at = i; next }
at && !/[[:cntrl:]]/ { text = field($0, at); if (text != "" && !(text in seen)) { seen[text] = 1; print text } }
