#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Writes decode/{vmx,svm,userspace}_reasons.h and decode/kvm_{ioctls,caps,hypercalls}.h from kernel
# user-space headers.
#
#	scripts/gen-names.sh [DIR]
#
# DIR holds linux/kvm.h, linux/kvm_para.h and (x86_64-linux-gnu/)asm/{vmx,svm}.h, /usr/include by
# default. Debian's newest are in sid's linux-libc-dev: apt-get download it and dpkg -x, then DIR is
# usr/include below that; nothing has to be installed. The result is committed, so that a build does
# not depend on its machine.
set -eu

dir=${1:-/usr/include}
out=$(dirname "$0")/../decode
if [ ! -f "$dir/linux/kvm.h" ]; then
	echo "gen-names.sh: no linux/kvm.h below '$dir'" >&2
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

# KVM_EXIT_* are one after the other; what comes later only begins like them.
exits=$(awk '$2 == "KVM_EXIT_UNKNOWN" { on = 1 }
	on && $2 !~ /^KVM_EXIT_/ { exit }
	on { printf "{ %s, \"%s\" },\n", $2, $2 }' "$dir/linux/kvm.h")

cat > "$tmp/gen.c" <<END
#include <stdio.h>
#include <string.h>
#include <linux/kvm.h>
#include <linux/kvm_para.h>
#include <linux/version.h>
#include <asm/vmx.h>
#include <asm/svm.h>

static const struct {
	unsigned long long nr;
	const char *name;
} vmx_reasons[] = { VMX_EXIT_REASONS }, svm_reasons[] = { SVM_EXIT_REASONS },
userspace_reasons[] = { $exits },
kvm_ioctls[] = { $(names '^KVM_' '^_IO[RW]*[(]KVMIO' "$dir/linux/kvm.h") },
kvm_caps[] = { $(names '^KVM_CAP_[A-Z0-9_]+$' '^[0-9]' "$dir/linux/kvm.h") },
kvm_hypercalls[] = { $(others='' && names '^KVM_HC_' '^[0-9]' "$dir/linux/kvm_para.h") };

#define PRINT(t, format, prefix)						\\
	for (size_t i = 0; !strcmp(argv[1], #t) && i < sizeof(t) / sizeof(t[0]); i++)	\\
		printf("{ " format ", \"%s\" },\n", (unsigned int)t[i].nr,	\\
		       t[i].name + strlen(prefix))

int main(int argc, char **argv)
{
	printf("/* SPDX-License-Identifier: GPL-2.0-only */\n"
	       "/* Written by scripts/gen-names.sh from the headers of Linux %d.%d. */\n",
	       LINUX_VERSION_CODE >> 16, LINUX_VERSION_CODE >> 8 & 0xff);
	PRINT(vmx_reasons, "%u", "");
	PRINT(svm_reasons, "0x%03x", "");
	PRINT(userspace_reasons, "%u", "KVM_EXIT_");
	PRINT(kvm_ioctls, "0x%08x", "");
	PRINT(kvm_caps, "%u", "KVM_CAP_");
	PRINT(kvm_hypercalls, "%u", "KVM_HC_");
	return 0;
}
END

${CC:-cc} -I"$dir/x86_64-linux-gnu" -I"$dir" -o "$tmp/gen" "$tmp/gen.c"
for list in vmx_reasons svm_reasons userspace_reasons kvm_ioctls kvm_caps kvm_hypercalls; do
	"$tmp/gen" $list > "$tmp/$list"
	cp "$tmp/$list" "$out/$list.h"
done
