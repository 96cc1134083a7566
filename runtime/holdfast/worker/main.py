"""`holdfast-worker`: the process. Wrong configuration ends it with one sentence and exit code 2."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

import click

from holdfast.config import RobotConfig, load_robot_config
from holdfast.errors import HoldfastError
from holdfast.layout import load_layout
from holdfast.places import config_file, run_directory, state_directory
from holdfast.store import Store, StoreThread
from holdfast.worker.log import set_up_logging
from holdfast.worker.service import Service

_log = logging.getLogger("worker")


@click.command(epilog="Exit codes: 0 stopped by SIGTERM or SIGINT; 1 failed; 2 wrong configuration or usage.")
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    default=config_file,
    show_default="$HOLDFAST_CONFIG or /etc/holdfast/robot.toml",
    help="The robot.toml of this robot.",
)
def main(file: Path) -> None:
    """Run the worker of this robot: tasks, deployments, telemetry. Needs no broker, network or core to start."""
    set_up_logging()
    try:
        config = load_robot_config(file)
        asyncio.run(_run(config, file))
    except HoldfastError as error:
        for line in str(error).splitlines():
            _log.error("%s", line)
        sys.exit(error.exit_code)


async def _run(config: RobotConfig, file: Path) -> None:
    os.umask(0o027)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    layout = await load_layout()
    state = state_directory()
    opened = await asyncio.to_thread(Store.open, state / "worker.db")
    if opened.set_aside:
        _log.error("the database was damaged and is set aside as %s; begun anew", opened.set_aside)
    store = StoreThread(opened)
    try:
        service = Service(
            config, layout, store, config_file=file, run_directory=run_directory(), state_directory=state
        )
        await service.run(stop)
    finally:
        store.close()


if __name__ == "__main__":
    main()
