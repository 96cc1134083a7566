"""Errors of the QEMU back end."""

from holdfast_bench.result import BenchError


class MachineError(BenchError):
    """The virtual machine did not start, ended, or did not answer; the message has the end of its console."""
