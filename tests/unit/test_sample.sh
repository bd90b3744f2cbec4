#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Installs mendd's development files into an empty folder, builds the sample plugins there from these
# files alone, installs them, and lets test_sample load and use them.
#
#	test_sample.sh BUILD-FOLDER SAMPLE-FOLDER PROGRAM
set -eu

skip() {
	echo "skipped: $*"
	exit 77
}

[ "$(id -u)" = 0 ] || skip "only root can make what is root's"
for tool in meson make pkg-config cc; do
	command -v "$tool" >/dev/null || skip "there is no $tool"
done

# /run is root's alone, as everything above a plugin must be.
root=$(mktemp -d /run/mendd-test-sample-XXXXXX)
trap 'rm -rf "$root"' EXIT
chmod 0755 "$root"

meson install -C "$1" --no-rebuild --quiet --tags devel --destdir "$root/installed"
cp -r "$2" "$root/sample"

export PKG_CONFIG_LIBDIR="$root/installed/usr/share/pkgconfig"
export PKG_CONFIG_SYSROOT_DIR="$root/installed"
export PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1
make -C "$root/sample" all
# Some pkg-configs put the root before variables too, some do not.
folder=$(pkg-config --variable=plugindir mendd-plugin)
make -C "$root/sample" install DESTDIR="$root/installed" PLUGIN_DIR="${folder#"$root/installed"}"

"$3" "$root/installed/usr/lib/mendd/plugins"
