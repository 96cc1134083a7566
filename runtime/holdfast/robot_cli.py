"""`holdfast robot`: look at a robot, deploy to it, arm, stop and reset it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from holdfast.bus_load import WARNING_SHARE
from holdfast.command import EXIT_CODES, console, fail, json_option, print_json, run
from holdfast.config import RobotConfig, load_robot_config
from holdfast.errors import ConfigError, HoldfastError
from holdfast.evidence_cli import evidence
from holdfast.places import config_file
from holdfast.robot_view import render
from holdfast.target import Progress, resolve_target
from holdfast.tuning import Finding, core_findings, machine_findings

_INPUT_PERIOD_S = 0.05


@click.group(epilog=EXIT_CODES)
def robot() -> None:
    """Look at a robot, deploy to it, arm, pause, stop and reset it.

    Which robot: --robot, else $HOLDFAST_ROBOT, else the session that `holdfast up` started, else this machine.

    Example: holdfast robot deploy examples/controllers/sine.wat && holdfast robot arm
    """


robot.add_command(evidence)


def _robot_option(function: Callable[..., Any]) -> Any:
    return click.option(
        "--robot",
        "robot_name",
        metavar="TARGET",
        help="'local', a session file, or nats://user:password@host:port/robot-id.",
    )(json_option(function))


@robot.command(epilog=EXIT_CODES)
@_robot_option
def status(robot_name: str | None, as_json: bool) -> None:
    """Show mode, controller, joints, loop statistics, safety and counters.

    Example: holdfast robot status --json
    """

    async def work() -> dict[str, Any]:
        return await resolve_target(robot_name).status()

    found = run(work(), as_json=as_json)
    if as_json:
        print_json(found)
    else:
        console.print(render(found))
    if all("error" in (found.get(part) or {}) for part in ("control", "safety")):
        raise SystemExit(1)


@robot.command(epilog=EXIT_CODES)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the controller; the file's name without its ending by default.")
@click.option("--version", default="", help="Version to show and remember.")
@_robot_option
def deploy(file: Path, name: str | None, version: str, robot_name: str | None, as_json: bool) -> None:
    """Compile, verify (100 ticks), try and activate a controller, WAT or WASM; the running one goes on if it fails.

    While the robot is armed the controller first runs beside the active one with nothing sent (shadow), then near its
    output (canary); on a disarmed robot it is active at once.

    Example: holdfast robot deploy examples/controllers/sine.wat
    """

    async def work(progress: Progress | None = None) -> dict[str, Any]:
        try:
            source = file.read_bytes()
        except OSError as error:
            raise ConfigError(f"{file}: {error.strerror}; name a .wat or .wasm file") from error
        return await resolve_target(robot_name).deploy(name or file.stem, version, source, progress)

    if as_json:
        print_json(run(work(), as_json=True))
        return
    with console.status(f"{file.name}: compile, link, verify, activate ...") as shown:
        done = run(work(_progress_in(shown, file.name)), as_json=False)
    ticks = (done.get("verify") or {}).get("ticks", "?")
    tried = f", tried over {done['trial']['tick']} ticks" if done.get("trial") else ""
    console.print(
        f"[green]active[/green]: {name or file.stem}, verified over {ticks} ticks{tried}, {done['sha256'][:12]}"
    )


def _progress_in(shown: Status, file: str) -> Progress:
    def show(candidate: dict[str, Any]) -> None:
        shown.update(f"{file}: {candidate['stage']}, tick {candidate['ticks']} of {candidate['of']} ...")

    return show


def _act(robot_name: str | None, as_json: bool, verb: str, done: str) -> None:
    async def work() -> None:
        await getattr(resolve_target(robot_name), verb)()

    run(work(), as_json=as_json)
    if as_json:
        print_json({})
    else:
        console.print(done)


@robot.command(epilog=EXIT_CODES)
@_robot_option
def arm(robot_name: str | None, as_json: bool) -> None:
    """Let the active controller move the robot. Local only; says every reason why not.

    Example: holdfast robot arm
    """
    _act(robot_name, as_json, "arm", "[bold green]armed[/bold green]: the controller moves the robot")


@robot.command(epilog=EXIT_CODES)
@_robot_option
def disarm(robot_name: str | None, as_json: bool) -> None:
    """Stop in a controlled way. Local only.

    Example: holdfast robot disarm
    """
    _act(robot_name, as_json, "disarm", "disarmed: the robot stops along its deceleration limits")


@robot.command(epilog=EXIT_CODES)
@_robot_option
def pause(robot_name: str | None, as_json: bool) -> None:
    """Hold in a controlled way: the controller is not called and simulation time stands, until `resume`.

    Example: holdfast robot pause
    """
    _act(robot_name, as_json, "pause", "paused: the robot holds; `holdfast robot resume` goes on")


@robot.command(epilog=EXIT_CODES)
@_robot_option
def resume(robot_name: str | None, as_json: bool) -> None:
    """Go on after a pause. Local only.

    Example: holdfast robot resume
    """
    _act(robot_name, as_json, "resume", "[bold green]resumed[/bold green]: the controller moves the robot")


@robot.command(epilog=EXIT_CODES)
@_robot_option
def clear(robot_name: str | None, as_json: bool) -> None:
    """Clear a fault of the core once what caused it is mended; the robot is disarmed then. Local only.

    Example: holdfast robot clear
    """
    _act(robot_name, as_json, "clear", "the fault is cleared: nothing moves until `holdfast robot arm`")


@robot.command(epilog=EXIT_CODES)
@click.option("--reason", default="operator command", help="Kept with the latched stop.")
@_robot_option
def estop(reason: str, robot_name: str | None, as_json: bool) -> None:
    """Stop now and latch it: survives restarts and power cuts until somebody resets it.

    Example: holdfast robot estop --reason "hand in the cell"
    """

    async def work() -> int:
        return await resolve_target(robot_name).estop(reason)

    number = run(work(), as_json=as_json)
    if as_json:
        print_json({"latch_sequence": number})
    else:
        console.print(
            f"[bold red]E-STOP {number} is latched[/bold red]: clear it with `holdfast robot reset`"
        )


@robot.command(epilog=EXIT_CODES)
@_robot_option
def reset(robot_name: str | None, as_json: bool) -> None:
    """Clear a latched stop. Local only; refused while its cause stands. Nothing moves until `arm`.

    Example: holdfast robot reset
    """
    _act(robot_name, as_json, "reset", "the stop is cleared: nothing moves until `holdfast robot arm`")


@robot.command(epilog=EXIT_CODES)
@_robot_option
def unload(robot_name: str | None, as_json: bool) -> None:
    """Stop in a controlled way and drop the active controller; it is not restored after a restart.

    Example: holdfast robot unload
    """
    _act(robot_name, as_json, "unload", "no controller is loaded")


@robot.command(name="input", epilog=EXIT_CODES)
@click.argument("values", nargs=-1, required=True, metavar="NAME=VALUE...")
@click.option(
    "--seconds", default=1.0, show_default=True, help="How long to ask for it; Ctrl-C ends it earlier."
)
@_robot_option
def input_(values: tuple[str, ...], seconds: float, robot_name: str | None, as_json: bool) -> None:
    """Ask for set-points of [[input]] channels, as a joystick does: again and again, 20 times a second.

    When it ends, the values grow too old (max_age_ms) and the controller reads NaN: a teleoperated robot stops.

    Example: holdfast robot input forward=0.3 turn=0.5 --seconds 3
    """
    wanted = _parsed(values)

    async def work() -> int:
        sent = 0
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        async with resolve_target(robot_name).inputs() as send:
            while sent == 0 or loop.time() < end:
                await send(wanted)
                sent += 1
                await asyncio.sleep(_INPUT_PERIOD_S)
        return sent

    count = run(work(), as_json=as_json)
    if as_json:
        print_json({"sent": count})
    else:
        console.print(f"asked {count} times; the values now grow old")


def _parsed(values: tuple[str, ...]) -> dict[str, float]:
    wanted = {}
    for text in values:
        name, _, number = text.partition("=")
        try:
            wanted[name] = float(number)
        except ValueError:
            raise click.BadParameter(f"{text!r}: write NAME=VALUE with a number") from None
    return wanted


@robot.command(epilog=EXIT_CODES)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@json_option
def check(file: Path | None, as_json: bool) -> None:
    """Validate a robot.toml: file, line and key of every problem, and the load of every link.

    Without FILE: that of this machine, and whether the machine is set up for real time. Run it on the robot.

    Example: holdfast robot check examples/robots/arm.toml
    """
    try:
        config = load_robot_config(file or config_file())
        findings = [] if file else [*machine_findings(config.control.cpu), *asyncio.run(core_findings())]
    except HoldfastError as error:
        fail(error, as_json=as_json)
    ok = all(finding.ok for finding in findings)
    found = {
        "ok": ok,
        "robot": config.robot.id,
        "commands": len(config.command),
        "states": len(config.state),
        "drives": len(config.drive),
        "sensors": len(config.sensor),
        "links": [
            {
                "url": load.url,
                "frames_per_s": load.frames_per_s,
                "bits_per_s": load.bits_per_s,
                "bitrate": load.bitrate,
            }
            for load in config.link_loads
        ],
    }
    if not file:
        found["machine"] = [{**asdict(finding), "ok": finding.ok} for finding in findings]
    if as_json:
        print_json(found)
    else:
        _show_check(config, findings)
    if not ok:
        raise SystemExit(1)


def _show_check(config: RobotConfig, findings: list[Finding]) -> None:
    console.print(
        f"[green]valid[/green]: robot {config.robot.id}, {len(config.command)} commands, {len(config.state)} "
        f"states, {len(config.drive)} drives, {len(config.sensor)} sensors"
    )
    for load in config.link_loads:
        console.print(f"  {load}", highlight=False)
        if load.share > WARNING_SHARE:
            console.print(
                f"  [yellow]warning[/yellow]: {load.url} has little reserve for repeated frames; "
                "lower a rate or use more links"
            )
    if findings:
        table = Table(box=None, pad_edge=False)
        for title in ("real time needs", "found", "to mend"):
            table.add_column(title, overflow="fold")
        for finding in findings:
            mend = f"[red]{escape(finding.mend)}[/red]" if finding.mend else "[green]as it should be[/green]"
            table.add_row(finding.what, escape(finding.found), mend)
        console.print(table)
