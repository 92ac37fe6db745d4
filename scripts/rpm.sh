#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# An RPM package of these sources. Called by the Makefile.
#
#	rpm.sh DIRECTORY VERSION SECONDS [OPTION...]
#
# OPTIONs go to rpmbuild: --nodeps where the packages it asks for have other names.
set -eu
directory=$(realpath -m "$1") version=$2 seconds=$3
shift 3

rm -rf "$directory"
mkdir -p "$directory"
scripts/source.sh "kvm_watcher-$version" "$seconds" >"$directory/kvm_watcher-$version.tar.gz"
sed "s/@VERSION@/$version/; s/@DATE@/$(LC_ALL=C date -u -d "@$seconds" '+%a %b %d %Y')/" contrib/rpm/kvm_watcher.spec.in \
	>"$directory/kvm_watcher.spec"
if ! rpmbuild -ba "$@" --define "_topdir $directory/top" --define "_sourcedir $directory" --define "_rpmdir $directory" \
	--define "_srcrpmdir $directory" "$directory/kvm_watcher.spec" >"$directory/build.log" 2>&1; then
	tail -n 20 "$directory/build.log" >&2
	echo "make rpm: rpmbuild failed; all of it is in $directory/build.log" >&2
	exit 1
fi
rm -rf "$directory/top"
(cd "$directory" && find . -name '*.rpm')
