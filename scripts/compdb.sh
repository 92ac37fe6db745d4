#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# compile_commands.json: how each file is compiled, for clangd and other tools. Called by the Makefile.
#
#	compdb.sh <commands >compile_commands.json
#
# A line of standard input is a source, a tab, and the command without "-c SOURCE".
set -eu
directory=$(pwd)
awk -F '\t' -v directory="$directory" '
	function json(text) {
		gsub(/\\/, "\\\\", text)
		gsub(/"/, "\\\"", text)
		return "\"" text "\""
	}
	BEGIN { print "[" }
	{
		printf "%s  { \"directory\": %s, \"file\": %s,\n    \"command\": %s }", (NR > 1 ? ",\n" : ""), json(directory), json($1),
			json($2 " -c " $1)
	}
	END { print "\n]" }'
