# shellcheck shell=bash disable=SC2154
# Kernels for the test machines, from the package archive this machine itself uses. Sourced by `machine`.
#
# Nothing is installed and the system's package configuration is only read: apt-get works on a private
# state below the cache directory. What is kept there, per kernel label:
#	kernels/6.1/*.deb             the packages
#	kernels/6.1/packages.sha256   their sums, from the archive's signed index
#	kernels/6.1/tree/             the packages unpacked
#	kernels/6.1/files.sha256      sums of the unpacked files the machines use
#	kernels/6.1/release           what `uname -r` says
# A complete entry is used as it is, without the network; `machine fetch --update` looks for a newer one.

cache=${KVM_WATCHER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kvm_watcher}

# kernel_field LABEL COLUMN: a field of kernels.tsv.
kernel_field() {
	awk -F '\t' -v label="$1" -v column="$2" \
		'!/^#/ && $1 == label { print $column; found = 1 } END { exit !found }' "$here/kernels.tsv"
}

# archive_addresses: the package archives among this machine's own package sources.
archive_addresses() {
	if [ -n "${KVM_WATCHER_ARCHIVE:-}" ]; then
		printf '%s\n' "${KVM_WATCHER_ARCHIVE%/}" "${KVM_WATCHER_ARCHIVE%/}-security"
		return
	fi
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | sed 's#/*$##' | sort -u
}

# archive_for SUITE: the Debian archive that should hold the suite.
archive_for() {
	case $1 in
	*-security) archive_addresses | grep -E -m 1 '/debian-security([.]list)?$' ;;
	*) archive_addresses | grep -E -m 1 '/debian([.]list)?$' ;;
	esac
}

# write_sources LABEL: the private package sources of one kernel.
write_sources() {
	local suite address options='arch=amd64' keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	[ -r "$keyring" ] && options="$options signed-by=$keyring"
	for suite in $(kernel_field "$1" 2); do
		address=$(archive_for "$suite") || continue
		printf 'deb [%s] %s %s main\n' "$options" "$address" "$suite"
	done
}

# private_apt LABEL PROGRAM ARGUMENT...: apt-get or apt-cache on the private state.
private_apt() {
	local state=$cache/apt/$1 program=$2
	shift 2
	mkdir -p "$state/lists/partial" "$state/archives/partial"
	"$program" -q -o Dir::State="$state" -o Dir::State::lists="$state/lists" -o Dir::State::status=/dev/null \
		-o Dir::Cache="$state" -o Dir::Cache::pkgcache=pkgcache.bin -o Dir::Cache::srcpkgcache= \
		-o Dir::Etc::sourcelist="$state/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
		-o APT::Architecture=amd64 -o APT::Architectures::=amd64 -o APT::Sandbox::User=root \
		-o APT::Get::List-Cleanup=true -o Acquire::Languages=none -o Acquire::Retries=3 \
		-o Acquire::Check-Valid-Until=false "$@"
}

# candidates LABEL PATTERN [VERSION]: "VERSION NAME SHA256", the newest last.
candidates() {
	local names
	names=$(private_apt "$1" apt-cache search --names-only "^$2\$" | cut -d ' ' -f 1)
	[ -n "$names" ] || return 1
	# shellcheck disable=SC2086
	private_apt "$1" apt-cache show $names | awk -v version="${3:-}" '
		$1 == "Package:" { name = $2 }
		$1 == "Version:" { v = $2 }
		$1 == "SHA256:" && (version == "" || v == version) { print v, name, $2 }' | sort -u | sort -V
}

# versions LABEL: the versions the archive lists, the newest first.
versions() {
	local patterns
	patterns=$(kernel_field "$1" 3)
	candidates "$1" "${patterns%% *}" | cut -d ' ' -f 1 | tac | uniq
}

# packages LABEL VERSION: "VERSION NAME SHA256" of each package of one version.
packages() {
	local pattern line
	for pattern in $(kernel_field "$1" 3); do
		line=$(candidates "$1" "$pattern" "$2" | tail -n 1)
		[ -n "$line" ] || return 1
		printf '%s\n' "$line"
	done
}

# download LABEL VERSION NAME SHA256: into the current directory, as NAME.deb.
download() {
	private_apt "$1" apt-get download "$3=$2" >download.log 2>&1 || return 1
	mv -- "$3"_*.deb "$3.deb"
	printf '%s  %s.deb\n' "$4" "$3" | tee -a packages.sha256 | sha256sum --quiet -c - >&2
}

# download_all LABEL PACKAGES: all packages of one version, into a new directory.
download_all() (
	rm -rf "$cache/kernels/$1.new"
	mkdir -p "$cache/kernels/$1.new" && cd "$cache/kernels/$1.new" || exit 1
	while read -r version name sum; do
		say "kernel $1: downloading $name $version"
		download "$1" "$version" "$name" "$sum" || exit 1
	done <<<"$2"
)

# unpack: all packages of the current directory into tree/, and the sums of what the machines use.
unpack() {
	local package image
	for package in *.deb; do dpkg-deb -x "$package" tree || return 1; done
	# Newer systems ship /lib as a link.
	[ -d tree/lib/modules ] || { mkdir -p tree/lib; ln -s ../usr/lib/modules tree/lib/modules; }
	image=$(find tree -name 'vmlinuz*' -type f | head -n 1)
	[ -n "$image" ] || { say "the packages hold no kernel image"; return 1; }
	ls tree/lib/modules >release
	ln -s "$image" vmlinuz
	{
		printf '%s\n' "$image"
		find tree/lib/modules/ -path '*kvm*' -name '*.ko*' -o -name 'irqbypass.ko*' -o -name 'modules.builtin'
	} | xargs sha256sum >files.sha256
}

# complete LABEL: is the cache entry whole and unchanged?
complete() (
	cd "$cache/kernels/$1" 2>/dev/null && [ -s files.sha256 ] &&
		sha256sum --quiet -c packages.sha256 >/dev/null 2>&1 && sha256sum --quiet -c files.sha256 >/dev/null 2>&1
)

# read_lists LABEL: the package lists of the kernel's suites.
read_lists() {
	mkdir -p "$cache/apt/$1"
	command -v apt-get >/dev/null || { say "no apt here: use --kernel= and --modules= with a kernel you have"; return 1; }
	write_sources "$1" >"$cache/apt/$1/sources.list"
	if [ ! -s "$cache/apt/$1/sources.list" ]; then
		say "no Debian archive among this machine's package sources: set KVM_WATCHER_ARCHIVE to the address of one"
		return 1
	fi
	say "kernel $1: reading the package lists of $(kernel_field "$1" 2)"
	# A suite may be gone while another still has the package: only finding nothing is an error.
	private_apt "$1" apt-get update >"$cache/apt/$1/update.log" 2>&1 || :
}

# fetch_fresh LABEL: replace the cache entry by the newest version that the archive still holds.
fetch_fresh() {
	local label=$1 version picked
	read_lists "$label" || return 1
	for version in $(versions "$label"); do
		picked=$(packages "$label" "$version") || continue
		if same_packages "$label" "$picked" && complete "$label"; then
			rm -rf "$cache/apt/$label"
			say "kernel $label: $version is the newest already"
			return 0
		fi
		if download_all "$label" "$picked"; then
			install_entry "$label"
			return
		fi
		say "kernel $label: the archive lists $version but does not hold it; looking for an older one"
	done
	cat "$cache/apt/$label/update.log" "$cache/kernels/$label.new/download.log" >&2 2>/dev/null
	say "kernel $label: the archive has no package that matches $(kernel_field "$label" 3)"
	return 1
}

# install_entry LABEL: unpack what was downloaded and put it in place.
install_entry() {
	local new=$cache/kernels/$1.new
	(cd "$new" && rm -f download.log && unpack) || return 1
	rm -rf "$cache/kernels/$1"
	mv "$new" "$cache/kernels/$1"
	# The lists are large and go stale: they are not kept.
	rm -rf "$cache/apt/$1"
	say "kernel $1: $(cat "$cache/kernels/$1/release") is ready"
}

# same_packages LABEL PICKED: are these packages the ones in the cache?
same_packages() {
	[ "$(awk '{ print $3 }' <<<"$2" | sort)" = \
		"$(awk '{ print $1 }' "$cache/kernels/$1/packages.sha256" 2>/dev/null | sort)" ]
}

# fetch_kernel LABEL [update]: make the kernel available, one process at a time.
fetch_kernel() (
	[ "${2:-}" != update ] && complete "$1" && exit 0
	mkdir -p "$cache/kernels" || exit 1
	exec 9>"$cache/lock"
	flock -n 9 || { say "waiting for another fetch to end"; flock 9; }
	# The other one may have fetched it.
	[ "${2:-}" != update ] && complete "$1" && exit 0
	fetch_fresh "$1"
)
