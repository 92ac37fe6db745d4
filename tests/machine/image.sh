# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2154,SC2030,SC2031
# What a test machine boots: the initramfs, and for Bochs the ISO around it. Sourced by `machine`.

# unpacked FILE: the contents of a module, which may be compressed.
unpacked() {
	case $1 in
	*.xz) xz -dc -- "$1" ;;
	*.zst) zstd -dcq -- "$1" ;;
	*.gz) gzip -dc -- "$1" ;;
	*) cat -- "$1" ;;
	esac
}

# without_signature FILE: a module as it was before it was signed. Checking the signatures takes Bochs 14
# seconds; a kernel that does not insist on signatures loads the module all the same.
without_signature() {
	local length
	if [ "$(tail -c 28 -- "$1" | tr -d '\0')" != '~Module signature appended~' ]; then
		cat -- "$1"
		return
	fi
	length=$(tail -c 32 -- "$1" | head -c 4 | od -An -t u1 | awk '{ print (($1 * 256 + $2) * 256 + $3) * 256 + $4 }')
	head -c "-$((length + 40))" -- "$1"
}

# find_module DIR NAME: the module's file. Names may differ in - and _ from the file's.
find_module() {
	find "$1/" -type f -name "${2//[-_]/[-_]}.ko*" | head -n 1
}

# add_module DIR NAME [LIST]: put the module behind the ones it needs into the initramfs. init loads those of the list
# "order"; others are there for who wants them.
# The modules say themselves what they need, so that no modules.dep has to exist (packages have none).
add_module() {
	local file target=${2//-/_}.ko needed name
	[ -e "$root/modules/$target" ] && return 0
	file=$(find_module "$1" "$2")
	if [ -z "$file" ]; then
		grep -qs -e "/${2//[-_]/[-_]}[.]ko" "$1/modules.builtin" && return 0
		say "there is no module $2 in $1"
		return 1
	fi
	unpacked "$file" >"$root/modules/$target" || return 1
	if [ "$emulator" = bochs ] && [ -n "$own_kernel" ]; then
		without_signature "$root/modules/$target" >"$work/module" && mv "$work/module" "$root/modules/$target"
	fi
	needed=$(tr '\0' '\n' <"$root/modules/$target" | sed -n 's/^depends=//p')
	for name in ${needed//,/ }; do add_module "$1" "$name" "${3:-order}" || return 1; done
	echo "$target" >>"$root/modules/${3:-order}"
}

# add_program FILE [GUESTPATH]: a program and the shared libraries it is linked with.
add_program() {
	local library
	install -D -m 755 -- "$1" "$root${2:-$1}"
	ldd "$1" 2>/dev/null | grep -o '/[^ ]*' | while read -r library; do
		[ -e "$root$library" ] || install -D -m 755 -- "$library" "$root$library"
	done
}

# add_file HOST:GUEST[:MODE]
add_file() {
	local host guest mode
	IFS=: read -r host guest mode <<<"$1"
	[ -n "$guest" ] || { say "--file wants HOSTPATH:GUESTPATH[:MODE], not $1"; return 1; }
	[ -n "$mode" ] || { mode=644; [ -x "$host" ] && mode=755; }
	install -D -m "$mode" -- "$host" "$root/${guest#/}"
}

# add_tree HOSTDIR:GUESTDIR
add_tree() {
	local guest=${1#*:}
	mkdir -p "$root/${guest#/}"
	cp -RL -- "${1%%:*}/." "$root/${guest#/}"
}

# quoted WORD...: the words, quoted for a POSIX shell.
quoted() {
	local word
	for word; do printf "'%s' " "${word//\'/\'\\\'\'}"; done
}

# add_command WORD...: one word is a shell command line, more are a command and its arguments.
add_command() {
	if [ $# = 1 ]; then printf '%s\n' "$1"; else quoted "$@"; fi >"$root/etc/command"
}

# firmware NAME: the path of one of QEMU's firmware files.
firmware() {
	local directory
	while read -r directory; do
		[ -r "$directory/$1" ] && { readlink -f "$directory/$1"; return; }
	done < <(qemu-system-x86_64 -L help)
	say "QEMU's firmware $1 is missing"
	return 1
}

# pack: the current directory as a cpio archive.
pack() {
	find . -mindepth 1 | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0
}

# add_guest: QEMU inside the machine, and a Linux guest for it to run.
add_guest() {
	local file path
	need qemu-system-x86_64 || return 1
	add_program "$(command -v qemu-system-x86_64)" /usr/bin/qemu-system-x86_64
	for file in bios-256k.bin kvmvapic.bin linuxboot_dma.bin; do
		path=$(firmware "$file") && install -D -m 644 "$path" "$root/usr/share/qemu/$file" || return 1
	done
	install -D -m 644 "$guest_kernel" "$root/guest/vmlinuz"
	guest_initramfs "$guest_modules" >"$root/guest/initramfs"
	install -D -m 755 "$here/start-linux-guest" "$root/usr/local/bin/start-linux-guest"
}

# guest_initramfs [MODULES]: the initramfs of the Linux guest, whose kernel's modules are there.
guest_initramfs() (
	root=$work/guest
	install -D -m 755 "$(command -v busybox)" "$root/bin/busybox"
	mkdir -p "$root/proc" "$root/sys" "$root/dev" "$root/tmp" "$root/modules"
	: >"$root/modules/order"
	# For guests that are given a disk, or a balloon.
	if [ -n "$1" ]; then add_module "$1" virtio_pci && add_module "$1" virtio_blk && add_module "$1" virtio_balloon || return 1; fi
	ln -s busybox "$root/bin/sh"
	install -m 755 "$here/guest-init" "$root/init"
	[ ! -x "$here/../../build/tests/guest_writer" ] ||
		install -m 755 "$here/../../build/tests/guest_writer" "$root/bin/guest_writer"
	cd "$root" && pack
)

# build_initramfs: everything the options ask for, as $work/initramfs.
build_initramfs() {
	local spec jq module vendor=amd
	mkdir -p "$root"/{bin,sbin,usr/bin,usr/sbin,usr/local/bin,etc,proc,sys,dev,tmp,run,root,work,modules}
	install -m 755 "$(command -v busybox)" "$root/bin/busybox"
	ln -s busybox "$root/bin/sh"
	install -m 755 "$here/init" "$root/init"
	printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n' >"$root/etc/passwd"
	printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
	printf '%s=%s\n' KVM_WATCHER_MACHINE "$name" KVM_WATCHER_EMULATOR "$emulator" marker "$marker" interactive "$interactive" tty "$tty" \
		rows "$rows" columns "$columns" >"$root/etc/machine"
	[ "$vendor_label" = vmx ] && vendor=intel
	: >"$root/modules/order"
	if [ -n "$modules" ]; then add_module "$modules" "kvm-$vendor" || return 1; fi
	# Something to swap to, and where it does not do that itself, what compresses for it.
	for module in lzo-rle zram; do
		[ -z "$modules" ] || [ -z "$(find_module "$modules" "$module")" ] || add_module "$modules" "$module" zram || return 1
	done
	# Governors and the driver of processors that have several frequencies (--pstates).
	for module in cpufreq_powersave acpi-cpufreq; do
		[ -z "$modules$pstates" ] || [ -z "$pstates" ] || add_module "$modules" "$module" cpufreq || return 1
	done
	# gojq starts ten times faster than jq 1.6, which matters where instructions are emulated.
	if jq=$(command -v gojq || command -v jq); then add_program "$jq" /usr/bin/jq; fi
	for spec in "${files[@]}"; do add_file "$spec" || return 1; done
	for spec in "${trees[@]}"; do add_tree "$spec" || return 1; done
	if [ -n "$with_qemu" ]; then add_guest || return 1; fi
	add_command "${command_words[@]}"
	(cd "$root" && pack) >"$work/initramfs"
}

# build_iso COMMANDLINE: a bootable CD for Bochs, which cannot load a kernel itself.
build_iso() {
	mkdir -p "$work/iso/boot/grub"
	cp -- "$kernel" "$work/iso/boot/vmlinuz"
	# Not compressed: for Bochs reading is cheaper than unpacking.
	mv -- "$work/initramfs" "$work/iso/boot/initramfs"
	cat >"$work/iso/boot/grub/grub.cfg" <<-END
		linux /boot/vmlinuz $1
		initrd /boot/initramfs
		boot
	END
	grub-mkrescue -o "$work/machine.iso" "$work/iso" >"$work/grub.log" 2>&1 || { cat "$work/grub.log" >&2; return 1; }
}
