"""The worker's database: real SQLite, real damage, a disk that is really full, a process that is really killed."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlite_utils import Database

from holdfast.errors import StoreError, StoreFullError
from holdfast.migrations import STEPS
from holdfast.store import Store

SHA = "a" * 64
OTHER = "b" * 64


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "state" / "worker.db")
    yield opened
    opened.close()


def stage(store: Store, sha256: str, name: str = "sine") -> None:
    store.stage_controller(
        sha256=sha256, name=name, version="1", source=b"(module)", cwasm=Path(f"/controllers/{sha256}.cwasm")
    )


def test_what_is_acknowledged_is_on_disk(store: Store) -> None:
    with sqlite3.connect(store.path) as other:
        assert other.execute("pragma journal_mode").fetchone() == ("wal",)
    assert store._db.execute("pragma synchronous").fetchone() == (2,)  # FULL
    assert store.quick_check() == "ok"
    assert store.set_aside is None


def test_one_controller_is_active(store: Store) -> None:
    stage(store, SHA)
    assert store.active_controller() is None
    store.activate_controller(SHA)
    stage(store, OTHER)
    store.activate_controller(OTHER)
    active = store.active_controller()
    assert active is not None
    assert active.sha256 == OTHER
    first = store.controller(SHA)
    assert first is not None
    assert first.state == "inactive"
    store.deactivate_controllers()
    assert store.active_controller() is None


def test_last_known_good_is_never_a_faulted_one(store: Store) -> None:
    for sha256 in (SHA, OTHER):
        stage(store, sha256)
        store.activate_controller(sha256)
        store.mark_controller_good(sha256)
    good = store.last_known_good(besides=OTHER)
    assert good is not None
    assert good.sha256 == SHA
    store.mark_controller_faulted(SHA, "trap: unreachable")
    assert store.last_known_good(besides=OTHER) is None
    faulted = store.controller(SHA)
    assert faulted is not None
    assert (faulted.state, faulted.fault) == ("faulted", "trap: unreachable")


def test_what_proved_good_last_is_known_though_the_clock_went_back(store: Store) -> None:
    for sha256 in (SHA, OTHER):
        stage(store, sha256)
        store.mark_controller_good(sha256)
    with sqlite3.connect(store.path) as other:
        other.execute(
            "update controllers set last_known_good = '2099-01-01T00:00:00.000+00:00' where sha256 = ?", [SHA]
        )
    good = store.last_known_good()
    assert good is not None
    assert good.sha256 == OTHER
    store.mark_controller_good(SHA)
    again = store.last_known_good()
    assert again is not None
    assert again.sha256 == SHA


def test_deploying_a_faulted_controller_again_is_a_fresh_start(store: Store) -> None:
    stage(store, SHA)
    store.mark_controller_faulted(SHA, "trap")
    stage(store, SHA)
    record = store.controller(SHA)
    assert record is not None
    assert (record.state, record.fault) == ("staged", None)


def test_a_controller_that_failed_meanwhile_does_not_become_active(store: Store) -> None:
    stage(store, SHA)
    store.mark_controller_faulted(SHA, "trap")
    store.activate_controller(SHA)
    record = store.controller(SHA)
    assert record is not None
    assert (record.state, record.fault) == ("faulted", "trap")
    assert store.active_controller() is None


def test_old_controllers_are_forgotten_but_not_the_good_one(store: Store) -> None:
    stage(store, SHA)
    store.activate_controller(SHA)
    store.mark_controller_good(SHA)
    for number in range(120):
        sha256 = f"{number:064d}"
        stage(store, sha256)
        store.activate_controller(sha256)
    known = store.controller_digests()
    assert len(known) <= 101
    assert SHA in known
    assert f"{119:064d}" in known
    assert f"{0:064d}" not in known


def test_a_task_is_journalled_once(store: Store) -> None:
    assert store.add_task("t1", "deploy", {"a": 1}, requires_fleet=False)
    assert not store.add_task("t1", "deploy", {"a": 2}, requires_fleet=False)
    task = store.take_task(fleet_link=True)
    assert task is not None
    assert task.payload == {"a": 1}
    assert store.take_task(fleet_link=True) is None


def test_a_task_waits_for_the_fleet_link_and_others_do_not_wait_for_it(store: Store) -> None:
    store.add_task("far", "status_report", {}, requires_fleet=True)
    store.add_task("near", "status_report", {}, requires_fleet=False)
    first = store.take_task(fleet_link=False)
    assert first is not None
    assert first.id == "near"
    assert store.take_task(fleet_link=False) is None
    second = store.take_task(fleet_link=True)
    assert second is not None
    assert second.id == "far"


def test_an_interrupted_task_runs_again_and_is_counted(store: Store) -> None:
    store.add_task("t1", "status_report", {}, requires_fleet=False)
    store.take_task(fleet_link=False)
    assert store.requeue_interrupted_tasks() == 1
    again = store.take_task(fleet_link=False)
    assert again is not None
    assert again.attempts == 2


def test_a_task_that_is_put_back_is_the_next_one_and_was_not_tried(store: Store) -> None:
    for task in ("t1", "t2"):
        store.add_task(task, "status_report", {}, requires_fleet=False)
    store.take_task(fleet_link=False)
    store.put_back_task("t1")
    again = store.take_task(fleet_link=False)
    assert again is not None
    assert (again.id, again.attempts) == ("t1", 1)


def test_of_a_task_that_is_done_only_its_id_takes_room(store: Store) -> None:
    store.add_task("t1", "deploy", {"source": "x" * 1_000_000}, requires_fleet=False)
    store.take_task(fleet_link=False)
    store.finish_task("t1", {"ok": True})
    with sqlite3.connect(store.path) as other:
        assert other.execute("select length(payload) from tasks").fetchone()[0] < 10
    assert not store.add_task("t1", "deploy", {}, requires_fleet=False)


def test_of_published_results_the_newest_stay_and_of_others_all(store: Store) -> None:
    for number in range(1005):
        task = f"t{number}"
        store.add_task(task, "status_report", {}, requires_fleet=False)
        store.finish_task(task, {"ok": True})
        if number != 1:
            store.mark_result_published(task)
    with sqlite3.connect(store.path) as other:
        kept = [row[0] for row in other.execute("select task from results order by number")]
    assert kept == ["t1", *(f"t{number}" for number in range(5, 1005))]


def test_looking_for_a_task_reads_no_tasks_that_are_done(store: Store) -> None:
    with sqlite3.connect(store.path) as other:
        for statement in (
            "select id from tasks where state = 'queued' and requires_fleet = 0 order by rowid limit 1",
            "select state, count(*) from tasks group by state",
        ):
            plan = [row[3] for row in other.execute(f"explain query plan {statement}")]
            assert len(plan) == 1
            assert "USING" in plan[0]
            assert "INDEX" in plan[0]


def test_end_and_result_are_one_step(store: Store) -> None:
    store.add_task("t1", "status_report", {}, requires_fleet=False)
    store.take_task(fleet_link=False)
    store.finish_task("t1", {"ok": True})
    with pytest.raises(StoreError):
        store.finish_task("t1", {"ok": False})  # a second result of one task
    result = store.unpublished_result()
    assert result is not None
    assert result.payload == b'{"ok": true}'
    store.mark_result_published("t1")
    assert store.unpublished_result() is None
    assert store.task_counts() == {"queued": 0, "running": 0, "done": 1, "results_unpublished": 0}


def test_unfinished_deployments_are_found(store: Store) -> None:
    store.journal("d1", SHA, "nats", "received")
    store.journal("d1", SHA, "nats", "active")
    store.journal("d2", OTHER, "nats", "received")
    assert [entry["deployment"] for entry in store.unfinished_deployments(frozenset({"active"}))] == ["d2"]
    assert [entry["step"] for entry in store.deployments()] == ["received", "active", "received"]


def test_counters_and_facts_survive(tmp_path: Path) -> None:
    path = tmp_path / "worker.db"
    store = Store.open(path)
    assert store.count("tasks_refused") == 1
    assert store.count("tasks_refused", 2) == 3
    store.remember("x", "1")
    store.remember("x", "2")
    store.close()
    again = Store.open(path)
    assert again.counters() == {"tasks_refused": 3}
    assert again.fact("x") == "2"
    assert again.fact("y") is None
    again.close()


@pytest.mark.parametrize("damage", ["not a database", "torn pages"])
def test_a_damaged_database_is_set_aside_and_told(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "worker.db"
    store = Store.open(path)
    for number in range(200):
        stage(store, f"{number:064d}")
    store.close()
    content = bytearray(path.read_bytes())
    if damage == "not a database":
        content = bytearray(b"this is not SQLite at all " * 100)
    else:
        content[4096 * 3 : 4096 * 6] = os.urandom(4096 * 3)
    path.write_bytes(content)
    opened = Store.open(path)
    assert opened.set_aside is not None
    assert opened.set_aside.read_bytes() == bytes(content)
    assert opened.quick_check() == "ok"
    assert opened.controller_digests() == set()
    opened.close()
    assert Store.open(path).set_aside is None


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "worker.db"
    Store.open(path).close()
    with sqlite3.connect(path) as other:
        other.execute("pragma user_version = 99")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="schema 99"):
        Store.open(path)
    assert path.read_bytes() == before


def test_a_database_of_the_first_schema_is_taken_along(tmp_path: Path) -> None:
    path = tmp_path / "worker.db"
    first = sqlite3.connect(path)
    STEPS[0](Database(first))
    first.execute("pragma user_version = 1")
    first.execute("insert into facts values ('x', '1')")
    first.commit()
    first.close()
    store = Store.open(path)
    assert store.fact("x") == "1"
    outcome = {"generation": 2, "stage": "canary", "result": "rejected", "reason": "not_finite", "tick": 130}
    store.record_stage_outcome(
        "d1", "s1", {**outcome, "channel": "elbow", "value": None, "message": "canary: ..."}
    )
    store.record_stage_outcome("d2", "s2", {"stage": "active", "result": "active"})
    store.close()
    rejected, active = Store.open(path).stage_outcomes()
    assert (rejected["deployment"], rejected["channel"], rejected["tick"]) == ("d1", "elbow", 130)
    assert (active["sha256"], active["result"], active["message"]) == ("s2", "active", None)


def test_a_database_of_the_second_schema_keeps_what_proved_good(tmp_path: Path) -> None:
    path = tmp_path / "worker.db"
    second = sqlite3.connect(path)
    for step in STEPS[:2]:
        step(Database(second))
    second.execute("pragma user_version = 2")
    for sha256, good in ((SHA, "2026-02-01"), (OTHER, "2026-01-01"), ("c" * 64, None)):
        second.execute(
            "insert into controllers (sha256, name, version, source, state, added, changed, last_known_good, cwasm) "
            "values (?, 'n', '1', x'00', 'inactive', 't', 't', ?, '/c')",
            [sha256, good],
        )
    second.execute("insert into tasks values ('old', 'deploy', '{\"a\": 1}', 0, 'done', 1, 't', 't')")
    second.execute("insert into tasks values ('new', 'deploy', '{\"a\": 2}', 0, 'queued', 0, 't', 't')")
    second.commit()
    second.close()
    store = Store.open(path)
    newest = store.last_known_good()
    assert newest is not None
    assert newest.sha256 == SHA
    before = store.last_known_good(besides=SHA)
    assert before is not None
    assert before.sha256 == OTHER
    task = store.take_task(fleet_link=False)
    assert task is not None
    assert (task.id, task.payload) == ("new", {"a": 2})
    store.close()


def test_a_directory_in_its_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "worker.db").mkdir()
    with pytest.raises(StoreError, match=r"worker\.db"):
        Store.open(tmp_path / "worker.db")


FILL = """
    import resource, signal, sys
    from pathlib import Path
    from holdfast.errors import StoreFullError, StoreError
    from holdfast.store import Store
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    store = Store.open(Path(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
    done = 0
    try:
        while done < 5000:
            store.add_task(f"t{done}", "deploy", {"x": "y" * 500}, requires_fleet=False)
            done += 1
    except (StoreFullError, StoreError) as error:
        print(done, type(error).__name__, flush=True)
"""


def run_python(code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_file_that_may_not_grow_loses_nothing_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "worker.db"
    ran = run_python(FILL, str(path))
    done, error = ran.stdout.split()
    assert error in {"StoreFullError", "StoreError"}, ran.stderr
    assert int(done) > 0
    store = Store.open(path)
    assert store.set_aside is None
    assert store.task_counts()["queued"] == int(done)
    store.close()


def fill(store: Store) -> int:
    """Add tasks until the disk is full; returns how many were acknowledged."""
    acknowledged = 0

    def add_for_ever() -> None:
        nonlocal acknowledged
        while True:
            store.add_task(f"t{acknowledged}", "deploy", {"x": "y" * 2000}, requires_fleet=False)
            acknowledged += 1

    with pytest.raises(StoreFullError, match="no space is left"):
        add_for_ever()
    return acknowledged


def test_a_full_file_system_is_told_and_work_goes_on_when_there_is_space(full_disk: Path) -> None:
    store = Store.open(full_disk / "worker.db")
    ballast = full_disk / "ballast"
    ballast.write_bytes(b"x" * 2_000_000)
    done = fill(store)
    assert store.task_counts()["queued"] == done
    ballast.unlink()
    assert store.add_task("after", "deploy", {}, requires_fleet=False)
    store.close()
    again = Store.open(full_disk / "worker.db")
    assert again.set_aside is None
    assert again.task_counts()["queued"] == done + 1
    again.close()


WRITE = """
    import sys
    from pathlib import Path
    from holdfast.store import Store
    store = Store.open(Path(sys.argv[1]))
    number = 0
    while True:
        store.add_task(f"t{number}", "deploy", {}, requires_fleet=False)
        print(number, flush=True)
        number += 1
"""


@pytest.mark.parametrize("acknowledged", [1, 7, 40])
def test_kill_at_any_moment_loses_nothing_acknowledged(tmp_path: Path, acknowledged: int) -> None:
    path = tmp_path / "worker.db"
    writer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITE), str(path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    last = -1
    for line in writer.stdout:
        last = int(line)
        if last >= acknowledged:
            break
    writer.send_signal(signal.SIGKILL)
    last = max([last, *map(int, writer.stdout.read().split("\n")[:-1])])
    writer.wait()
    writer.stdout.close()
    store = Store.open(path)
    assert store.set_aside is None
    assert store.task_counts()["queued"] >= last + 1
    store.close()
