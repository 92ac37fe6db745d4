#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A Debian package of these sources. Called by the Makefile.
#
#	deb.sh DIRECTORY VERSION SECONDS
#
# It is built in a copy of the sources in DIRECTORY, and left there. The Makefile has the version: debian/changelog is
# written here.
set -eu
directory=$1 version=$2 seconds=$3
source=kvm-watcher-$version

missing=$(dpkg-checkbuilddeps debian/control 2>&1) || {
	echo "make deb: $missing (make deps-ci installs them)" >&2
	exit 1
}
rm -rf "$directory"
mkdir -p "$directory"
scripts/source.sh "$source" "$seconds" >"$directory/kvm-watcher_$version.orig.tar.gz"
tar -xzf "$directory/kvm-watcher_$version.orig.tar.gz" -C "$directory"
cp -R debian "$directory/$source/"
cd "$directory/$source"
cat >debian/changelog <<END
kvm-watcher ($version-1) unstable; urgency=medium

  * New upstream version. CHANGELOG.md says what changed.

 -- $(sed -n 's/^Maintainer: //p' debian/control)  $(LC_ALL=C date -u -R -d "@$seconds")
END
SOURCE_DATE_EPOCH=$seconds dpkg-buildpackage -us -uc -j"$(nproc)" >../build.log 2>&1 || {
	tail -n 20 ../build.log >&2
	echo "make deb: dpkg-buildpackage failed; all of it is in $directory/build.log" >&2
	exit 1
}
cd ..
rm -rf "$source"
ls ./*.deb
