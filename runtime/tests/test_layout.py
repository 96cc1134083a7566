"""Shared-memory segments: the layout as the core prints it, and as numpy reads it."""

import asyncio
import mmap
import os
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.daemons import CoreClient, SafetyClient
from holdfast.errors import UnreachableError
from holdfast.host_session import HostSession
from holdfast.layout import Layout, SegmentReader, load_layout, summarise
from holdfast.modes import MOVING


@pytest.fixture(scope="module")
def layout() -> Layout:
    return asyncio.run(load_layout())


@pytest.fixture
def segment(layout: Layout) -> Iterator[tuple[int, "mmap.mmap"]]:
    """A state segment as the core would make it, written here."""
    fd = os.memfd_create("state")
    os.ftruncate(fd, layout.state.size)
    writable = mmap.mmap(fd, layout.state.size)
    writable[0:16] = struct.pack("<QII", layout.state.magic, layout.state.version, layout.state.size)
    yield fd, writable
    writable.close()
    os.close(fd)


def test_the_layout_has_what_python_reads(layout: Layout) -> None:
    fields: Mapping[str, Any] = layout.state.dtype.fields or {}
    assert fields["data.counters"][0].shape == (64,)
    assert fields["data.state"][0].base == np.dtype("<f8")
    assert layout.state.dtype.itemsize == layout.state.size
    assert layout.enums["Mode"][0] == "disarmed"
    assert set(layout.enums["Mode"].values()) >= MOVING
    assert layout.counter_names[0] == "overruns"
    assert len(set(layout.counter_names)) == len(layout.counter_names)


def test_a_consistent_sample_is_read(layout: Layout, segment: tuple[int, "mmap.mmap"]) -> None:
    fd, memory = segment
    fields: Mapping[str, Any] = layout.state.dtype.fields or {}
    offset = fields["data.cycle"][1]
    memory[offset : offset + 8] = struct.pack("<Q", 4711)
    reader = SegmentReader(layout.state, fd)
    assert int(reader.read()["cycle"]) == 4711
    reader.close()


def test_while_the_writer_is_in_it_the_old_sample_stays_and_is_counted(
    layout: Layout, segment: tuple[int, "mmap.mmap"]
) -> None:
    fd, memory = segment
    fields: Mapping[str, Any] = layout.state.dtype.fields or {}
    cycle, sequence = fields["data.cycle"][1], fields["sequence"][1]
    reader = SegmentReader(layout.state, fd)
    memory[cycle : cycle + 8] = struct.pack("<Q", 1)
    assert int(reader.read()["cycle"]) == 1
    memory[sequence : sequence + 8] = struct.pack("<Q", 3)  # odd: being written
    memory[cycle : cycle + 8] = struct.pack("<Q", 2)
    assert int(reader.read()["cycle"]) == 1
    assert reader.retries_exhausted == 1
    memory[sequence : sequence + 8] = struct.pack("<Q", 4)
    assert int(reader.read()["cycle"]) == 2
    reader.close()


def test_a_segment_that_never_settles_is_no_sample(layout: Layout, segment: tuple[int, "mmap.mmap"]) -> None:
    fd, memory = segment
    fields: Mapping[str, Any] = layout.state.dtype.fields or {}
    sequence = fields["sequence"][1]
    memory[sequence : sequence + 8] = struct.pack("<Q", 1)
    with pytest.raises(UnreachableError, match="changed during every attempt"):
        SegmentReader(layout.state, fd).read()


@pytest.mark.parametrize(
    "header",
    [struct.pack("<QII", 1, 1, 1), struct.pack("<QII", 0x4554415453464B48, 999, 0)],
    ids=["magic", "version"],
)
def test_another_version_is_refused(layout: Layout, segment: tuple[int, "mmap.mmap"], header: bytes) -> None:
    fd, memory = segment
    memory[0:16] = header
    with pytest.raises(UnreachableError, match="mixed versions"):
        SegmentReader(layout.state, fd)


def test_a_short_segment_is_refused(layout: Layout) -> None:
    fd = os.memfd_create("short")
    os.ftruncate(fd, 100)
    with pytest.raises(UnreachableError, match="100 bytes"):
        SegmentReader(layout.state, fd)
    os.close(fd)


def test_the_running_daemons_segments(
    layout: Layout, on_robot: Callable[[Callable[[HostSession], Awaitable[None]]], None]
) -> None:
    async def scenario(robot: HostSession) -> None:
        async with await CoreClient.connect(robot.run_directory) as core:
            reader = await core.segment(layout)
            first = reader.read()
            while int(reader.read()["cycle"]) < int(first["cycle"]) + 100:
                await asyncio.sleep(0.01)
            assert str(int(first["boot_id"])) == str((await core.status())["boot_id"])
            wake = reader.histogram("wake")
            assert wake.count > 100
            assert wake.p50 is not None
            assert wake.p99 is not None
            assert wake.max is not None
            assert 0 < wake.p50 <= wake.p99 <= wake.max
            reader.close()
        async with await SafetyClient.connect(robot.run_directory) as safety:
            beats = await safety.segment(layout)
            first = beats.read()
            while int(beats.read()["beat"]) <= int(first["beat"]):
                await asyncio.sleep(0.01)
            assert int(beats.read()["latch_sequence"]) == 0
            beats.close()

    on_robot(scenario)


@given(st.lists(st.integers(0, 12_000_000), min_size=1, max_size=300))
def test_percentiles_are_the_upper_edges_of_the_right_bins(samples_ns: list[int]) -> None:
    bins = np.zeros(10_001, dtype=np.uint64)
    for sample in samples_ns:
        bins[min(sample // 1000, 10_000)] += 1
    summary = summarise(bins, max(samples_ns))
    assert summary.count == len(samples_ns)
    assert summary.max == max(samples_ns) / 1000
    for share, found in ((0.50, summary.p50), (0.99, summary.p99)):
        assert found is not None
        exact = float(np.quantile(np.array(samples_ns), share, method="inverted_cdf"))
        if exact >= 10_000_000:
            assert found == summary.max
        else:
            assert exact / 1000 <= found + 1e-9
            assert found <= min(exact // 1000 + 1, summary.max)


def test_no_samples_have_no_percentiles() -> None:
    assert summarise(np.zeros(10_001, dtype=np.uint64), 0).as_dict() == {
        "p50": None,
        "p99": None,
        "max": None,
    }


def test_a_core_that_prints_nonsense_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "holdfast-control"
    fake.write_text("#!/bin/sh\necho nonsense\n")
    fake.chmod(0o755)
    monkeypatch.setenv("HOLDFAST_BIN_DIR", str(tmp_path))
    with pytest.raises(UnreachableError, match="printed no layout"):
        asyncio.run(load_layout())
