"""`holdfast robot evidence` on records in the format that the safety daemon writes."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from holdfast.cli import main
from holdfast.errors import ConfigError
from holdfast.evidence import EvidenceError, evidence_files, load_evidence

FIELDS: list[dict[str, Any]] = [
    {"name": "number", "dtype": "<u8"},
    {"name": "mono_ns", "dtype": "<i8"},
    {"name": "latch_sequence", "dtype": "<u8"},
    {"name": "cause", "dtype": "<u4"},
    {"name": "standing", "dtype": "<u4"},
    {"name": "flags", "dtype": "<u4"},
    {"name": "core_cycle", "dtype": "<u8"},
    {"name": "core_cycle_time_ns", "dtype": "<i8"},
    {"name": "core_mode", "dtype": "<u4"},
    {"name": "controller_fault", "dtype": "<u4"},
    {"name": "state", "dtype": "<f8", "count": 1},
    {"name": "state_mono_ns", "dtype": "<i8", "count": 1},
    {"name": "sent", "dtype": "<f8", "count": 2},
]


def write(directory: Path, stop: int, *, version: int = 1) -> Path:
    dtype = np.dtype(
        [(f["name"], f["dtype"], (f["count"],)) if "count" in f else (f["name"], f["dtype"]) for f in FIELDS]
    )
    entries = np.zeros(200, dtype=dtype)
    entries["number"] = np.arange(1, 201)
    entries["mono_ns"] = 1_000_000 * np.arange(1, 201)
    entries["latch_sequence"][100:] = stop
    entries["cause"][100:] = entries["standing"][100:] = 1
    entries["flags"] = 0b01
    entries["flags"][100] = 0b11
    entries["core_mode"][:100] = 1
    entries["sent"] = [1.5, np.nan]
    entries["state_mono_ns"] = 1
    data = entries.tobytes()
    header = {
        "format": "holdfast-evidence",
        "version": version,
        "robot": "arm-01",
        "stop": stop,
        "cause": "operator",
        "stop_mono_ns": 101_000_000,
        "saved": "2026-01-02T03:04:05Z",
        "entries": 200,
        "missing": 3,
        "fields": FIELDS,
        "commands": ["joint", "spindle"],
        "states": ["joint.position"],
        "flags": ["core_attached", "stop_taken"],
        "causes": ["none", "operator"],
        "modes": ["disarmed", "armed"],
        "controller_faults": ["none"],
        "crc32": zlib.crc32(data),
    }
    file = directory / f"stop-{stop:010}.evidence"
    file.write_bytes(json.dumps(header).encode() + b"\n" + data)
    return file


def call(*arguments: str) -> Any:
    return CliRunner().invoke(main, ["robot", "evidence", *arguments])


def test_a_list_names_each_stop_oldest_first(tmp_path: Path) -> None:
    for stop in (12, 2):
        write(tmp_path, stop)
    (tmp_path / "stop-0000000003.evidence.tmp").write_text("half")
    done = call("list", "--directory", str(tmp_path), "--json")
    assert done.exit_code == 0, done.output
    records = json.loads(done.output)["records"]
    assert [record["stop"] for record in records] == [2, 12]
    assert records[0]["cause"] == "operator"
    assert records[0]["missing"] == 3
    assert "operator" in call("list", "--directory", str(tmp_path)).output


def test_no_directory_is_no_stop(tmp_path: Path) -> None:
    assert evidence_files(tmp_path / "none") == {}
    assert "no stop has been recorded" in call("list", "--directory", str(tmp_path / "none")).output


def test_a_record_is_shown_around_its_stop(tmp_path: Path) -> None:
    write(tmp_path, 7)
    done = call("show", "7", "--directory", str(tmp_path), "--json")
    assert done.exit_code == 0, done.output
    record = json.loads(done.output)
    columns = record["columns"]
    assert len(columns["time_ms"]) == 200
    assert columns["time_ms"][100] == 0.0
    assert columns["core_mode"][99:101] == ["armed", "disarmed"]
    assert columns["standing"][99:101] == ["none", "operator"]
    assert columns["flags"][100] == ["core_attached", "stop_taken"]
    assert columns["sent"][0] == [1.5, None]
    assert record["commands"] == ["joint", "spindle"]


def test_the_table_has_every_entry_near_the_stop(tmp_path: Path) -> None:
    write(tmp_path, 7)
    shown = CliRunner().invoke(
        main, ["robot", "evidence", "show", "7", "--directory", str(tmp_path)], env={"COLUMNS": "250"}
    )
    assert shown.exit_code == 0, shown.output
    for time in ("-5.0", "-1.0", "+0.0", "+5.0", "-100.0"):
        assert time in shown.output
    assert "-99.0" not in shown.output


def test_a_stop_without_a_record_names_those_there_are(tmp_path: Path) -> None:
    write(tmp_path, 7)
    done = call("show", "8", "--directory", str(tmp_path), "--json")
    assert done.exit_code == 2
    assert "there are: 7" in json.loads(done.output)["error"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: content[:-1] + b"\xff",
        lambda content: content[content.index(b"\n") + 1 :],
        lambda content: b"{}\n" + content,
        lambda content: b"",
        lambda content: content.replace(b"holdfast-evidence", b"holdfast-somethin"),
        lambda content: content.replace(b'"<u8"', b'"<x8"'),
    ],
)
def test_a_damaged_record_is_named(tmp_path: Path, damage: Any) -> None:
    file = write(tmp_path, 7)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(EvidenceError, match=str(file)):
        load_evidence(file)
    listed = json.loads(call("list", "--directory", str(tmp_path), "--json").output)["records"]
    assert str(file) in listed[0]["error"]


def test_another_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="version 2"):
        load_evidence(write(tmp_path, 7, version=2))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_evidence(tmp_path / "stop-0000000001.evidence")
