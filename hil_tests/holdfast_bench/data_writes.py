"""Scenario `data-writes`: the supply goes after any write to the data partition; what was acknowledged is kept.

One robot in a virtual machine starts, is given tasks and controllers, is stopped and reset (robot_at_work.py). Then
moments are drawn of the log of its drive: the drive is brought to what a cut at such a moment would have left, in the
order in which it was told or with a random part of what it was told since the last flush, and the robot's own daemons
go on from there as processes of this machine (restarted.py). Where `power-cut` starts a whole robot after each cut,
this looks at many more, and at what a drive leaves that writes in an order of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import shutil
import subprocess
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.progress import Progress

from holdfast.command import errors as terminal
from holdfast_bench.data_partition import NotKept, copy_out, data_partition, recover
from holdfast_bench.qemu.disk import WRITES
from holdfast_bench.replay import Part, Replay, moments
from holdfast_bench.restarted import SETTLE_LIMIT_S, Files, prove, require_whole
from holdfast_bench.result import BenchError, scenario_directory
from holdfast_bench.robot_at_work import AFTER, BEFORE, STAGES, Recording, record
from holdfast_image.build import Image, build_image, repository_root
from holdfast_image.cache import require_space
from holdfast_image.partitions import run_tool
from holdfast_image.payload import FOLDER

NAME = "data-writes"
COUNT = 200
_TOLD = 5
_NEEDED_BYTES, _COPY_BYTES = 10 << 30, 1 << 30
_BROKER = Path("usr/sbin/nats-server")
_DATA = "data.raw"
_MACHINE_ID = "/var/lib/overlay/etc/machine-id"
_NOT_YET = hashlib.sha256(b"uninitialized\n").hexdigest()
"""What it is in a first start that has not come to its end: the next one is a first one again (machine-id(5))."""
MayBe = Mapping[str, frozenset[str | None]]


def run(board: str, count: int = COUNT, seed: int = 1) -> dict[str, Any]:
    """Record a robot of `board` at work in a virtual machine, then look at `count` states that a cut could leave.

    Raises:
        BenchError: there is a moment at which a cut loses something; says at which write.
    """
    folder = scenario_directory(NAME)
    require_space(folder, _NEEDED_BYTES, "the log of a robot at work")
    require_space(Path(tempfile.gettempdir()), _COPY_BYTES, "copies of a robot's data")
    image = build_image(repository_root(), board)
    with image.in_use():
        broker = broker_of(image, folder)
        recording = record(board, folder / "robot", terminal.print)
    try:
        return judge(recording, broker, count, seed)
    finally:
        for name in (BEFORE, AFTER, WRITES):
            (recording.folder / name).unlink()


def broker_of(image: Image, folder: Path) -> Path:
    """Return the nats-server of an image, copied into `folder`.

    Raises:
        BenchError: it does not run on this machine.
    """
    (root,) = (image.directory / FOLDER).glob("*.root.*.raw")
    broker = folder / _BROKER.name
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        tree = Path(scratch) / "root"
        ran = run_tool("fsck.erofs", "erofs-utils", f"--extract={tree}", "--no-preserve-owner", str(root))
        if ran.returncode != 0 or not (tree / _BROKER).is_file():
            raise BenchError(f"{root} has no {_BROKER}: {ran.stderr.decode(errors='replace').strip()}")
        (tree / _BROKER).replace(broker)
    try:
        subprocess.run([broker, "--version"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BenchError(
            f"the robot's {_BROKER} does not run on this machine ({error}), so its streams cannot be read here: "
            "take the image of a board with this machine's processor"
        ) from error
    return broker


def judge(
    recording: Recording, broker: Path, count: int, seed: int, settle_limit_s: float = SETTLE_LIMIT_S
) -> dict[str, Any]:
    """Look at `count` states that a cut could have left, drawn by `seed` from those of the recording.

    They are as many of each stage, in the drive's order and in another; `broker` reads the robot's streams. A robot
    that is ready again may take `settle_limit_s` to load its controller and to answer its tasks.

    Raises:
        BenchError: in one of them something is lost; names the first few, with their stage and write.
    """
    drive, log = recording.folder / BEFORE, recording.folder / WRITES
    data = data_partition(recording.folder / AFTER)
    if data is None:
        raise BenchError("the robot has no data partition")

    def part(offset: int, size: int) -> Part:
        return Part.WATCHED if data.contains(offset, size) else Part.READ

    def kind(at: int, reordered: bool) -> str:
        return f"{STAGES[recording.stage_of(at)]}{', in another order' if reordered else ''}"

    every = defaultdict(list)
    for entry, at, reordered in moments(log, part):
        every[kind(at, reordered)].append((entry, reordered))
    if not every:
        raise BenchError(f"{log} has no write to the data partition")
    rng = random.Random(seed)  # noqa: S311 - moments, not secrets
    drawn = {
        moment
        for number, (_, found) in enumerate(sorted(every.items()))
        for moment in rng.sample(found, min(len(found), (count + number) // len(every)))
    }
    states: Counter[str] = Counter()
    lost: list[str] = []
    with Progress(console=terminal) as progress:
        task = progress.add_task("reading the log", total=len(drawn))

        def look(entry: int, at: int, reordered: bool) -> None:
            if (entry, reordered) not in drawn:
                return
            states[kind(at, reordered)] += 1
            left = recording.folder / f"state-{entry}{'-reordered' if reordered else ''}"
            left.mkdir()
            try:
                _look(drive, at, recording, broker, left, settle_limit_s)
                shutil.rmtree(left)
            except NotKept as problem:
                # What is lost somebody wants to look at.
                copy_out(drive, data, left / _DATA)
                lost.append(f"{kind(at, reordered)}, write {entry}: {problem} (what is left: {left})")
            progress.update(task, advance=1, description=f"{states.total()} states, {len(lost)} with a loss")

        entries = Replay(drive, log, lambda _, __: None).run(part, look, 1, seed)
    if lost:
        told = "\n".join(lost[:_TOLD])
        raise BenchError(f"{len(lost)} of {states.total()} states have lost something:\n{told}")
    return {
        "entries": entries,
        "seed": seed,
        "moments": {kind: len(found) for kind, found in sorted(every.items())},
        "states": dict(sorted(states.items())),
        "acknowledged": dict(Counter(act.kind for act in recording.acts if act.kind != "reset")),
        "lost": 0,
    }


def _look(
    drive: Path, at: int, recording: Recording, broker: Path, left: Path, settle_limit_s: float
) -> None:
    """Let a robot go on from the drive as it is when the log is `at` bytes long; its logs are left in a folder.

    Raises:
        NotKept: something that was acknowledged is not there.
    """
    data = data_partition(drive)
    stage = recording.stage_of(at)
    if data is None:
        if stage == 0:
            return  # the first start makes it, and has not yet
        raise NotKept("the data partition is gone")
    with tempfile.TemporaryDirectory(prefix="hf-") as scratch:  # sockets need a short path
        copy = Path(scratch) / _DATA
        copy_out(drive, data, copy)
        recover(copy)
        files = Files.unpacked(copy, Path(scratch) / "robot")
        require_whole(files, _may_be(recording, at))
        if stage == 0 and not files.robot_file.exists():
            return  # nobody has told it yet who it is, and the next start does
        asyncio.run(prove(files, recording.expected_at(at), broker, left, settle_limit_s))


def _may_be(recording: Recording, at: int) -> MayBe:
    """Return what each file that must be whole may be: what the robot saw before this stage, or after it."""
    stage = recording.stage_of(at)
    after = recording.seen[stage]
    before: Mapping[str, str] = recording.seen[stage - 1] if stage else {_MACHINE_ID: _NOT_YET}
    may_be = {path: {before.get(path), after.get(path)} for path in before.keys() | after.keys()}
    if stage == 0:
        may_be[_MACHINE_ID].add(None)
    deployed = {act.what for act in recording.acts if act.kind == "controller" and act.done <= at}
    return {
        path: frozenset(digests - {None} if Path(path).stem in deployed else digests)
        for path, digests in may_be.items()
    }
