"""What a power cut may leave of a robot's data: real files of a robot of host processes, in a real ext4."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import shutil
import sqlite3
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
import pytest

from holdfast.broker import RobotBroker, start_broker
from holdfast.config import load_robot_config
from holdfast.host_session import HostSession
from holdfast_bench.data_partition import NotKept, copy_out, data_partition, recover, unpack
from holdfast_bench.data_writes import COUNT, broker_of, judge
from holdfast_bench.qemu.disk import WRITES
from holdfast_bench.restarted import SETTLE_LIMIT_S, Expected, Files, by_task, prove, require_whole
from holdfast_bench.result import BenchError
from holdfast_bench.robot_at_work import AFTER, BEFORE, Act, Recording
from holdfast_image.boards import AMD64
from holdfast_image.build import Image
from holdfast_image.builder import Builder
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
    stop: int
    answers: dict[str, str]

    def expected(self, *tasks: str) -> Expected:
        return Expected(frozenset(tasks), frozenset({self.controller}), self.stop, self.answers)


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Worked:
    place = Path(tempfile.mkdtemp(prefix="hf-"))  # sockets need a short path
    known: dict[str, Any] = {}

    async def work() -> None:
        session = HostSession(ROBOT, tmp_path_factory.mktemp("logs"), place)
        try:
            await session.start(lambda _: None)
            await session.wait_ready(120.0)
            deployed = await session.target.deploy(CONTROLLER.stem, "", CONTROLLER.read_bytes())
            client = await nats.connect(session.broker_url)
            answers = await client.subscribe(f"holdfast.{session.robot_id}.result")
            body = {"id": "a-task", "kind": "status_report", "requires": [], "args": {}}
            await client.jetstream().publish(f"holdfast.{session.robot_id}.task", json.dumps(body).encode())
            answer = json.loads((await answers.next_msg(timeout=60.0)).data)
            await client.close()
            known["controller"] = deployed["sha256"]
            known["answers"] = {task: given for task, (given,) in by_task([answer]).items()}
            known["stop"] = await session.target.estop("a stop")
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
    return Worked(var, **known)


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
    target = tmp_path / "with a space"
    target.mkdir()
    unpack(data, ["/lib/holdfast", "/lib/of nobody", "/lib/overlay"], target)
    assert sorted(path.name for path in target.iterdir()) == ["holdfast", "overlay"]
    there = {path.relative_to(worked.var / "lib") for path in (worked.var / "lib").rglob("*")}
    assert {path.relative_to(target) for path in target.rglob("*")} == there
    for path in there:
        if (target / path).is_file():
            assert (target / path).read_bytes() == (worked.var / "lib" / path).read_bytes()


def test_a_sound_file_system_keeps_its_files(tmp_path: Path, data: Path) -> None:
    recover(data)
    unpack(data, ["/lib/overlay"], tmp_path)
    assert (tmp_path / "overlay" / "etc" / "holdfast" / "robot.toml").read_bytes() == ROBOT.read_bytes()


def test_a_file_system_that_a_start_would_not_mend_is_noticed(tmp_path: Path, data: Path) -> None:
    with data.open("r+b") as stream:
        stream.write(b"\xff" * 2 * MIB)
    with pytest.raises(NotKept, match="the data partition is damaged"):
        recover(data)
    with pytest.raises(NotKept, match="cannot be read"):
        unpack(data, ["/lib/holdfast"], tmp_path)


def test_a_machine_that_is_too_old_to_check_loses_nothing(data: Path) -> None:
    request = "set_super_value feature_incompat 0x80000000"
    subprocess.run(["debugfs", "-w", "-R", request, data], check=True, env=PATH)
    with pytest.raises(BenchError, match="e2fsck is too old"):
        recover(data)


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


def in_database(files: Files, *statements: str) -> None:
    with closing(sqlite3.connect(files.folder / "state" / "worker.db")) as database, database:
        for statement in statements:
            database.execute(statement)


def answer_anew(files: Files) -> None:
    """Forget the answer and its way to the fleet, but not the task."""
    shutil.rmtree(files.folder / "broker" / "jetstream" / "jetstream")
    in_database(files, "delete from results", "update tasks set state = 'queued'")


def stop_for_another_reason(files: Files) -> None:
    """Have the record changed by somebody, which its checksum tells: a stop is assumed, and it is another one."""
    record = files.folder / "state" / "safety" / "estop.json"
    record.write_text(record.read_text().replace("operator", "temperature"))


def forget_controller(files: Files) -> None:
    in_database(files, "update controllers set state = 'inactive', last_known_good = null")


def damage_database(files: Files) -> None:
    file = files.folder / "state" / "worker.db"
    file.write_bytes(b"\xff" * file.stat().st_size)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (forget_latch, r"stop \d+ of the operator is not latched any more"),
        (answer_anew, "answered anew, though the fleet had the answer: a-task"),
        (stop_for_another_reason, r"stop \d+ of the operator is not latched any more"),
        (empty_latch, r"stop \d+ of the operator is not latched any more"),
        (forget_answers, "acknowledged and never answered: a-task"),
        (answer_twice, "answered more than once: twice"),
        (forget_controller, "the controller is none, not "),
        (damage_database, "the controller is none, not "),
    ],
)
def test_a_loss_is_told(files: Files, worked: Worked, damage: Callable[[Files], None], said: str) -> None:
    damage(files)
    with pytest.raises(NotKept, match=said):
        start(files, worked.expected("a-task"), settle_limit_s=5.0)


def test_a_database_that_is_damaged_is_told(files: Files) -> None:
    damage_database(files)
    with pytest.raises(NotKept, match=r"set aside as damaged: worker\.db"):
        start(files, Expected(frozenset(), frozenset({""}), None))


def test_a_robot_that_does_not_start_is_told(files: Files, worked: Worked) -> None:
    files.robot_file.write_text("nothing")
    with pytest.raises(NotKept, match="the robot does not start again"):
        start(files, worked.expected())


# --- what must be known when

ACTS = (
    Act("task", "one", 10, 20),
    Act("controller", "first", 20, 30),
    Act("stop", "7", 30, 40),
    Act("task", "two", 40, 50),
    Act("reset", "", 50, 60),
    Act("controller", "second", 60, 70),
)
ANSWERS = ((45, {"one": "done"}), (80, {"one": "done", "two": "done too"}))


@pytest.mark.parametrize(
    ("place", "tasks", "controllers", "stop", "answered"),
    [
        (0, set(), {""}, None, set()),
        (19, set(), {""}, None, set()),
        (20, {"one"}, {"", "first"}, None, set()),
        (30, {"one"}, {"first"}, None, set()),
        (40, {"one"}, {"first"}, 7, set()),
        (49, {"one"}, {"first"}, 7, {"one"}),
        (50, {"one", "two"}, {"first"}, None, {"one"}),
        (60, {"one", "two"}, {"first", "second"}, None, {"one"}),
        (80, {"one", "two"}, {"second"}, None, {"one", "two"}),
    ],
)
def test_what_was_acknowledged_by_then_must_be_known(
    place: int, tasks: set[str], controllers: set[str], stop: int | None, answered: set[str]
) -> None:
    expected = Recording(Path(), (0, 0), ACTS, ANSWERS, ()).expected_at(place)
    assert (set(expected.tasks), set(expected.controllers), expected.stop) == (tasks, controllers, stop)
    assert expected.answers.keys() == answered


# --- a whole log


def recording(
    folder: Path,
    drive: Path,
    *acts: Act,
    stages: tuple[int, int] = (0, 0),
    seen: dict[str, str] | None = None,
) -> Recording:
    """A robot that wrote to free space of its data partition, flushed, and wrote once more."""
    for name in (BEFORE, AFTER):
        shutil.copyfile(drive, folder / name)
    partition = partition_of(drive)
    place = (partition.offset_bytes + partition.size_bytes - MIB) // SECTOR
    write = struct.pack("<QQQQ", place, 1, 0, 0).ljust(SECTOR, b"\0") + b"x" * SECTOR
    flush = struct.pack("<QQQQ", 0, 0, 1, 0).ljust(SECTOR, b"\0")
    head = struct.pack("<QQQI", 0x6A736677736872, 1, 3, SECTOR).ljust(SECTOR, b"\0")
    (folder / WRITES).write_bytes(head + write + flush + write)
    return Recording(folder, stages, acts, [], [seen or {}] * 3)


def judged(recorded: Recording, settle_limit_s: float = SETTLE_LIMIT_S) -> dict[str, object]:
    return judge(recorded, broker(), COUNT, 1, settle_limit_s)


def test_a_log_after_which_all_is_there_passes(tmp_path: Path, drive: Path, worked: Worked) -> None:
    acts = [
        Act("task", "a-task", 0, 1),
        Act("controller", worked.controller, 1, 2),
        Act("stop", str(worked.stop), 2, 3),
    ]
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


def remove(drive: Path, path: str) -> None:
    """Remove a file of a drive's data partition."""
    place = f"{drive}?offset={partition_of(drive).offset_bytes}"
    subprocess.run(["debugfs", "-w", "-R", f"rm {path}", place], check=True, env=PATH)


@pytest.mark.parametrize("path", ["lib/holdfast/nats/life", "lib/holdfast/controllers/{controller}.cwasm"])
def test_a_file_that_must_be_there_is_missed(
    tmp_path: Path, drive: Path, files: Files, worked: Worked, path: str
) -> None:
    path = path.format(controller=worked.controller)
    acts = [Act("controller", worked.controller, 0, 1)]
    first = recording(tmp_path, drive, *acts, seen=files.digests(), stages=(0, 1 << 40))
    recorded = dataclasses.replace(first, seen=[{}, files.digests(), {}])
    assert judged(recorded)["states"] == {"start": 2, "start, in another order": 1}
    for folder in tmp_path.glob("state-*"):
        shutil.rmtree(folder)
    shutil.copyfile(drive, tmp_path / BEFORE)
    remove(tmp_path / BEFORE, path)
    if "controllers" in path:
        with pytest.raises(BenchError, match=r"3 of 3 states have lost something:\nstart.*\.cwasm is gone"):
            judged(recorded)
    else:  # it had none before
        assert judged(recorded)["lost"] == 0
        with pytest.raises(BenchError, match="nats/life is gone"):
            judged(dataclasses.replace(recorded, seen=[files.digests()] * 3))


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


# --- what reads the streams


def image_with(folder: Path, broker: bytes | None) -> Image:
    """Lay out a build whose root file system has this nats-server."""
    root = folder / "root"
    (root / "usr/sbin").mkdir(parents=True)
    if broker is not None:
        (root / "usr/sbin/nats-server").write_bytes(broker)
        (root / "usr/sbin/nats-server").chmod(0o755)
    (folder / "update").mkdir()
    file = folder / "update/holdfast_1.2.0.root.0123.raw"
    subprocess.run(["mkfs.erofs", "--quiet", file, root], check=True, env=PATH)
    return Image(folder, "key", "qemu-x86-64", "bench", Builder(folder, "tree", AMD64), True, "image")


def test_the_streams_are_read_by_the_robots_own_server(tmp_path: Path) -> None:
    (tmp_path / "bench").mkdir()
    found = broker_of(image_with(tmp_path, b"#!/bin/sh\necho mine\n"), tmp_path / "bench")
    assert subprocess.run([found], check=True, capture_output=True).stdout == b"mine\n"
    assert [file.name for file in (tmp_path / "bench").iterdir()] == ["nats-server"]


@pytest.mark.parametrize(
    ("broker", "said"),
    [(None, "has no usr/sbin/nats-server"), (b"\x7fELF of another", "does not run on this machine")],
)
def test_a_server_that_cannot_read_them_here_is_told(tmp_path: Path, broker: bytes | None, said: str) -> None:
    (tmp_path / "bench").mkdir()
    with pytest.raises(BenchError, match=said):
        broker_of(image_with(tmp_path, broker), tmp_path / "bench")
