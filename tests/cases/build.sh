# SPDX-License-Identifier: GPL-2.0-only
# How the program is built: what a mistake with memory runs into, and that the same sources make the same bytes
# wherever and whenever they are built.
. "$(dirname "$0")/lib.sh"

top=$(cd "$(dirname "$0")/../.." && pwd)
program=$(command -v kvm_watcher)

# headers OPTION PATTERN FILE: lines of readelf that match
headers()
{
	LC_ALL=C readelf -W "$1" "$3" 2>/dev/null | grep -cE "$2"
}

# build DIRECTORY ENVIRONMENT...: a copy of the sources is built there, with nothing of this environment
build()
{
	build_in=$1
	shift
	mkdir -p "$build_in"
	(cd "$top" && tar -c --exclude=./build --exclude=./.git --exclude=./temp --exclude=./kvm_watcher .) | tar -x -C "$build_in"
	env -i PATH="$PATH" SOURCE_DATE_EPOCH=1700000000 "$@" make -s -C "$build_in" -j"$(nproc)" kvm_watcher dist >"$TMP/make" 2>&1 && return
	fail "it builds in $build_in" "$(tail -n 5 "$TMP/make")"
	return 1
}

# objects PATTERN: so many of our own objects have an undefined symbol of that name
objects()
{
	find "$TMP/a/build" -path '*/skel' -prune -o -path '*/bpf' -prune -o -name '*.o' -exec nm -u {} + 2>/dev/null |
		grep -cE "^ +U ($1)\$"
}

has_tool "the build" readelf || {
	done_testing
}
is "static and position-independent" "1 0 1" \
	"$(headers -h 'Type: +DYN' "$program") $(headers -l INTERP "$program") $(headers -d 'FLAGS_1.* PIE' "$program")"
is "all relocations are read-only before main()" "1 1 0" \
	"$(headers -l GNU_RELRO "$program") $(headers -d 'FLAGS_1.*NOW' "$program") $(headers -d TEXTREL "$program")"
is "the stack holds no code" 1 "$(headers -l 'GNU_STACK.* RW +0x' "$program")"
is "nothing is writable and code at once" 0 "$(headers -l 'LOAD.* RWE ' "$program")"

if build "$TMP/a" LC_ALL=C TZ=UTC && build "$TMP/another/directory" LC_ALL=C.UTF-8 TZ=Asia/Shanghai HOME="$TMP"; then
	ours=0 protected=0
	for object in "$TMP"/a/build/[a-z]*/*.o; do
		case $object in
		*.bpf.o) continue ;;
		esac
		ours=$((ours + 1))
		test "$(headers -n 'x86 feature: IBT, SHSTK' "$object")" != 1 || protected=$((protected + 1))
	done
	holds "objects are looked at" test $ours -gt 50
	is "our own objects are made for CET" "$ours" "$protected"
	holds "stacks are protected" test "$(objects __stack_chk_fail)" -gt 20
	holds "calls that write into memory are fortified" test "$(objects '__(v?snprintf|memcpy|read|strncpy)_chk')" -gt 20
	for file in $(cd "$TMP/a" && find build/bpf -name '*.o') kvm_watcher; do
		cmp "$TMP/a/$file" "$TMP/another/directory/$file" || echo "$file"
	done >"$TMP/differ" 2>&1
	is "two builds in two directories are the same, byte by byte" "0 $(find "$TMP/a/build/bpf" -name '*.o' | wc -l)" \
		"$(wc -l <"$TMP/differ") $(find "$TMP/another/directory/build/bpf" -name '*.o' | wc -l)"
	sed 's/^/# /' "$TMP/differ"
	holds "and so are the tarballs of make dist" sh -c "cmp '$TMP/a'/build/dist/*.tar.gz '$TMP/another/directory'/build/dist/*.tar.gz"
	is "no directory is in it" 0 "$(grep -acF "$TMP" "$TMP/a/kvm_watcher")"
fi
done_testing
