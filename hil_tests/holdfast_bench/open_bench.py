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
from holdfast_bench.probe.driver import Probe
from holdfast_bench.qemu import Vm
from holdfast_bench.vm_bench import VmBench


def probe_at(port: str, timeout_s: float = 2.0) -> str:
    """Ask the probe at a serial port for its firmware; returns it in words, for reports.

    Raises:
        ProbeError: it does not answer within `timeout_s`, or its firmware is not that of this tree.
    """
    with Probe(port, timeout_s) as probe:
        return f"firmware {probe.identity.version}, {probe.identity.hash}, at {port}"


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
        BenchError: it does not come up, this bench has no such robot, or not the probe that it promises.
    """
    another = {"fresh-machine"} if robot_file or environment else set()
    bench.require(LIVE | another, "booting this robot")
    probe = probe_at(bench.probe) if bench.probe else "none"
    with _booted(bench, folder, robot_file, environment) as made:
        made.name, made.probe = bench.name, probe
        yield made


@contextmanager
def _booted(
    bench: BenchFile, folder: Path | None, robot_file: Path | None, environment: Mapping[str, str] | None
) -> Iterator[Bench]:
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
