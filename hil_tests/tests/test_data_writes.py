"""What a power cut may leave of a robot's data: real files of a robot of host processes, in a real ext4."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nats
import pytest

from holdfast.broker import RobotBroker, start_broker
from holdfast.config import load_robot_config
from holdfast.host_session import HostSession
from holdfast_bench.data_partition import NotKept, copy_out, data_partition, recover, unpack
from holdfast_bench.data_writes import COUNT, judge
from holdfast_bench.qemu.disk import WRITES
from holdfast_bench.restarted import SETTLE_LIMIT_S, Expected, Files, prove, require_whole
from holdfast_bench.result import BenchError
from holdfast_bench.robot_at_work import AFTER, BEFORE, Act, Recording, expected_at
from holdfast_image.partitions import Partition

REPOSITORY = Path(__file__).resolve().parents[2]
ROBOT = REPOSITORY / "examples" / "robots" / "arm.toml"
CONTROLLER = REPOSITORY / "examples" / "controllers" / "hold.wat"
MIB = 1 << 20
SECTOR = 512
SIZE = 80 * MIB
PATH = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
KEPT_FILE = "/var/lib/overlay/etc/holdfast/robot.toml"


@dataclass(frozen=True)
class Worked:
    """What a robot left behind that had answered a task, got a controller and was stopped."""

    var: Path
    """As the data partition has it."""
    controller: str

    def expected(self, *tasks: str) -> Expected:
        return Expected(frozenset(tasks), frozenset({self.controller}), latched=True)


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Worked:
    place = Path(tempfile.mkdtemp(prefix="hf-"))  # sockets need a short path
    controller = ""

    async def work() -> None:
        nonlocal controller
        session = HostSession(ROBOT, tmp_path_factory.mktemp("logs"), place)
        try:
            await session.start(lambda _: None)
            await session.wait_ready(120.0)
            done = await session.target.deploy(CONTROLLER.stem, "", CONTROLLER.read_bytes())
            controller = done["sha256"]
            client = await nats.connect(session.broker_url)
            answers = await client.subscribe(f"holdfast.{session.robot_id}.result")
            body = {"id": "a-task", "kind": "status_report", "requires": [], "args": {}}
            await client.jetstream().publish(f"holdfast.{session.robot_id}.task", json.dumps(body).encode())
            await answers.next_msg(timeout=60.0)
            await client.close()
            await session.target.estop("a stop")
        finally:
            await session.close()

    asyncio.run(work())
    var = tmp_path_factory.mktemp("robot") / "var"
    shutil.copytree(place / "state", var / "lib" / "holdfast")
    shutil.copytree(place / "broker" / "jetstream", var / "lib" / "holdfast" / "nats")
    shutil.copy(place / "broker" / "life", var / "lib" / "holdfast" / "nats")
    (var / "lib" / "overlay" / "etc" / "holdfast").mkdir(parents=True)
    shutil.copy(ROBOT, var / "lib" / "overlay" / "etc" / "holdfast" / "robot.toml")
    shutil.rmtree(place)
    return Worked(var, controller)


def make_drive(file: Path, var: Path | None) -> Path:
    """Lay out a drive as the first start does; without `var` it has not happened yet."""
    with file.open("wb") as stream:
        stream.truncate(SIZE)
    data = "size=64MiB, name=holdfast-data" if var is not None else ""
    table = f"label: gpt\nsize=4MiB, name=esp\n{data}\n"
    subprocess.run(["sfdisk", "--quiet", file], input=table, text=True, check=True, env=PATH)
    partition = data_partition(file)
    if var is not None and partition is not None:
        place = f"offset={partition.offset_bytes}"
        subprocess.run(
            ["mke2fs", "-q", "-t", "ext4", "-d", var, "-E", place, file, "64M"], check=True, env=PATH
        )
    return file


def partition_of(drive: Path) -> Partition:
    partition = data_partition(drive)
    assert partition is not None
    return partition


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory, worked: Worked) -> Path:
    return make_drive(tmp_path_factory.mktemp("drive") / "drive.raw", worked.var)


@pytest.fixture
def data(tmp_path: Path, drive: Path) -> Path:
    """Its data partition, in a file of its own."""
    copy_out(drive, partition_of(drive), tmp_path / "data.raw")
    return tmp_path / "data.raw"


@pytest.fixture
def files(data: Path) -> Iterator[Files]:
    """What is on it, as it was left."""
    folder = Path(tempfile.mkdtemp(prefix="hf-"))
    yield Files.unpacked(data, folder / "robot")
    shutil.rmtree(folder)


# --- the partition


def test_a_drive_that_no_robot_started_from_has_no_data(tmp_path: Path) -> None:
    assert data_partition(make_drive(tmp_path / "drive.raw", None)) is None


def test_a_partition_is_copied_as_it_is_and_takes_no_more_space(drive: Path, data: Path) -> None:
    partition = partition_of(drive)
    content = drive.read_bytes()[partition.offset_bytes :][: partition.size_bytes]
    assert data.read_bytes() == content
    assert data.stat().st_blocks * SECTOR < partition.size_bytes / 2


def test_all_files_are_unpacked(tmp_path: Path, data: Path, worked: Worked) -> None:
    unpack(data, tmp_path / "var")
    there = {path.relative_to(worked.var) for path in worked.var.rglob("*")}
    assert {path.relative_to(tmp_path / "var") for path in (tmp_path / "var").rglob("*")} >= there
    for path in there:
        if (worked.var / path).is_file():
            assert (tmp_path / "var" / path).read_bytes() == (worked.var / path).read_bytes()


def test_a_sound_file_system_stays_as_it_is(data: Path) -> None:
    recover(data)
    recover(data)


def test_a_file_system_that_a_start_would_not_mend_is_noticed(tmp_path: Path, data: Path) -> None:
    with data.open("r+b") as stream:
        stream.write(b"\xff" * 2 * MIB)
    with pytest.raises(NotKept, match="the data partition is damaged"):
        recover(data)
    with pytest.raises(NotKept, match="cannot be read"):
        unpack(data, tmp_path / "var")


# --- the files


def test_what_was_written_once_is_whole_or_not_there(files: Files) -> None:
    digests = files.digests()
    assert KEPT_FILE in digests
    assert [path for path in digests if path.endswith(".cwasm")]
    require_whole(files, {path: frozenset({digest}) for path, digest in digests.items()})
    may_be = {KEPT_FILE: frozenset({digests[KEPT_FILE], None})}
    files.robot_file.write_bytes(b"")
    with pytest.raises(NotKept, match=r"robot\.toml is not as it was written"):
        require_whole(files, may_be)
    files.robot_file.unlink()
    require_whole(files, may_be)
    with pytest.raises(NotKept, match=r"robot\.toml is gone"):
        require_whole(files, {KEPT_FILE: frozenset({digests[KEPT_FILE]})})


# --- the robot that goes on


def broker() -> Path:
    found = shutil.which("nats-server", path=PATH["PATH"])
    assert found is not None
    return Path(found)


def start(files: Files, expected: Expected, settle_limit_s: float = SETTLE_LIMIT_S) -> None:
    asyncio.run(prove(files, expected, broker(), files.folder / "logs", settle_limit_s))


def test_a_robot_that_lost_nothing_goes_on(files: Files, worked: Worked) -> None:
    start(files, worked.expected("a-task"))


def forget_latch(files: Files) -> None:
    (files.folder / "state" / "safety" / "estop.json").unlink()


def empty_latch(files: Files) -> None:
    os.truncate(files.folder / "state" / "safety" / "estop.json", 0)


def forget_answers(files: Files) -> None:
    shutil.rmtree(files.folder / "broker" / "jetstream")


def answer_twice(files: Files) -> None:
    async def publish() -> None:
        robot = RobotBroker(files.folder / "broker", load_robot_config(files.robot_file, {}).robot.id)
        running = await start_broker(robot, files.folder / "broker.log")
        client = await nats.connect(robot.url)
        for _ in range(2):
            await client.jetstream().publish(f"holdfast.{robot.robot}.result", b'{"id": "twice"}')
        await client.close()
        await running.stop()

    asyncio.run(publish())


def forget_controller(files: Files) -> None:
    database = sqlite3.connect(files.folder / "state" / "worker.db")
    with database:
        database.execute("update controllers set state = 'inactive', last_known_good = null")
    database.close()


def damage_database(files: Files) -> None:
    file = files.folder / "state" / "worker.db"
    file.write_bytes(b"\xff" * file.stat().st_size)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (forget_latch, "the stop is not latched any more"),
        (empty_latch, "set aside as damaged: estop"),
        (forget_answers, "acknowledged and never answered: a-task"),
        (answer_twice, "answered more than once: twice"),
        (forget_controller, "the controller is none, not "),
        (damage_database, "the controller is none, not |set aside as damaged"),
    ],
)
def test_a_loss_is_told(files: Files, worked: Worked, damage: Callable[[Files], None], said: str) -> None:
    damage(files)
    with pytest.raises(NotKept, match=said):
        start(files, worked.expected("a-task"), settle_limit_s=5.0)


def test_a_robot_that_does_not_start_is_told(files: Files, worked: Worked) -> None:
    files.robot_file.write_text("nothing")
    with pytest.raises(NotKept, match="the robot does not start again"):
        start(files, worked.expected())


# --- what must be known when

ACTS = (
    Act("task", "one", 10, 20),
    Act("controller", "first", 20, 30),
    Act("stop", "", 30, 40),
    Act("task", "two", 40, 50),
    Act("reset", "", 50, 60),
    Act("controller", "second", 60, 70),
)


@pytest.mark.parametrize(
    ("place", "tasks", "controllers", "latched"),
    [
        (0, set(), {""}, False),
        (19, set(), {""}, False),
        (20, {"one"}, {"", "first"}, False),
        (30, {"one"}, {"first"}, False),
        (40, {"one"}, {"first"}, True),
        (49, {"one"}, {"first"}, True),
        (50, {"one", "two"}, {"first"}, False),
        (60, {"one", "two"}, {"first", "second"}, False),
        (70, {"one", "two"}, {"second"}, False),
    ],
)
def test_what_was_acknowledged_by_then_must_be_known(
    place: int, tasks: set[str], controllers: set[str], latched: bool
) -> None:
    assert expected_at(place, ACTS) == Expected(frozenset(tasks), frozenset(controllers), latched)


# --- a whole log


def recording(folder: Path, drive: Path, *acts: Act, stages: tuple[int, int] = (0, 0)) -> Recording:
    """A robot that wrote to free space of its data partition, flushed, and wrote once more."""
    for name in (BEFORE, AFTER):
        shutil.copyfile(drive, folder / name)
    partition = partition_of(drive)
    place = (partition.offset_bytes + partition.size_bytes - MIB) // SECTOR
    write = struct.pack("<QQQQ", place, 1, 0, 0).ljust(SECTOR, b"\0") + b"x" * SECTOR
    flush = struct.pack("<QQQQ", 0, 0, 1, 0).ljust(SECTOR, b"\0")
    head = struct.pack("<QQQI", 0x6A736677736872, 1, 3, SECTOR).ljust(SECTOR, b"\0")
    (folder / WRITES).write_bytes(head + write + flush + write)
    return Recording(folder, stages, acts, [{}, {}, {}])


def judged(recorded: Recording, settle_limit_s: float = SETTLE_LIMIT_S) -> dict[str, object]:
    return judge(recorded, broker(), COUNT, 1, settle_limit_s)


def test_a_log_after_which_all_is_there_passes(tmp_path: Path, drive: Path, worked: Worked) -> None:
    acts = [Act("task", "a-task", 0, 1), Act("controller", worked.controller, 1, 2), Act("stop", "", 2, 3)]
    result = judged(recording(tmp_path, drive, *acts))
    assert result["states"] == {"work": 2, "work, in another order": 1}
    assert (result["entries"], result["lost"]) == (3, 0)


def test_a_loss_is_told_with_its_write(tmp_path: Path, drive: Path, worked: Worked) -> None:
    lost = Act("task", "lost", SECTOR, 4 * SECTOR)
    acts = [Act("controller", worked.controller, 0, 1), lost]
    with pytest.raises(
        BenchError, match=r"1 of 3 states have lost something:\nwork, write 2: .*answered: lost"
    ):
        judged(recording(tmp_path, drive, *acts), settle_limit_s=2.0)


def test_in_its_first_start_a_robot_may_know_nothing_yet(tmp_path: Path, drive: Path) -> None:
    (tmp_path / "nothing").mkdir()
    empty = make_drive(tmp_path / "empty.raw", tmp_path / "nothing")
    first = recording(tmp_path, drive, stages=(1 << 40, 1 << 40))
    shutil.copyfile(empty, first.folder / BEFORE)
    assert judged(first)["lost"] == 0
    later = recording(tmp_path, drive)
    shutil.copyfile(make_drive(tmp_path / "none.raw", None), later.folder / BEFORE)
    with pytest.raises(BenchError, match="the data partition is gone"):
        judged(later)
