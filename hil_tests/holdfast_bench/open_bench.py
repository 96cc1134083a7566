"""From a bench file to a booted robot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from holdfast_bench.bench_file import LIVE, BenchFile
from holdfast_bench.labgrid.board import BoardBench
from holdfast_bench.labgrid.machine import LabgridVm
from holdfast_bench.qemu import Vm
from holdfast_bench.result import BenchError
from holdfast_bench.vm_bench import VmBench


@contextmanager
def open_bench(bench: BenchFile, folder: Path | None = None) -> Iterator[VmBench | BoardBench]:
    """Boot the bench's robot and wait until it is ready; everything is let go afterwards.

    Raises:
        BenchError: it does not come up, or this bench has no robot that could be met.
    """
    if lacking := bench.lacks(LIVE):
        raise BenchError(
            f"the bench {bench.name} offers no {', '.join(lacking)}: nothing can be booted on it"
        )
    if bench.labgrid is None:
        with VmBench.booted(folder, machine=Vm) as virtual:
            yield virtual
    elif bench.is_virtual_robot:
        with VmBench.booted(
            folder, machine=partial(LabgridVm, environment=bench.labgrid.environment)
        ) as virtual:
            yield virtual
    else:
        with BoardBench.booted(bench.labgrid, folder or Path("build/bench/board")) as board:
            yield board
