# SPDX-License-Identifier: GPL-2.0-only
# make install, make uninstall and what is in the tarball of make dist. That two builds make the same tarball is in
# build.sh.
. "$(dirname "$0")/lib.sh"

top=$(cd "$(dirname "$0")/../.." && pwd)

# quiet_make TARGET...: in the project, with what is built there
quiet_make()
{
	env -u MAKEFLAGS -u MAKELEVEL make -s -C "$top" "$@" >"$TMP/make" 2>&1 && return
	fail "make $1" "$(tail -n 5 "$TMP/make")"
	return 1
}

files()
{
	(cd "$1" && find . ! -type d | LC_ALL=C sort)
}

mkdir -p "$TMP/a b/opt/share/man/man8"
: >"$TMP/a b/opt/share/man/man8/kvm_stat.8"
if quiet_make install DESTDIR="$TMP/a b" PREFIX=/opt; then
	root="$TMP/a b/opt"
	is "what is installed, and where" "./sbin/kvm_watcher
./share/bash-completion/completions/kvm_watcher
./share/fish/vendor_completions.d/kvm_watcher.fish
$(cd "$top/contrib" && find . -type f | sed 's,^\.,./share/kvm_watcher,' | LC_ALL=C sort)
$( (cd "$top/build/man" && ls -- *.8; echo kvm_stat.8) | sed 's,^,./share/man/man8/,' | LC_ALL=C sort)
./share/zsh/site-functions/_kvm_watcher" "$(files "$root")"
	is "it runs" "$(kvm_watcher --version)" "$("$root/sbin/kvm_watcher" --version)"
	is "anybody can read it" 0 "$(find "$root" ! -perm -a+r | wc -l)"
	quiet_make uninstall DESTDIR="$TMP/a b" PREFIX=/opt
	is "make uninstall leaves what is not its own, and no more" ./share/man/man8/kvm_stat.8 "$(files "$root")"
fi

if quiet_make dist OUTPUT=build SOURCE_DATE_EPOCH=1700000000; then
	for tarball in "$top"/build/dist/*.tar.gz; do :; done
	holds "its checksum" sh -c "cd '$top/build/dist' && sha256sum -c ./*.sha256"
	mkdir "$TMP/dist"
	tar -xzf "$tarball" -C "$TMP/dist"
	directory=$(echo "$TMP"/dist/*)
	is "one directory, with the version in its name" \
		"kvm_watcher-$(kvm_watcher --version | sed 's/.* //')-x86_64" "$(ls "$TMP/dist")"
	holds "the checksums of its files" sh -c "cd '$directory' && sha256sum --strict -c SHA256SUMS"
	is "all files have one" "$(files "$directory" | grep -vx ./SHA256SUMS)" "$(sed 's,^[^ ]*  ,./,' "$directory/SHA256SUMS")"
	for file in LICENSE LICENSES/MIT-uPlot.txt README.md CHANGELOG.md docs/output.md completions/_kvm_watcher kvm_watcher \
		man/kvm_watcher.8 man/kvm_watcher-diff.8; do
		holds "it has $file" test -s "$directory/$file"
	done
	is "owners and times say nothing" "0/0 1700000000" "$(tar --numeric-owner -tvzf "$tarball" | awk '{ print $2 }' | sort -u) $(
		find "$directory" -printf '%Ts\n' | sort -u)"
	is "its program needs no library" "$(kvm_watcher --version)" "$(env -i "$directory/kvm_watcher" --version)"
fi

# compile_commands.json has every source of the program, and what it says compiles.
# command_of FILE
command_of()
{
	jq -r --arg file "$1" '.[] | select(.file == $file) | .command' "$top/compile_commands.json"
}

if quiet_make compdb; then
	is "make compdb: all sources of the program" \
		"$(cd "$top" && find cli core compat decode output monitors diagnose bpf -name '*.c' | LC_ALL=C sort)" \
		"$(jq -r '.[].file' "$top/compile_commands.json" | grep -v '^tests/\|^scripts/\|^top/\|^serve/\|^http/' | LC_ALL=C sort -u)"
	for file in core/loop.c monitors/vm_exit.bpf.c tests/unit/test_times.c; do
		holds "make compdb: the command of $file" sh -c "cd '$top' && $(command_of $file) -fsyntax-only"
	done
fi

# What builds it is what Debian's package asks for; gcc, make and the kernel's headers are there anyway.
packages=$(sed -n 's/^build="\(.*\)"$/\1/p' "$top/scripts/deps.sh")
for package in $packages; do
	case $package in
	gcc | make | linux-libc-dev) continue ;;
	esac
	is "debian/control asks for $package" 1 "$(sed -n '/^Build-Depends:/,/^[S-Z]/p' "$top/debian/control" | grep -cE "[ ,]$package(,|\$)")"
done

# The Makefile has the version, and the changelog's newest section is of it.
version=$(kvm_watcher --version | sed 's/.* //')
is "the changelog is of this version" 1 \
	"$(sed -n '/^## /,$p' "$top/CHANGELOG.md" | head -n 4 | grep -cE "^(This will be $version\.|## \[$version\] - [0-9-]+)\$")"
done_testing
