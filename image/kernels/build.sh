#!/bin/sh
# Builds a board's kernel in the current folder, inside the builder tree: build.sh CONFIG VERSION
# Leaves tree/usr/lib/modules/RELEASE with vmlinuz and modules, and the licence in the file copyright. The folder's path,
# user and date go into what is built: always the same ones give always the same kernel.
set -eu
fragment=$1
version=$2
export ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu-
export KBUILD_BUILD_USER=holdfast KBUILD_BUILD_HOST=holdfast KBUILD_BUILD_TIMESTAMP='2025-06-15 15:06:40 UTC'

tar -xJf "/usr/src/linux-source-$version.tar.xz" --strip-components=1
xz -dc "/usr/src/linux-config-$version/config.arm64_none_rt-arm64.xz" >.config
scripts/kconfig/merge_config.sh -m .config "$fragment"
make olddefconfig
"$(dirname "$0")/unmet.sh" "$fragment" .config
make -j "$(nproc)" Image modules
release=$(make -s kernelrelease)
make INSTALL_MOD_PATH=tree/usr INSTALL_MOD_STRIP=1 DEPMOD=true modules_install
rm -f "tree/usr/lib/modules/$release/build" "tree/usr/lib/modules/$release/source"
cp arch/arm64/boot/Image "tree/usr/lib/modules/$release/vmlinuz"
cat COPYING LICENSES/preferred/GPL-2.0 LICENSES/exceptions/Linux-syscall-note >copyright
