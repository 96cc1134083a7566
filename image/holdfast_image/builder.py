"""The builder tree: Debian 13 with the tools that build the image and run it.

The host's distribution does not matter that way: mkosi, the compiler and QEMU are always the same. It is
named by a hash over its package list and its mirror. There is one for each architecture that images are made for: the
programs in it are all of the host's, but what it compiles and emulates differs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from holdfast_image.boards import AMD64, Architecture
from holdfast_image.cache import content_hash, locked, made_whole, require_space
from holdfast_image.errors import BuildError, HostError, NetworkError
from holdfast_image.mirror import SUITE, Mirror, apt_settings
from holdfast_image.namespace import require_root, tail_of
from holdfast_image.packages import Package, tree_packages

PACKAGES = (
    # the image
    "ca-certificates",
    "cpio",
    "debian-archive-keyring",
    "dosfstools",
    "e2fsprogs",
    "erofs-utils",
    "fdisk",
    "kmod",
    "mkosi",
    "mtools",
    "python3-pefile",
    "systemd",
    "systemd-boot",
    "systemd-repart",
    "systemd-ukify",
    "zstd",
    # the runtime
    "cmake",
    "g++",
    "libcli11-dev",
    "libeigen3-dev",
    "libexpected-dev",
    "libsystemd-dev",
    "libtomlplusplus-dev",
    "liburdfdom-dev",
    "ninja-build",
    "nlohmann-json3-dev",
    "pkgconf",
    "python3",
    "python3-pip",
    # kernel modules of the bench
    "linux-headers-rt-amd64",
    "linux-source-6.12",
    "make",
    "xz-utils",
    # Ollama
    "golang-1.26-go",
    "libminiaudio-dev",
    "libstb-dev",
    # the virtual robot
    "ovmf",
    "qemu-system-x86",
    "qemu-utils",
)
NEEDED_BYTES = 3 << 30
# What apt says when it is the network and not the package list.
_NETWORK_SIGNS = (
    "Could not resolve",
    "Temporary failure resolving",
    "Could not connect",
    "Unable to connect",
    "Connection failed",
    "Connection timed out",
    "Network is unreachable",
    "Failed to fetch",
)


@dataclass(frozen=True)
class Builder:
    """A finished builder tree."""

    tree: Path
    key: str
    architecture: Architecture

    def mirror(self) -> Mirror:
        """Return the mirror it was made from, also when mmdebstrap chose it."""
        lines = (self.tree / "etc/apt/sources.list").read_text().splitlines()
        found = {line.split()[2]: line.split()[1] for line in lines if line.startswith("deb http")}
        return Mirror(archive=found.get(SUITE, ""), security=found.get(f"{SUITE}-security", ""))

    def packages(self) -> list[Package]:
        """Return the Debian packages in it; their .deb files are not kept."""
        return tree_packages((self.tree / "var/lib/dpkg/status").read_text())


def builder_key(mirror: Mirror, architecture: Architecture) -> str:
    """Return the name of the tree: it changes with the package list, the suite and the mirror."""
    wanted = (*PACKAGES, *architecture.packages, *architecture.archives)
    return content_hash(Path("/"), [], SUITE, *wanted, *mirror.sources())


def ensure_builder(
    cache: Path, mirror: Mirror, architecture: Architecture, log: Path, waiting: Callable[[], None]
) -> Builder:
    """Return the builder tree for images of an architecture, made first if it is not there.

    Raises:
        HostError: no root, no mmdebstrap, or no space.
        NetworkError: the mirror cannot be reached.
        BuildError: mmdebstrap failed for another reason.
    """
    key = builder_key(mirror, architecture)
    tree = cache / f"builder-{key}"
    if tree.is_dir():
        return Builder(tree, key, architecture)
    require_root("making the builder tree")
    for program, package in (("mmdebstrap", "mmdebstrap"), ("unshare", "util-linux")):
        if shutil.which(program) is None:
            raise HostError(f"{program} is not installed; apt-get install {package}")
    with locked(cache / "builder.lock", waiting):
        if not tree.is_dir():
            require_space(cache, NEEDED_BYTES, "the builder tree")
            with made_whole(tree) as partial:
                _mmdebstrap(partial, mirror, architecture, log)
    return Builder(tree, key, architecture)


def _mmdebstrap(tree: Path, mirror: Mirror, architecture: Architecture, log: Path) -> None:
    argv = [
        "mmdebstrap",
        "--mode=root",
        "--format=directory",
        "--variant=apt",
        "--include",
        ",".join((*PACKAGES, *architecture.packages)),
    ]
    if architecture.tools is not None:
        argv.append(f"--architectures={AMD64.name},{architecture.name}")
    listed = '"$1/etc/apt/sources.list"'
    for archive in architecture.archives:
        # After the lines that are there: without a mirror they are mmdebstrap's own.
        argv.append(f"--setup-hook=sed -i -n 'p; s/ {SUITE} main$/ {archive}/p' {listed}")
    argv += ['--aptopt=Acquire::Languages "none"']
    argv += [f"--aptopt={line.rstrip(';')}" for line in apt_settings()]
    argv += ["--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*"]
    argv += [SUITE, str(tree), *mirror.sources()]
    with log.open("ab") as output:
        # In namespaces of their own, and killed with this process: every mount and process goes along.
        process = subprocess.Popen(
            [
                "setpriv",
                "--pdeathsig=KILL",
                "unshare",
                "--mount",
                "--pid",
                "--fork",
                "--mount-proc",
                "--kill-child=SIGKILL",
                "--",
                *argv,
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # The headers of a kernel depend on the kernel; nothing boots it here, so no initramfs is made.
            env={**os.environ, "INITRD": "No"},
            start_new_session=True,
        )
        try:
            status = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
    if status == 0:
        # Mount points for the host's files.
        for name in ("etc/resolv.conf", "etc/hosts"):
            (tree / name).touch()
        return
    text = log.read_text(errors="replace")
    where = mirror.archive or "Debian's default mirror"
    if any(sign in text for sign in _NETWORK_SIGNS):
        raise NetworkError(
            f"cannot fetch Debian packages from {where}; is the network up? "
            f"--mirror names another one (all of it: {log})"
        )
    raise BuildError(
        f"making the builder tree from {where} failed (exit code {status}); the end of {log}:\n{tail_of(log)}"
    )
