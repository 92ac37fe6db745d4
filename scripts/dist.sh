#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The tarball of `make dist`. Called by the Makefile, when everything is built.
#
#	dist.sh BUILD NAME SECONDS
#
# The same files make the same bytes: sorted, owned by root, with the time SECONDS since 1970 and no other.
set -eu
export LC_ALL=C
umask 022
directory=$1/dist name=$2 seconds=$3
to=$directory/$name

rm -rf "$directory"
mkdir -p "$to/man" "$to/completions"
cp kvm_watcher README*.md CHANGELOG.md LICENSE "$to"
cp "$1"/man/*.8 "$to/man"
cp "$1"/completions/* "$to/completions"
cp -R docs LICENSES "$to"
rm -rf "$to/docs/man" "$to/docs/kvm_watcher.8"
test ! -d contrib || cp -R contrib "$to"
(cd "$to" && find . -type f | sed 's,^\./,,' | sort | xargs -d '\n' sha256sum) >"$directory/sums"
mv "$directory/sums" "$to/SHA256SUMS"
tar --create --directory="$directory" --format=gnu --sort=name --mtime="@$seconds" --owner=0 --group=0 --numeric-owner \
	--mode=u=rwX,go=rX "$name" | gzip -n -9 >"$directory/$name.tar.gz"
rm -rf "$to"
(cd "$directory" && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256")
