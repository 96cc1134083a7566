"""The machine that QEMU makes for a board: as like it in what the image's boot chain sees as QEMU can."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast_bench.qemu.errors import MachineError


@dataclass(frozen=True)
class Platform:
    """What differs between the processors and the firmwares. Paths are those of the builder tree."""

    program: str
    machine: str
    processor: str
    """What is emulated where the host's own cannot be used."""
    runs_here: bool
    """Whether a workstation (x86-64) can run its instructions itself."""
    firmware: str
    variables: str | None
    """A file with the firmware's variables as they leave the factory; None: it keeps none."""
    secure_firmware: str | None = None
    """What checks signatures instead of `firmware`; None: there is none."""
    tpm: str | None = None
    """QEMU's device for a TPM that the firmware measures into; None: it measures nothing."""
    passes_smbios: bool = True
    """Whether the firmware hands QEMU's SMBIOS tables on; U-Boot makes its own."""


PC = Platform(
    "qemu-system-x86_64",
    "q35,sata=off,smbus=off",
    # A processor that announces fast string instructions makes kernel and libc copy with `rep movsb`, which is emulated
    # byte by byte.
    "max,erms=off,fsrm=off",
    True,
    "/usr/share/OVMF/OVMF_CODE_4M.fd",
    "usr/share/OVMF/OVMF_VARS_4M.fd",
    secure_firmware="/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",
    tpm="tpm-tis",
)
# The processor of a Pi 5; QEMU's `max` signs pointers, which costs an emulator much.
ARM_UEFI = Platform(
    "qemu-system-aarch64",
    "virt,gic-version=3",
    "cortex-a76",
    False,
    "/usr/share/AAVMF/AAVMF_CODE.no-secboot.fd",
    "usr/share/AAVMF/AAVMF_VARS.fd",
)
# What comes after the firmware of a Raspberry Pi.
ARM_U_BOOT = Platform(
    "qemu-system-aarch64",
    "virt,gic-version=3",
    "cortex-a76",
    False,
    "/usr/lib/u-boot/qemu_arm64/u-boot.bin",
    None,
    passes_smbios=False,
)
_OF_BOARD = {"qemu-x86-64": PC, "qemu-arm64": ARM_UEFI, "pi": ARM_U_BOOT, "jetson": ARM_UEFI}
VIRTUAL_BOARDS = tuple(_OF_BOARD)
"""The boards whose images QEMU can run, first the one that is meant where none is named."""


def platform_of(board: str) -> Platform:
    """Return the machine for a board.

    Raises:
        MachineError: there is none.
    """
    try:
        return _OF_BOARD[board]
    except KeyError:
        raise MachineError(
            f"QEMU has no machine for {board}; there are some for {', '.join(_OF_BOARD)}"
        ) from None
