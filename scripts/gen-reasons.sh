#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Writes decode/{vmx,svm,userspace}_reasons.h from kernel user-space headers.
#
#	scripts/gen-reasons.sh [DIR]
#
# DIR holds linux/kvm.h and (x86_64-linux-gnu/)asm/{vmx,svm}.h, /usr/include by
# default. Debian's newest are in sid's linux-libc-dev: apt-get download it and
# dpkg -x, then DIR is usr/include below that; nothing has to be installed.
# The result is committed, so that a build does not depend on its machine.
set -eu

dir=${1:-/usr/include}
out=$(dirname "$0")/../decode
if [ ! -f "$dir/linux/kvm.h" ]; then
	echo "gen-reasons.sh: no linux/kvm.h below '$dir'" >&2
	exit 2
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# The compiler evaluates the numbers; only the names of KVM_EXIT_* are text.
exits=$(awk '$2 == "KVM_EXIT_UNKNOWN" { on = 1 }
	on && $2 !~ /^KVM_EXIT_/ { exit }
	on { name = $2; sub(/^KVM_EXIT_/, "", name)
	     printf "{ %s, \"%s\" }, ", $2, name }' "$dir/linux/kvm.h")

cat > "$tmp/gen.c" <<END
#include <stdio.h>
#include <string.h>
#include <linux/kvm.h>
#include <linux/version.h>
#include <asm/vmx.h>
#include <asm/svm.h>

static const struct {
	unsigned long long nr;
	const char *name;
} vmx[] = { VMX_EXIT_REASONS }, svm[] = { SVM_EXIT_REASONS }, userspace[] = { $exits };

#define PRINT(t, format)							\\
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)			\\
		printf("{ " format ", \"%s\" },\n", (unsigned int)t[i].nr, t[i].name)

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	printf("/* SPDX-License-Identifier: GPL-2.0-only */\n"
	       "/* Written by scripts/gen-reasons.sh from the headers of Linux %d.%d. */\n",
	       LINUX_VERSION_CODE >> 16, LINUX_VERSION_CODE >> 8 & 0xff);
	if (!strcmp(what, "vmx"))
		PRINT(vmx, "%u");
	else if (!strcmp(what, "svm"))
		PRINT(svm, "0x%03x");
	else
		PRINT(userspace, "%u");
	return 0;
}
END

${CC:-cc} -I"$dir/x86_64-linux-gnu" -I"$dir" -o "$tmp/gen" "$tmp/gen.c"
for what in vmx svm userspace; do
	"$tmp/gen" $what > "$tmp/$what"
	cp "$tmp/$what" "$out/${what}_reasons.h"
done
