#!/bin/sh
# Builds gpio-sim.ko in the current folder, inside the builder tree: build.sh RELEASE
# The folder's path goes into the module's build id: always the same one gives always the same module.
set -eu
release=$1
here=$(dirname "$0")
headers=/usr/lib/modules/$release/build

if grep -q '^CONFIG_GPIO_SIM=' "$headers/.config"; then
    echo "the kernel $release has gpio-sim itself; remove image/modules and decision 0009" >&2
    exit 1
fi
grep -q '^CONFIG_CONFIGFS_FS=' "$headers/.config"
source=linux-source-6.12
tar -xJf /usr/src/$source.tar.xz --occurrence=1 --strip-components=1 $source/drivers/gpio/gpio-sim.c $source/kernel/irq/irq_sim.c
cp "$here/Kbuild" "$here/interrupts.c" .
mv drivers/gpio/gpio-sim.c chip.c
mv kernel/irq/irq_sim.c .
make -C "$headers" M="$PWD" modules
strip --strip-debug gpio-sim.ko
