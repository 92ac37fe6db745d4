#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The table of docs/kernels.md: what could be measured on kernels that distributions ship, by the BTF in their packages.
# Called by `make docs-kernels`; it needs the network, apt, and what unpacks kernels: xz, zstd, lz4.
#
#	scripts/kernels.sh [LABEL...]      these alone; without, all of scripts/kernels.tsv, and the documents are written
#
# What is kept of a kernel, in ~/.cache/kvm_watcher/files/LABEL, is its BTF and KVM's modules: a few MB.
set -u -o pipefail

top=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
files=${KVM_WATCHER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kvm_watcher}/files
table=$top/scripts/kernels.tsv
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
PATH=$top/build/tests:$PATH

say() { printf 'kernels: %s\n' "$*" >&2; }

here=$work
# Debian's archive is among this machine's package sources; Ubuntu's is the public one.
# shellcheck source=../tests/machine/fetch.sh
. "$top/tests/machine/fetch.sh"
cache=$work/cache
# The label's kernel, and where its suites are.
write_sources() {
	local suite address keyring options=arch=amd64
	for suite in $(kernel_field "$1" 2); do
		case $1 in
		ubuntu*) address=${UBUNTU_ARCHIVE:-http://archive.ubuntu.com/ubuntu} keyring=${UBUNTU_KEYRING:-/usr/share/keyrings/ubuntu-archive-keyring.gpg} ;;
		*) keyring=/usr/share/keyrings/debian-archive-keyring.gpg; address=$(archive_for "$suite") || continue ;;
		esac
		printf 'deb [%s signed-by=%s] %s %s main\n' "$options" "$keyring" "$address" "$suite"
	done
}

# vmlinux_of VMLINUZ: the ELF file in an x86 boot image; its header says where, Documentation/arch/x86/boot.rst.
vmlinux_of() {
	local sectors offset length magic
	sectors=$(od -An -tu1 -j 497 -N 1 "$1")
	offset=$(($(od -An -tu4 -j 584 -N 4 "$1") + (sectors + 1) * 512))
	# The kernel's build appends the size that it unpacks to.
	length=$(($(od -An -tu4 -j 588 -N 4 "$1") - 4))
	magic=$(od -An -tx1 -j $offset -N 4 "$1" | tr -d ' ')
	head -c $((offset + length)) "$1" | tail -c +$((offset + 1)) | case $magic in
	fd377a58) xz -dcq ;;
	28b52ffd) zstd -dcq ;;
	02214c18) lz4 -dcq ;;
	1f8b*) gzip -dcq ;;
	*) say "$1 is compressed in a way that is not known here ($magic)"; return 1 ;;
	esac
}

# keep_files LABEL: of the unpacked packages what --check --btf wants.
keep_files() {
	local tree=$cache/kernels/$1 new=$files/$1.new name file
	rm -rf "$new"
	mkdir -p "$new" || return 1
	vmlinux_of "$tree/vmlinuz" >"$work/vmlinux" || return 1
	# A kernel without BTF has none to keep.
	objcopy --dump-section ".BTF=$new/vmlinux" "$work/vmlinux" "$work/rest" 2>/dev/null
	rm -f "$work/rest"
	for name in kvm kvm-intel kvm-amd; do
		file=$(find "$tree/tree/lib/modules/" -name "$name.ko*" | head -n 1)
		case $file in
		*.xz) xz -dcq "$file" ;;
		*.zst) zstd -dcq "$file" ;;
		*.gz) gzip -dcq "$file" ;;
		'') say "$1 has no $name"; return 1 ;;
		*) cat "$file" ;;
		esac >"$new/${name/-/_}.ko" || return 1
	done
	cp "$tree/release" "$new/release"
	rm -rf "${files:?}/$1" "$work/vmlinux" "$tree"
	mv "$new" "$files/$1"
}

# row LABEL DISTRIBUTION: a line of the table.
row() {
	local dir=$files/$1 vendor
	if [ ! -e "$dir/vmlinux" ]; then
		echo "| $2 | \`$(cat "$dir/release")\` | none | none | all: this kernel has no BTF |"
		return
	fi
	for vendor in kvm_intel kvm_amd; do
		"$top/kvm_watcher" --check --btf="$dir/vmlinux,$dir/kvm.ko,$dir/$vendor.ko" --format=json
	done | jq -rs --arg name "$2" --arg release "$(cat "$dir/release")" '
		def lacks: [.monitors | to_entries[] | .key as $m |
			if .value.why != "" then "all but `--host`: \(.value.why)" else
			.value.needs[] | select(.state == "missing" or .state == "unknown") | "`--\($m)`: \(.gives)" end] | unique;
		def works: [.monitors | to_entries[] | select(.value.works)] | length;
		(.[0] | lacks) as $intel | (.[1] | lacks) as $amd | ($intel - ($intel - $amd)) as $both
		| "| \($name) | `\($release)` | \(if .[0].host.btf | index("kvm") then "yes" else "no" end) | "
		+ (if (.[0] | works) == (.[1] | works) then "\(.[0] | works)" else "\(.[0] | works) Intel, \(.[1] | works) AMD" end)
		+ " of \(.[0].monitors | length) | "
		+ ([$both[], (($intel - $both)[] | "\(.) (Intel)"), (($amd - $both)[] | "\(.) (AMD)")] | join("; ") | if . == "" then "nothing" else . end)
		+ " |"'
}

# written FILE: the document with the new table in it.
written() {
	awk -v rows="$work/rows" '
		/<!-- kernels end -->/ { inside = 0 }
		!inside { print }
		/<!-- kernels begin/ {
			inside = 1
			for (n = 0; n < 2; n++) { getline; print }	# the head of the table
			while ((getline line < rows) > 0) print line
			close(rows)
		}' "$1" >"$work/page" && cat "$work/page" >"$1"
}

mkdir -p "$files"
grep -v '^#' "$table" | awk -F '\t' -v OFS='\t' '{ print $1, $3, $4 }' >"$work/kernels.tsv"
while IFS=$'\t' read -r label name _ _ <&3; do
	[ $# -eq 0 ] || [[ " $* " == *" $label "* ]] || continue
	if [ ! -e "$files/$label/release" ]; then
		if ! fetch_kernel "$label" || ! keep_files "$label"; then say "$label: left out"; continue; fi
	fi
	row "$label" "$name"
done 3< <(grep -v '^#' "$table") >"$work/rows"
cat "$work/rows"
[ -s "$work/rows" ] || exit 1
[ $# -gt 0 ] || for page in docs/kernels.md docs/zh/kernels.md; do written "$top/$page" || exit 1; done
