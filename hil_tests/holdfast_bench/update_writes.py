"""Scenario `update-writes`: the supply goes after any write of an update; the drive always holds a whole version.

One robot in a virtual machine gets a new version, starts it and takes it for good, while QEMU logs all that its drive
is told. The log is replayed: after each write to the partition table or to the EFI system partition, and in states in
which a drive has done only part of what it was told since the last flush, the drive is read as a boot loader reads it
(bootable.py). Where `update-cut` starts a robot after some cuts, this looks at every one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import Progress

from holdfast.command import errors as terminal
from holdfast.session import RELAXED, env_lines
from holdfast_bench.bootable import (
    Drive,
    Files,
    NotBootable,
    Version,
    files_of,
    may_hold,
    partitions_of,
    system_partition,
)
from holdfast_bench.qemu import Vm
from holdfast_bench.qemu.disk import WRITES
from holdfast_bench.replay import Part, Replay
from holdfast_bench.result import BenchError, scenario_directory
from holdfast_bench.robot import wait_until
from holdfast_bench.updates import Updated, next_version
from holdfast_bench.vm_session import SLOWER
from holdfast_image.build import Image, build_image, release_version, repository_root
from holdfast_image.cache import require_space
from holdfast_image.guest.version_files import VersionFile
from holdfast_image.payload import FOLDER

NAME = "update-writes"
ORDERS = 8
"""States in another order, for each flush behind writes that matter."""
_TOLD = 5
_NEEDED_BYTES = 10 << 30
_SETTLE_LIMIT_S = 1800.0
_BEFORE, _AFTER = "before.raw", "after.raw"
_BEFORE_IT = ("first start", "fetch")
_INSTALL = "install"


@dataclass(frozen=True)
class Recording:
    """What a robot's drive was told while it got a new version; the files are those of its machine's folder."""

    folder: Path
    stages: dict[str, int]
    """Where in the log each stage ends, in bytes."""
    seen: Sequence[Files]
    """What the robot itself saw in its EFI system partition at the end of each stage."""

    def stage_of(self, place: int) -> str:
        """Return the stage in which the log has an entry at `place` bytes."""
        return next(name for name, end in self.stages.items() if place < end)


def run(board: str, seed: int = 1) -> dict[str, Any]:
    """Record an update of `board` in a virtual machine, then look at each state that a cut could leave.

    Raises:
        BenchError: there is a moment at which a cut leaves what is not whole; says at which write.
    """
    root = repository_root()
    new = next_version(release_version(root))
    first, second = build_image(root, board), build_image(root, board, release=new)
    folder = scenario_directory(NAME)
    require_space(folder, _NEEDED_BYTES, "the log of an update")
    with first.in_use(), second.in_use():
        recording = record(first, second, folder / "machine", terminal.print)
        result = judge(recording, first, second, new, seed)
    # What is not whole somebody wants to look at.
    for name in (_BEFORE, _AFTER, WRITES):
        (recording.folder / name).unlink()
    return result


def record(first: Image, second: Image, folder: Path, report: Callable[[str], None]) -> Recording:
    """Let a robot get the version `second`, and log all that its drive is told meanwhile."""
    with Vm(first, folder, credentials={"holdfast.env": env_lines(RELAXED | SLOWER)}) as vm:
        robot = Updated(vm.shell)

        def settled() -> None:
            wait_until("the version that runs has proved itself", robot.settled, _SETTLE_LIMIT_S)

        vm.copy_disk(_BEFORE)
        stages = {}
        seen = []

        def ended(stage: str, then: str) -> None:
            stages[stage] = (folder / WRITES).stat().st_size
            seen.append(robot.system_files())
            report(then)

        report("a flashed drive starts for the first time, and all that it is told is logged")
        vm.logs_writes = True
        vm.on()
        settled()
        ended(_BEFORE_IT[0], "the robot fetches the new version")
        robot.fetch(second.directory / FOLDER)
        ended(_BEFORE_IT[1], "it installs the new version")
        if not (done := robot.install())["ok"]:
            raise BenchError(f"the new version was not installed: {done['error']}")
        ended(_INSTALL, "it starts the new version for the first time")
        before = robot.boot_id()
        vm.shell.run("systemctl reboot", check=False)
        wait_until("the robot starts", lambda: robot.boot_id() not in ("", before), _SETTLE_LIMIT_S)
        settled()
        ended("start", "it is switched off")
        vm.off()
        stages["off"] = (folder / WRITES).stat().st_size
        vm.copy_disk(_AFTER)
    return Recording(folder, stages, seen)


def judge(recording: Recording, first: Image, second: Image, new: str, seed: int) -> dict[str, Any]:
    """Look at each state that a cut could leave while a robot goes from the image `first` to `second`, version `new`.

    Raises:
        BenchError: one is not whole; names the first few, with their stage and write.
    """
    disk, log = recording.folder / _BEFORE, recording.folder / WRITES
    before, after = partitions_of(disk), partitions_of(recording.folder / _AFTER)
    versions = [Version.of(image.directory / FOLDER) for image in (first, second)]
    others = may_hold(files_of(disk, before), *recording.seen)
    drive = Drive(disk, versions, others)
    system = system_partition(after)
    slots = [after[partition] for version in versions for partition in version.partitions]
    rest = [partition for partition in after.values() if partition not in (system, *slots)]

    def part(offset: int, size: int) -> Part:
        if any(partition.contains(offset, size) for partition in slots):
            return Part.READ
        return Part.IGNORED if any(partition.contains(offset, size) for partition in rest) else Part.WATCHED

    states: Counter[str] = Counter()
    found: Counter[str] = Counter()
    broken: list[str] = []

    def look(entry: int, place: int, reordered: bool) -> None:
        stage = recording.stage_of(place)
        states[stage] += 1
        try:
            startable = drive.startable()
            if stage not in (*_BEFORE_IT, _INSTALL) and new not in map(_version, startable):
                raise NotBootable(f"version {new} is gone, which the robot said it had installed")
            found[", ".join(sorted(startable))] += 1
        except NotBootable as problem:
            how = ", in another order" if reordered else ""
            broken.append(f"{stage}, write {entry}{how}: {problem}")
        progress.update(
            task, completed=place, description=f"{stage}: {states.total()} states, {len(broken)} broken"
        )

    with Progress(console=terminal) as progress:
        task = progress.add_task("reading the log", total=log.stat().st_size)
        entries = Replay(disk, log, drive.written).run(part, look, ORDERS, seed)
    if broken:
        told = "\n".join(broken[:_TOLD])
        raise BenchError(f"{len(broken)} of {states.total()} states cannot be trusted to start:\n{told}")
    return {"entries": entries, "seed": seed, "states": dict(states), "startable": dict(found), "broken": 0}


def _version(name: str) -> str | None:
    file = VersionFile.of(Path(name))
    return file.version if file is not None else None
