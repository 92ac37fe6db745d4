# SPDX-License-Identifier: GPL-2.0-only
# What a completion for zsh has from the tables; tables.awk reads them.
# Brackets and colons mean something in a spec.
function spec(text) {
	gsub(/\\/, "\\\\", text)
	gsub(/\[/, "\\[", text)
	gsub(/\]/, "\\]", text)
	gsub(/:/, "\\:", text)
	return text
}
function action(i) {
	if (kind[i] == "one") return "(" words[i] ")"
	if (kind[i] == "several") return "_sequence compadd - " words[i]
	if (kind[i] == "vm") return "_kvm_watcher_vms"
	if (kind[i] == "pid") return "_kvm_watcher_pids"
	if (kind[i] == "file") return "_files"
	if (kind[i] == "recording") return "_kvm_watcher_recordings"
	if (kind[i] == "directory") return "_files -/"
	return " "
}
function print_spec(i,    value) {
	value = kind[i] == "none" ? "" : ":" spec(argument[i]) ":" action(i)
	if (key[i] != "") {
		printf "\t\t%s\n", quoted("(-" key[i] " --" name[i] ")-" key[i] (value == "" ? "" : "+") "[" spec(help[i]) "]" value)
		printf "\t\t%s\n", quoted("(-" key[i] " --" name[i] ")--" name[i] (value == "" ? "" : "=") "[" spec(help[i]) "]" value)
	} else if (name[i] == "where" || name[i] == "ignore" || name[i] == "assert")
		printf "\t\t%s\n", quoted("*--" name[i] "=[" spec(help[i]) "]" value)
	else
		printf "\t\t%s\n", quoted("--" name[i] (value == "" ? "" : "=") "[" spec(help[i]) "]" value)
	if (name[i] == "help") printf "\t\t%s\n", quoted("--help=all[print all options]")
}
END {
	settle()
	print "_kvm_watcher_words() {\n\tlocal -a commands=("
	for (w = 1; w <= nr_words; w++) printf "\t\t%s\n", quoted(word[w] ":" spec(doc[word[w]]))
	print "\t)\n\t_describe -t commands command commands\n}\n"
	print "_kvm_watcher_options() {\n\tlocal -a specs\n\tcase $1 in"
	for (w = 0; w <= nr_words; w++) {
		printf "\t(%s) specs=(\n", w ? word[w] : "\"\""
		for (i = 1; i <= nr; i++) if (command[i] == (w ? word[w] : "")) print_spec(i)
		if (w && takes[word[w]] != "") printf "\t\t%s\n", quoted("*:recording:_kvm_watcher_recordings")
		print "\t\t) ;;"
	}
	print "\tesac\n\t_arguments -s -S : \"${specs[@]}\"\n}\n"
}
