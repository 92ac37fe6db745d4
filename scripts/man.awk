# SPDX-License-Identifier: GPL-2.0-only
# The parts of a manual page that the tables of options have, for the command "wanted": what is above the description,
# @DESCRIPTION@, a description for want of a better one, @SYNOPSIS@, the options.
BEGIN { FS = "\t" }

# Sentences, each on lines of its own of at most 78 characters, none of which is a request of roff.
function sentence(text,    n, i, word, line) {
	gsub(/\\/, "\\e", text)
	text = toupper(substr(text, 1, 1)) substr(text, 2)
	if (text !~ /[.]$/) text = text "."
	n = split(text, word, " ")
	for (i = 1; i <= n; i++) {
		if (line != "" && (length(line) + length(word[i]) > 77 || (word[i - 1] ~ /[.]$/ && word[i] ~ /^[A-Z]/))) {
			print line
			line = ""
		}
		line = line == "" ? (word[i] ~ /^[.\047]/ ? "\\&" : "") word[i] : line " " word[i]
	}
	print line
}

# "A [B]", "FILE...", "[FILE...]": operands as macros
function print_operands(text,    n, i, word, optional) {
	n = split(text, word, " ")
	for (i = 1; i <= n; i++) {
		optional = word[i] ~ /^\[/
		gsub(/[][]/, "", word[i])
		sub(/[.][.][.]$/, " ...", word[i])
		print (optional ? ".Op Ar " : ".Ar ") word[i]
	}
}

$1 == "command" && $2 == wanted {
	brief = $4
	sub(/[:.].*/, "", brief)
	print ".Dt KVM_WATCHER-" toupper(wanted) " 8"
	print ".Os"
	print ".Sh NAME"
	print ".Nm kvm_watcher-" wanted
	print ".Nd " tolower(substr(brief, 1, 1)) substr(brief, 2)
	print ".Sh SYNOPSIS"
	print ".Nm kvm_watcher " wanted
	print ".Op Ar option ..."
	print_operands($3)
	print "@DESCRIPTION@"
	print ".Sh DESCRIPTION"
	sentence($4)
	if ($5 != "") {
		print ".Pp"
		sentence($5)
	}
	print "@SYNOPSIS@"
}

$1 == "option" && $2 == wanted {
	heading = $6
	sub(/:$/, "", heading)
	if (heading == "") heading = "Help"
	if (!(heading in seen)) {
		seen[heading] = 1
		headings[++nr_headings] = heading
	}
	n = ++nr[heading]
	item = ".It "
	if ($3 != "") item = item "Fl " ($3 == "?" ? "\\&?" : $3) " , "
	item = item "Fl -" $4
	if ($4 == "help") item = item " Ns Op = Ns Cm all"
	else if ($5 != "") item = item " Ns = Ns Ar " $5
	items[heading, n] = item
	texts[heading, n] = $8
}

END {
	print ".Sh OPTIONS"
	print "Options may come in any order."
	print "Those of a run are described in"
	print ".Xr kvm_watcher 8 ."
	for (h = 1; h <= nr_headings; h++) {
		print ".Ss " headings[h]
		print ".Bl -tag -width Ds"
		for (i = 1; i <= nr[headings[h]]; i++) {
			print items[headings[h], i]
			sentence(texts[headings[h], i])
		}
		print ".El"
	}
}
