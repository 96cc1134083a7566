"""The worker's connection to a real broker of its own."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from holdfast.broker import free_port
from holdfast.child import Child
from holdfast.config import RobotConfig, load_robot_config
from holdfast.worker.bus import Bus

ARM = Path(__file__).parents[2] / "examples" / "robots" / "arm.toml"
PATIENCE_S = 60.0
MEBIBYTE = 1 << 20


async def start_small_broker(folder: Path, port: int, megabytes: int) -> Child:
    """Start a broker that has `megabytes` to give away."""
    configuration = folder / "broker.conf"
    configuration.write_text(
        f"""listen: "127.0.0.1:{port}"
jetstream {{ store_dir: "{folder}/store", max_file_store: {megabytes * MEBIBYTE} }}
"""
    )
    command = ["nats-server", "-c", str(configuration)]
    return await Child.start("nats-server", command, environment=os.environ, log=folder / "broker.log")


async def connect_once(config: RobotConfig) -> None:
    """Connect as a worker does, wait until its streams are there, and leave."""
    bus = Bus(config)
    running = asyncio.create_task(bus.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not bus.connected:
                if running.done():  # the broker was not up yet
                    running = asyncio.create_task(bus.run())
                await asyncio.sleep(0.05)
            await bus.streams_ready.wait()
    finally:
        running.cancel()
        await bus.close()


def test_a_worker_finds_its_streams_again_where_little_space_is_left(tmp_path: Path) -> None:
    async def scenario() -> None:
        port = free_port()
        environment = {"HOLDFAST_WORKER__NATS_URL": f"nats://127.0.0.1:{port}"}
        broker = await start_small_broker(tmp_path, port, 1000)
        try:
            for buffer_mb in ("500", "500", "400", "600"):  # started, restarted, two changes of robot.toml
                config = load_robot_config(ARM, {**environment, "HOLDFAST_TELEMETRY__BUFFER_MB": buffer_mb})
                await connect_once(config)
        finally:
            await broker.stop()

    asyncio.run(scenario())
