#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The page of --format=html as two arrays of C: what is before the data, and what is behind it. Called by the Makefile.
#
#	gen-page.sh output/html >page.h
#
# In report.html a line @FILE@ stands for a file, @POLICY@ for the policy that allows these files alone, and @DATA@ for
# the data.
set -eu
cd "$1"

# hash_of FILE: as a Content-Security-Policy names it
hash_of() {
	printf "'sha256-%s'" "$(sha256sum "$1" | cut -d' ' -f1 | tr a-f A-F | basenc --base16 -d | base64)"
}

policy="default-src 'none'; script-src $(hash_of uPlot.iife.min.js) $(hash_of report.js);"
policy="$policy style-src $(hash_of uPlot.min.css) $(hash_of report.css); img-src data:; base-uri 'none'; form-action 'none'"

# What is between <style> or <script> and its end has to be the file, byte by byte.
page() {
	while IFS= read -r line; do
		case $line in
		*@POLICY@*) printf '%s\n' "${line%%@POLICY@*}$policy${line#*@POLICY@}" ;;
		*@DATA@*) printf '%s\036%s\n' "${line%%@DATA@*}" "${line#*@DATA@}" ;;
		*@*.css@* | *@*.js@*)
			file=${line#*@}
			printf '%s' "${line%%@*}"
			cat "${file%%@*}"
			printf '%s\n' "${file#*@}"
			;;
		*) printf '%s\n' "$line" ;;
		esac
	done <report.html
}

# array NAME: of standard input
array() {
	printf 'static const unsigned char %s[] = {\n' "$1"
	od -An -v -tx1 | sed 's/ \(..\)/0x\1,/g'
	printf '};\n'
}

page | tr -d '\000' | awk 'BEGIN { RS = "\036"; ORS = "" } NR == 1' | array page_head
page | tr -d '\000' | awk 'BEGIN { RS = "\036"; ORS = "" } NR == 2' | array page_tail
