# SPDX-License-Identifier: GPL-2.0-only
# What a completion for bash has from the tables; tables.awk reads them.
# A line of a case for all options of one kind and the same words.
function value_case(i, reply,    j, pattern) {
	for (j = 1; j <= nr; j++)
		if (kind[j] == kind[i] && words[j] == words[i] && !(j in done)) {
			done[j] = 1
			if (pattern !~ ("(^|[|])--" name[j] "([|]|$)")) {
				pattern = pattern (pattern == "" ? "" : "|") "--" name[j]
				if (key[j] != "") pattern = pattern "|-" key[j]
			}
		}
	printf "\t%s) %s; return ;;\n", pattern, reply
}
END {
	settle()
	print "_kvm_watcher_commands=" quoted(list_words())
	print "_kvm_watcher_options()\n{\n\tcase $1 in"
	for (w = 0; w <= nr_words; w++) {
		line = ""
		for (i = 1; i <= nr; i++)
			if (command[i] == (w ? word[w] : ""))
				line = line " --" name[i] (argument[i] == "" ? "" : "=") (key[i] == "" ? "" : " -" key[i])
		printf "\t%s) echo %s ;;\n", w ? word[w] : quoted(""), quoted(substr(line, 2) (line ~ / --help / ? " --help=all" : ""))
	}
	print "\tesac\n}\n"
	print "# _kvm_watcher_value COMMAND OPTION: completes what follows it; false: it takes no value.\n_kvm_watcher_value()\n{\n\tcase $2 in"
	for (i = 1; i <= nr; i++) {
		if (i in done) continue
		if (kind[i] == "none") continue
		else if (kind[i] == "text") value_case(i, "COMPREPLY=()")
		else if (kind[i] == "one" || kind[i] == "several") value_case(i, "_kvm_watcher_" kind[i] " " quoted(words[i]))
		else value_case(i, "_kvm_watcher_" kind[i] " \"$1\"")
	}
	print "\tesac\n\treturn 1\n}\n"
	print "# _kvm_watcher_takes WORD: what the command takes besides options.\n_kvm_watcher_takes()\n{\n\tcase $1 in"
	for (w = 1; w <= nr_words; w++)
		if (takes[word[w]] != "") printf "\t%s) echo %s ;;\n", word[w], takes[word[w]]
	print "\tesac\n}"
}
function list_words(    w, line) {
	for (w = 1; w <= nr_words; w++) line = line (w > 1 ? " " : "") word[w]
	return line
}
