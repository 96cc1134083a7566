#!/bin/sh
# First process of a new mount and PID namespace: makes a root file system out of a builder tree and runs one command there.
#   enter.sh TREE WORKDIR [ro|rw SOURCE TARGET]... -- COMMAND [ARGUMENT]...
# Standard input is a life line: when the process that holds its other end is gone, the command is killed, and with this
# process everything in the namespace.
set -eu
tree=$1 workdir=$2
shift 2
exec 9<&0 </dev/null

mount --make-rprivate /
root=$tree/mnt
mount -t tmpfs -o mode=0755 holdfast-root "$root"
for entry in "$tree"/*; do
    name=${entry##*/}
    if [ -L "$entry" ]; then
        cp -P "$entry" "$root/$name"
    elif [ "$name" = usr ] || [ "$name" = etc ] || [ "$name" = var ]; then
        mkdir "$root/$name"
        mount --bind "$entry" "$root/$name"
        mount -o remount,bind,ro "$root/$name"
    fi
done
mkdir -p "$root/dev" "$root/proc" "$root/sys" "$root/run" "$root/tmp" "$root/root"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=1777 holdfast-tmp "$root/var/tmp"
for file in /etc/resolv.conf /etc/hosts; do
    if [ -e "$file" ]; then mount --bind "$(readlink -f "$file")" "$root$file"; fi
done
while [ "$1" != -- ]; do
    mode=$1 source=$2 target=$root$3
    shift 3
    if [ -d "$source" ]; then
        mkdir -p "$target"
    elif [ ! -e "$target" ]; then
        mkdir -p "${target%/*}"
        : >"$target"
    fi
    mount --bind "$source" "$target"
    if [ "$mode" = ro ]; then mount -o remount,bind,ro "$target"; fi
done
shift

# pivot_root instead of chroot: mkosi makes user namespaces, which the kernel refuses in a chroot.
cd "$root"
pivot_root . .
umount -l .
cd "$workdir"

# Another processor's programs run by an emulator, in this user namespace only.
if [ -n "${HOLDFAST_EMULATOR:-}" ]; then
    mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc || {
        echo "this kernel knows no emulators of a namespace's own; Linux 6.7 does" >&2
        exit 1
    }
    cat "$HOLDFAST_EMULATOR" >/proc/sys/fs/binfmt_misc/register
fi

"$@" 9<&- &
child=$!
{ cat <&9 >/dev/null 2>&1 || true; kill -KILL "$child"; } 2>/dev/null &
exec 9<&-
status=0
wait "$child" || status=$?
exit "$status"
