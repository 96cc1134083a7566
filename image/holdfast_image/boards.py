"""The boards that an image can be made for, and what their processors ask of the builder tree."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """A kind of processor."""

    name: str
    """What Debian and mkosi's caches call it."""
    wheels: str
    """The platform of its Python packages. glibc of Debian 13 is newer than the newest tag that wheels have."""
    packages: tuple[str, ...] = ()
    """What its builder tree has besides what all have."""
    tools: str | None = None
    """The GNU name that its compiler's name begins with; None: it is the builder tree's own architecture."""
    archives: tuple[str, ...] = ()
    """Suites and components of Debian's archive that its builder tree needs besides the stable release's."""
    emulator: str | None = None
    """The binfmt.d file of what runs its programs in the builder tree; None: nothing is needed."""

    def tool(self, name: str) -> str:
        """Return what the builder tree calls a program of the compiler's for this architecture."""
        return name if self.tools is None else f"{self.tools}-{name}"


_BACKPORTS = "trixie-backports main"
AMD64 = Architecture(
    "amd64",
    "x86_64-manylinux_2_39",
    # the virtual robot's TPM
    packages=("swtpm",),
    archives=(_BACKPORTS,),
)
ARM64 = Architecture(
    "arm64",
    "aarch64-manylinux_2_39",
    packages=(
        # the runtime, compiled by the builder tree's own architecture
        "g++-aarch64-linux-gnu",
        "libsystemd-dev:arm64",
        "libtomlplusplus-dev:arm64",
        "liburdfdom-dev:arm64",
        # the image: package scripts run emulated; U-Boot's scripts
        "qemu-user",
        "u-boot-tools",
        # the virtual robot
        "qemu-efi-aarch64",
        "qemu-system-arm",
        "u-boot-qemu",
        # kernels of boards that Debian's does not serve
        "bc",
        "bison",
        "flex",
        "libelf-dev",
        "libssl-dev",
        "linux-config-7.3:arm64",
        "linux-source-7.3",
        "rsync",
    ),
    archives=(_BACKPORTS,),
    tools="aarch64-linux-gnu",
    emulator="/usr/share/qemu/binfmt.d/qemu-aarch64.conf",
)


@dataclass(frozen=True)
class Board:
    """What an image is made for."""

    name: str
    architecture: Architecture
    profiles: tuple[str, ...]
    """The mkosi profiles of its image, the one that tells two boards apart last."""
    archives: tuple[str, ...] = ()
    """Suites and components of Debian's archive that it needs packages of besides the stable release's."""
    own_kernel: bool = False
    """Whether its kernel is compiled for it, as image/kernels/NAME.config says, instead of being Debian's."""

    @property
    def checks_signatures(self) -> bool:
        """Whether its firmware can start only what is signed: UEFI can, U-Boot as Debian builds it cannot."""
        return "u-boot" not in self.profiles


BOARDS = {
    board.name: board
    for board in (
        Board("qemu-x86-64", AMD64, ("systemd-boot", "qemu-x86-64")),
        Board(
            "qemu-arm64", ARM64, ("arm64", "backports-kernel", "systemd-boot", "qemu-arm64"), (_BACKPORTS,)
        ),
        Board(
            "pi",
            ARM64,
            ("arm64", "backports-kernel", "u-boot", "pi"),
            (_BACKPORTS, "trixie non-free-firmware"),
        ),
        Board(
            "jetson",
            ARM64,
            ("arm64", "systemd-boot", "jetson"),
            ("trixie non-free-firmware",),
            own_kernel=True,
        ),
    )
}
