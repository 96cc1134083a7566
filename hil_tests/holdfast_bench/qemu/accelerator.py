"""KVM only where it works: /dev/kvm can exist and a guest hang in it all the same."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from holdfast_bench.qemu.console import ConsoleLog
from holdfast_bench.qemu.errors import MachineError
from holdfast_bench.qemu.platform import platform_of
from holdfast_bench.qemu.process import FOLDER, IMAGE, QemuProcess
from holdfast_image.build import Image

_PROBE_LIMIT_S = 20.0


def choose_accelerator(image: Image) -> str:
    """Return "kvm" if a guest really runs in it, else "tcg".

    The answer is kept in the image's cache for this boot of the host.
    """
    if not platform_of(image.board).runs_here or not Path("/dev/kvm").exists():
        return "tcg"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    memory = image.builder.tree.with_name(f"kvm-{image.builder.key}.json")
    if memory.is_file():
        known = json.loads(memory.read_text())
        if known["boot"] == boot:
            return str(known["accelerator"])
    accelerator = "kvm" if _kvm_works(image) else "tcg"
    memory.write_text(json.dumps({"boot": boot, "accelerator": accelerator}))
    return accelerator


def _kvm_works(image: Image) -> bool:
    """Boot the image's kernel without a root: where KVM works, it panics for want of one in seconds."""
    with tempfile.TemporaryDirectory(prefix="holdfast-kvm-") as name:
        console = ConsoleLog(Path(name) / "console.log")
        process = QemuProcess(
            image,
            Path(name),
            [
                *(
                    "-machine",
                    "q35",
                    "-accel",
                    "kvm",
                    "-cpu",
                    "host",
                    "-smp",
                    "2",
                    "-m",
                    "512",
                    "-nodefaults",
                ),
                *("-display", "none", "-no-reboot", "-kernel", f"{IMAGE}/image.vmlinuz"),
                *("-append", "console=ttyS0 panic=-1"),
                *("-chardev", f"file,id=console,path={FOLDER}/console.log", "-serial", "chardev:console"),
            ],
        )
        try:
            process.wait(_PROBE_LIMIT_S)
        except MachineError:
            return False
        finally:
            process.kill()
        return "Kernel panic" in console.text()
