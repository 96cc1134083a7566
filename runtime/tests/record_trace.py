"""Record a joint of a running robot as CSV: t_s,position,velocity, a row for each new sample.

Starts the arm of examples/robots as processes on this machine (simulated drives with encoder noise), deploys the sine
controller, arms it, and writes what the state segment shows to runtime/tests/traces/shoulder_pan.csv.

Example: .venv/bin/python runtime/tests/record_trace.py
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import tempfile
from pathlib import Path
from typing import Any

from holdfast.daemons import CoreClient
from holdfast.host_session import HostSession
from holdfast.layout import SegmentReader, load_layout
from holdfast.selfcheck import deploy_and_arm

REPOSITORY = Path(__file__).parents[2]
ROBOT = REPOSITORY / "examples" / "robots" / "arm.toml"
CONTROLLER = REPOSITORY / "examples" / "controllers" / "sine.wat"
TRACE = Path(__file__).parent / "traces" / "shoulder_pan.csv"
JOINT = "shoulder_pan"
ROWS = 2500
MOVES = 0.1  # rad/s: the recording begins when the controller moves the joint
READY_S = 120.0


def sample_rows(reader: SegmentReader, position: int, velocity: int) -> list[list[Any]]:
    """Read the segment as fast as possible until ROWS samples of the joint in motion were seen."""
    while abs(float(reader.read()["state"][velocity])) < MOVES:
        pass
    rows: list[list[Any]] = []
    first_ns = last_ns = 0
    while len(rows) < ROWS:
        sample = reader.read()
        now_ns = int(sample["state_mono_ns"][position])
        if now_ns in (0, last_ns):
            continue
        first_ns = first_ns or now_ns
        last_ns = now_ns
        t_s = round((now_ns - first_ns) * 1e-9, 9)
        rows.append([t_s, float(sample["state"][position]), float(sample["state"][velocity])])
    return rows


async def record(directory: Path) -> list[list[Any]]:
    """Run the robot and return the rows."""
    session = HostSession(ROBOT, directory / "logs", directory)
    try:
        await session.start(print)
        await session.wait_ready(READY_S)
        await deploy_and_arm(session, CONTROLLER, print)
        async with await CoreClient.connect(session.run_directory) as core:
            names = (await core.status())["channels"]["states"]
            with contextlib.closing(await core.segment(await load_layout())) as reader:
                places = (names.index(f"{JOINT}.position"), names.index(f"{JOINT}.velocity"))
                return await asyncio.to_thread(sample_rows, reader, *places)
    finally:
        await session.close()


def main() -> None:
    """Record and write the file."""
    with tempfile.TemporaryDirectory(prefix="hf-") as directory:
        rows = asyncio.run(record(Path(directory)))
    with TRACE.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["t_s", "position", "velocity"])
        writer.writerows(rows)
    print(f"{TRACE}: {len(rows)} samples over {rows[-1][0]:.3f} s")


if __name__ == "__main__":
    main()
