# SPDX-License-Identifier: GPL-2.0-only
# Reads the tables of options for the programs beside this one, one per shell.
#
# They get: of option i (1 to nr) command[i], key[i], name[i], argument[i], help[i] and kind[i],
# what its value is: none (it takes none), text (anything), one (of words[i]), several (of words[i], with commas
# between them), vm, pid, file, recording or directory; words and their docs in word[1] to word[nr_words], doc[] and
# takes[] (recording or nothing).
BEGIN { FS = "\t" }
$1 == "command" && $2 != "" {
	word[++nr_words] = $2
	doc[$2] = $4
	sub(/[:.].*/, "", doc[$2])
	takes[$2] = $3 ~ /FILE|^A / ? "recording" : ""
}
$1 == "option" {
	nr++
	command[nr] = $2; key[nr] = $3; name[nr] = $4; argument[nr] = $5; help[nr] = $8
	if (key[nr] == "?") key[nr] = ""
	if (name[nr] == "help") argument[nr] = ""
}
$1 == "values" {
	list = $3
	for (i = 4; i <= NF; i++) list = list " " $i
	values[$2] = list
}
# What the value of option i is.
function kind_of(i) {
	if (argument[i] == "") return "none"
	if (argument[i] == "PID") return "pid"
	if (name[i] == "vm") return "vm"
	if (argument[i] == "FILE") return name[i] == "config" ? "file" : "recording"
	if (argument[i] ~ /^FILE/) return "file"
	if (argument[i] == "DIR") return "directory"
	if (argument[i] ~ /^[a-z]+([|][a-z]+)+$/) {
		words[i] = argument[i]
		gsub(/[|]/, " ", words[i])
		return "one"
	}
	words[i] = values[name[i]]
	if (words[i] == "") return "text"
	return argument[i] ~ /,|WHAT/ ? "several" : "one"
}
function settle(    i) {
	for (i = 1; i <= nr; i++) kind[i] = kind_of(i)
}
# The same in single quotes of a shell.
function quoted(text) {
	gsub(/\047/, "\047\\\047\047", text)
	return "\047" text "\047"
}
