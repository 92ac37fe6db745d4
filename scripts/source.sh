#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The sources as a tarball, for packages: what git knows of, as it is here, or all files where there is no git.
#
#	source.sh NAME SECONDS >NAME.tar.gz
#
# The same sources make the same bytes. debian/ is not in it: it is Debian's part.
set -eu
export LC_ALL=C

list() {
	if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
		git ls-files --cached --others --exclude-standard -z
	else
		find . -name build -prune -o -path ./kvm_watcher -o -path ./temp -prune -o '(' -type f -o -type l ')' -print0 | sed -z 's,^\./,,'
	fi | grep -zv '^debian/'
}

cd "$(dirname "$0")/.."
list | tr '\0' '\n' | while IFS= read -r file; do
	# What git knows of may be deleted here.
	if test -e "$file" || test -L "$file"; then printf '%s\n' "$file"; fi
done | sort | tar --create --format=gnu --no-recursion --files-from=- --transform="s,^,$1/," --mtime="@$2" \
	--owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX | gzip -n -9
