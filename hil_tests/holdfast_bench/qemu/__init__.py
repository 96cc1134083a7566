"""The QEMU back end of the bench: virtual robots from the image, in real time and in virtual time.

QEMU comes from the builder tree, so that every host runs the same version.
"""

from holdfast_bench.qemu.errors import MachineError
from holdfast_bench.qemu.machine import Vm
from holdfast_bench.qemu.virtual import VirtualRun, run_virtual

__all__ = ["MachineError", "VirtualRun", "Vm", "run_virtual"]
