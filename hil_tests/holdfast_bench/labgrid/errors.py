"""Errors of the labgrid back end."""

from holdfast_bench.qemu.errors import MachineError


class LabgridError(MachineError):
    """labgrid refused, failed, or is gone; what it logged is in the file that the message names.

    A MachineError, because tests expect the same of a robot whatever back end it is reached by.
    """
