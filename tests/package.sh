#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The packages: what their checkers say, and the Debian package installed, run and purged. `make test-package`.
#
#	tests/package.sh [--clean]
#
# It is installed on a copy of this system: an overlay in memory, which is gone when this ends. With --clean also in a
# bare Debian, which debootstrap fetches (three minutes), so that the package has to name all that it needs, and its
# autopkgtests are run there. TAP.
# in_copy and come_and_go are called in a namespace of their own.
# shellcheck disable=SC2317
set -u
. "$(dirname "$0")/cases/lib.sh"

top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top" || exit 2

# in_copy: in a mount namespace of its own, with ROOT a copy of this system: the package comes and goes.
in_copy() {
	local root=$1/root deb=$2
	mount -t tmpfs tmpfs "$1" || return 1
	mkdir "$1/upper" "$1/work" "$root"
	mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$root" || return 1
	come_and_go "$root" "$deb" dpkg -i "/root/${deb##*/}"
	# What is new on the copy; caches of other packages know of manual pages.
	find "$1/upper" -name '*kvm[_-]watcher*' ! -type c ! -path '*/root/kvm-watcher_*' ! -path '*/package-tests/*' >"$TMP/left"
}

# come_and_go ROOT DEB COMMAND...: COMMAND installs it there.
come_and_go() {
	local root=$1 deb=$2
	shift 2
	mount --bind /proc "$root/proc" && mount --bind /sys "$root/sys" && mount --bind /dev "$root/dev" || return 1
	cp "$deb" "$root/root/"
	mkdir -p "$root/root/package-tests/tests/golden"
	cp -R debian "$root/root/package-tests/"
	cp tests/golden/recording.zst "$root/root/package-tests/tests/golden/"
	echo "$*" >"$TMP/log"
	chroot "$root" env DEBIAN_FRONTEND=noninteractive "$@" >>"$TMP/log" 2>&1 || return 1
	echo installed >"$TMP/steps"
	chroot "$root" sh -c 'cd /root/package-tests && PATH=/usr/sbin:/usr/bin:/sbin:/bin debian/tests/installed' >>"$TMP/log" 2>&1 &&
		echo runs >>"$TMP/steps"
	chroot "$root" sh -c 'cd /root/package-tests && PATH=/usr/sbin:/usr/bin:/sbin:/bin debian/tests/measures' >>"$TMP/log" 2>&1
	case $? in 0 | 77) echo measures >>"$TMP/steps" ;; esac
	chroot "$root" dpkg --purge kvm-watcher >>"$TMP/log" 2>&1 && echo purged >>"$TMP/steps"
	(cd "$root" && ls usr/sbin/kvm_watcher usr/share/doc/kvm-watcher var/lib/dpkg/info/kvm-watcher.* 2>/dev/null) >"$TMP/files"
}

# says NAME: what come_and_go has noted
says() {
	is "$1: it is installed, runs, measures or says why not, and is purged" "installed runs measures purged" \
		"$(xargs <"$TMP/steps")"
	test "$(xargs <"$TMP/steps")" = "installed runs measures purged" || tail -n 20 "$TMP/log" | sed 's/^/# /'
	is "$1: nothing is left" 0 "$(cat "$TMP/files" "$TMP/left" | wc -l)"
	sed 's/^/# left: /' "$TMP/files" "$TMP/left"
}

rm -f "$TMP/steps" "$TMP/files" "$TMP/left"
touch "$TMP/steps" "$TMP/files" "$TMP/left"
directory=build/deb
if has_tool "a Debian package" dh && holds "make deb" make -s deb; then
	deb=$(echo "$directory"/kvm-watcher_*_amd64.deb)
	is "its version is the program's" "$(sed -n 's/^VERSION := //p' Makefile)-1" "$(dpkg-deb -f "$deb" Version)"
	is "it needs libraries, as it has none of its own" 7 "$(dpkg-deb -f "$deb" Depends | grep -oE '(libbpf|libc6|libevent-core|libevent-extra|libjson-c|libseccomp|libzstd)' | sort -u | wc -l)"
	if has_tool "lintian" lintian; then
		holds "lintian finds no error and nothing to warn of" \
			lintian --allow-root --fail-on error,warning "$directory"/*.changes
	fi
	export TMP
	export -f in_copy come_and_go
	mkdir "$TMP/copy"
	if [ "$(id -u)" != 0 ]; then
		skip "on this system" "an overlay needs root"
	else
		unshare -m bash -c "in_copy '$TMP/copy' '$deb'" || tail -n 5 "$TMP/log" | sed 's/^/# /'
		says "on this system"
	fi
	if [ "${1-}" = --clean ] && has_tool "a bare Debian" debootstrap; then
		rm -f "$TMP/steps" "$TMP/files" "$TMP/left"
		touch "$TMP/steps" "$TMP/files" "$TMP/left"
		# shellcheck disable=SC2016
		mirror=$(apt-get indextargets --format '$(SITE)' | head -n 1)
		holds "a bare Debian" debootstrap --variant=minbase "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$TMP/bare" "$mirror"
		cp /etc/resolv.conf "$TMP/bare/etc/"
		holds "apt's lists" chroot "$TMP/bare" apt-get -q update
		holds "what autopkgtest asks for" chroot "$TMP/bare" env DEBIAN_FRONTEND=noninteractive \
			apt-get -qy install --no-install-recommends bash-completion man-db dpkg-dev
		if has_tool "autopkgtest" autopkgtest; then
			holds "autopkgtest" sh -c "autopkgtest -B '$directory'/*.dsc '$deb' -- chroot '$TMP/bare' || test \$? = 2"
		fi
		unshare -m bash -c "come_and_go '$TMP/bare' '$deb' apt-get -qy install '/root/${deb##*/}'"
		says "in a bare Debian"
	fi
fi

sed "s/@VERSION@/1.0/; s/@DATE@/Sun Nov 29 2026/" contrib/rpm/kvm_watcher.spec.in >"$TMP/kvm_watcher.spec"
if has_tool "the RPM's spec" rpmlint; then
	rpmlint -c contrib/rpm/rpmlint.toml "$TMP/kvm_watcher.spec" >"$TMP/rpmlint" 2>&1
	is "rpmlint: no errors, nothing to warn of" 1 "$(grep -c '0 errors, 0 warnings' "$TMP/rpmlint")"
	grep -E ': [EW]: ' "$TMP/rpmlint" | sed 's/^/# /'
fi
if has_tool "the AppArmor profile" apparmor_parser; then
	holds "the AppArmor profile is understood" apparmor_parser -Q -K contrib/apparmor/kvm_watcher-serve
fi
done_testing
