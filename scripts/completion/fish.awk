# SPDX-License-Identifier: GPL-2.0-only
# What a completion for fish has from the tables; tables.awk reads them.
# fish has quotes of its own.
function fish(text) {
	gsub(/\\/, "\\\\", text)
	gsub(/\047/, "\\\047", text)
	return "\047" text "\047"
}
function value(i) {
	if (kind[i] == "none") return ""
	if (kind[i] == "one") return " -x -a " fish(words[i])
	if (kind[i] == "several") return " -x -a " fish("(__fish_append , " words[i] ")")
	if (kind[i] == "vm") return " -x -a " fish("(__kvm_watcher_vms)")
	if (kind[i] == "pid") return " -x -a " fish("(__kvm_watcher_pids)")
	if (kind[i] == "recording") return " -x -a " fish("(__kvm_watcher_recordings)")
	if (kind[i] == "directory") return " -x -a " fish("(__fish_complete_directories)")
	if (kind[i] == "file") return " -r -F"
	return " -x"
}
END {
	settle()
	print "complete -c kvm_watcher -f"
	for (w = 1; w <= nr_words; w++) {
		printf "complete -c kvm_watcher -n __kvm_watcher_begins -a %s -d %s\n", word[w], fish(doc[word[w]])
		if (takes[word[w]] != "")
			printf "complete -c kvm_watcher -n %s -a %s\n", fish("__kvm_watcher_is " word[w]), fish("(__kvm_watcher_recordings)")
	}
	for (i = 1; i <= nr; i++)
		printf "complete -c kvm_watcher -n %s%s -l %s%s -d %s\n",
			fish("__kvm_watcher_is " (command[i] == "" ? "none" : command[i])), key[i] == "" ? "" : " -s " key[i], name[i],
			value(i), fish(help[i])
}
