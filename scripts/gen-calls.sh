#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Writes decode/kvm_{ioctls,caps,hypercalls}.h from kernel user-space headers.
#
#	scripts/gen-calls.sh [DIR]
#
# DIR holds linux/kvm.h, linux/kvm_para.h and (x86_64-linux-gnu/)asm/, as for
# gen-reasons.sh, which says where to get the newest. The result is committed.
set -eu

dir=${1:-/usr/include}
out=$(dirname "$0")/../decode
if [ ! -f "$dir/linux/kvm.h" ]; then
	echo "gen-calls.sh: no linux/kvm.h below '$dir'" >&2
	exit 2
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# Only names are text, the compiler evaluates the numbers. Other architectures' commands and
# capabilities don't matter here and may use a number again; hypercalls are numbered once for all.
others='^KVM_(CAP_|HC_)?(S390|PPC|ARM|ARM64|RISCV|MIPS|LOONGARCH|IA64)_|^KVM_(ALLOCATE_RMA|CREATE_SPAPR_TCE|RTAS|HTM|SVM|XICS)'
names()
{
	awk -v want="$1" -v value="$2" -v others="$others" '
		$1 == "#define" && $2 ~ want && (value == "" || $3 ~ value) &&
		(others == "" || $2 !~ others) && !seen[$2]++ { printf "{ %s, \"%s\" },\n", $2, $2 }' "$3"
}

cat > "$tmp/gen.c" <<END
#include <stdio.h>
#include <string.h>
#include <linux/kvm.h>
#include <linux/kvm_para.h>
#include <linux/version.h>

static const struct {
	unsigned long nr;
	const char *name;
} ioctls[] = { $(names '^KVM_' '^_IO[RW]*[(]KVMIO' "$dir/linux/kvm.h") },
caps[] = { $(names '^KVM_CAP_[A-Z0-9_]+$' '^[0-9]' "$dir/linux/kvm.h") },
hypercalls[] = { $(others='' && names '^KVM_HC_' '^[0-9]' "$dir/linux/kvm_para.h") };

#define PRINT(t, format, skip)						\\
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)			\\
		printf("{ " format ", \"%s\" },\n", (unsigned int)t[i].nr, t[i].name + skip)

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	printf("/* SPDX-License-Identifier: GPL-2.0-only */\n"
	       "/* Written by scripts/gen-calls.sh from the headers of Linux %d.%d. */\n",
	       LINUX_VERSION_CODE >> 16, LINUX_VERSION_CODE >> 8 & 0xff);
	if (!strcmp(what, "ioctls"))
		PRINT(ioctls, "0x%08x", 0);
	else if (!strcmp(what, "caps"))
		PRINT(caps, "%u", strlen("KVM_CAP_"));
	else
		PRINT(hypercalls, "%u", strlen("KVM_HC_"));
	return 0;
}
END

${CC:-cc} -I"$dir/x86_64-linux-gnu" -I"$dir" -o "$tmp/gen" "$tmp/gen.c"
for what in ioctls caps hypercalls; do
	"$tmp/gen" $what > "$tmp/$what"
	cp "$tmp/$what" "$out/kvm_$what.h"
done
