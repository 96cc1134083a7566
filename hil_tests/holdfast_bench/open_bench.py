"""From a bench file to a booted robot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from holdfast_bench.bench import Bench
from holdfast_bench.bench_file import LIVE, BenchFile
from holdfast_bench.labgrid.board import BoardBench
from holdfast_bench.labgrid.machine import LabgridVm
from holdfast_bench.qemu import Vm
from holdfast_bench.vm_bench import VmBench


@contextmanager
def open_bench(
    bench: BenchFile,
    folder: Path | None = None,
    robot_file: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Bench]:
    """Make the bench's robot, booted or from a saved state, and wait until it is ready; all is let go afterwards.

    `robot_file` and `environment` (settings of the daemons) make it another robot, which a board cannot be.

    Raises:
        BenchError: it does not come up, or this bench has no such robot.
    """
    another = {"fresh-machine"} if robot_file or environment else set()
    bench.require(LIVE | another, "booting this robot")
    if bench.labgrid is not None and not bench.is_virtual_robot:
        with BoardBench.booted(bench.labgrid, folder or Path("build/bench/board")) as board:
            yield board
        return
    machine = partial(LabgridVm, environment=bench.labgrid.environment) if bench.labgrid else Vm
    with VmBench.booted(
        folder,
        robot_file=robot_file,
        environment=environment,
        machine=machine,
        saved=bench.starts_from_saved_state,
        board=bench.board,
        with_ollama="ollama" in bench.capabilities,
    ) as virtual:
        yield virtual
