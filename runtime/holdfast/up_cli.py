"""`holdfast up`: a robot that moves, on this machine alone."""

from __future__ import annotations

import asyncio
import importlib
import json
import signal
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from holdfast.command import EXIT_CODES, console, errors, json_option, print_json, run
from holdfast.config import load_robot_config
from holdfast.errors import HoldfastError
from holdfast.host_session import HostSession
from holdfast.places import build_directory, repository
from holdfast.robot_view import render
from holdfast.selfcheck import deploy_and_arm, self_check
from holdfast.session import Report, Session, write_session_file

ResultT = TypeVar("ResultT")

_HOST_READY_S = 60.0
_MACHINE_READY_S = 600.0
_REFRESH_S = 0.25


@click.command(epilog=EXIT_CODES)
@click.option(
    "--once", is_flag=True, help="Run a self-check that ends with an e-stop, write build/up.json, end."
)
@click.option("--host", is_flag=True, help="Without a virtual machine: the same processes here, in seconds.")
@click.option(
    "--board",
    metavar="NAME",
    default="qemu-x86-64",
    show_default=True,
    help="Whose image the machine runs; `holdfast image build --help` lists them.",
)
@click.option(
    "--robot",
    "robot_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The robot.toml to run; examples/robots/arm.toml by default.",
)
@click.option(
    "--controller",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The controller to deploy, WAT or WASM; examples/controllers/sine.wat by default.",
)
@click.option(
    "--seconds", default=5.0, show_default=True, help="How long --once lets the robot move at least."
)
@json_option
def up(
    once: bool,
    host: bool,
    board: str,
    robot_file: Path | None,
    controller: Path | None,
    seconds: float,
    as_json: bool,
) -> None:
    """Boot the robot under QEMU (or --host), deploy a controller over NATS and let it move.

    Shows joints, loop statistics and the safety state until Ctrl-C.

    Example: holdfast up --host --robot examples/robots/quadruped.toml --controller examples/controllers/sine_joints.wat
    """
    report = _reporter(as_json)
    result = run(_up(host, board, robot_file, controller, once, seconds, report), as_json=as_json)
    if result is not None and as_json:
        print_json(result)
    elif result is not None:
        _print_result(result)


def _reporter(as_json: bool) -> Report:
    begin = time.monotonic()

    def report(step: str) -> None:
        target = errors if as_json else console
        target.print(f"[dim]{time.monotonic() - begin:6.1f} s[/dim]  {step}", soft_wrap=True)

    return report


def _session(host: bool, board: str, robot_file: Path | None) -> Session:
    file = robot_file or _example("robots", "arm.toml")
    config = load_robot_config(file, {})  # a mistake in it is told before anything is built or booted
    if host:
        return HostSession(file, build_directory() / "host")
    try:
        module = importlib.import_module("holdfast_bench.vm_session")
    except ImportError as error:
        raise click.UsageError(
            f"virtual machines need the repository's bench ({error}); try --host"
        ) from error
    session: Session = module.VmSession(robot_id=config.robot.id, robot_file=robot_file, board=board)
    return session


def _example(folder: str, name: str) -> Path:
    return repository() / "examples" / folder / name


async def _up(
    host: bool,
    board: str,
    robot_file: Path | None,
    controller: Path | None,
    once: bool,
    seconds: float,
    report: Report,
) -> dict[str, Any] | None:
    """Start, run and stop; returns the figures of a self-check."""
    session = _session(host, board, robot_file)
    controller = controller or _example("controllers", "sine.wat")
    main = asyncio.current_task()
    assert main is not None  # noqa: S101 - a coroutine that runs has a task
    loop = asyncio.get_running_loop()
    # SIGINT too: a shell that starts us in the background has it ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, main.cancel)
    file = build_directory() / "session.json"
    try:
        await session.start(report)
        for note in session.notes:
            report(f"[yellow]note:[/yellow] {note}")
        limit_s = _HOST_READY_S if session.kind == "host" else _MACHINE_READY_S
        ready_s = await told(session.wait_ready(limit_s), "waiting for the robot's loop and worker", report)
        report(f"[green]ready[/green]: robot {session.robot_id}")
        write_session_file(session, file)
        if not once:
            await deploy_and_arm(session, controller, report)
            await _show(session)
            return None
        figures = await self_check(session, controller, seconds, report)
        result = {"kind": session.kind, "accel": session.accel, "ready_s": round(ready_s, 3), **figures}
        _write_result(build_directory() / "up.json", result)
        return result
    except asyncio.CancelledError:
        if once:
            raise
        return None  # Ctrl-C is how the live view ends
    finally:
        file.unlink(missing_ok=True)
        report("ending")
        await asyncio.shield(session.close())


async def told(
    work: Coroutine[Any, Any, ResultT], what: str, report: Report, every_s: float = 15.0
) -> ResultT:
    """Return what `work` returns; until then say every `every_s` seconds what is waited for."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({task}, timeout=every_s))[0]:
            report(what)
        return await task
    finally:
        task.cancel()


async def _show(session: Session) -> None:
    """Show the robot until Ctrl-C."""
    hint = Text(
        "Ctrl-C ends it. In another terminal: holdfast robot status | estop | reset | arm", style="dim"
    )
    with Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
        while True:
            try:
                view = render(await session.target.status())
            except HoldfastError as error:
                view = Text(str(error), style="red")
            live.update(Group(view, hint), refresh=True)
            await asyncio.sleep(_REFRESH_S)


def _write_result(file: Path, result: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    part.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    part.rename(file)


def _print_result(result: dict[str, Any]) -> None:
    wake, cycle = result["wake_us"], result["cycle_us"]
    console.print(
        f"[bold green]the robot moved and stopped[/bold green]: ready in {result['ready_s']:.1f} s; "
        f"{result['cycles']} cycles, {result['missed']} missed; wake latency p50 {wake['p50']:.0f} µs, "
        f"p99 {wake['p99']:.0f} µs, max {wake['max']:.0f} µs; cycle p99 {cycle['p99']:.0f} µs; "
        f"e-stop obeyed after {result['estop_reaction_cycles']} cycle(s). Written to build/up.json"
    )
    if (result.get("realtime") or {}).get("degraded"):
        console.print(
            "[yellow]these are no real-time figures[/yellow]: " + "; ".join(result["realtime"]["shortfalls"])
        )
