#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Writes decode/msrs.h from the kernel's own headers, which user space does not have.
#
#	scripts/gen-msr-names.sh DIR
#
# DIR is a kernel's source, or what Debian's linux-headers-*-common has in usr/src: apt-get download it and
# dpkg -x; nothing has to be installed. The result is committed, as what gen-names.sh writes is.
set -eu

dir=${1:?"usage: scripts/gen-msr-names.sh DIR"}
out=$(dirname "$0")/../decode/msrs.h
x86=$dir/arch/x86/include
for file in "$x86/asm/msr-index.h" "$x86/uapi/asm/kvm_para.h" "$dir/include/hyperv/hvgdk_mini.h" "$dir/Makefile"; do
	if [ ! -f "$file" ]; then
		echo "gen-msr-names.sh: there is no '$file'" >&2
		exit 2
	fi
done

# A number has one name: the architecture's before a processor's, else the first. KVM's old clock has taken
# numbers of processors that no guest has; Hyper-V's begin at 0x40000000, what is lower there are bits.
{
	printf '/* SPDX-License-Identifier: GPL-2.0-only */\n'
	awk '$1 == "VERSION" { v = $3 } $1 == "PATCHLEVEL" {
		printf "/* Written by scripts/gen-msr-names.sh from the headers of Linux %s.%s. */\n", v, $3
		exit
	}' "$dir/Makefile"
	awk '
		$1 != "#define" || $3 !~ /^0x[0-9a-fA-F]+$/ { next }
		$2 ~ /^HV_X64_MSR_/ && $3 ~ /^0x4/ { name = "HV_" substr($2, 12) }
		$2 ~ /^MSR_/ { name = substr($2, 5) }
		name != "" {
			nr = sprintf("0x%8s", tolower(substr($3, 3)))
			gsub(/ /, "0", nr)
			sub(/^0x0*/, "", nr)
			nr = sprintf("0x%8s", nr)
			gsub(/ /, "0", nr)
			rank = name ~ /^KVM_/ ? 3 : name ~ /^(IA32|AMD64|HV)_/ ? 2 : 1
			if (rank > ranks[nr]) { ranks[nr] = rank; names[nr] = name }
			name = ""
		}
		END { for (nr in names) printf "{ %s, \"%s\" },\n", nr, names[nr] }
	' "$x86/asm/msr-index.h" "$x86/uapi/asm/kvm_para.h" "$dir/include/hyperv/hvgdk_mini.h" | LC_ALL=C sort
} >"$out"
