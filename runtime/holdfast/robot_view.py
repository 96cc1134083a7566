"""A robot's status as tables for a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

_MODE_STYLE = {
    "armed": "green",
    "running": "bold green",
    "paused": "bold yellow",
    "holding": "yellow",
    "disarmed": "bold",
    "stopping": "yellow",
    "estop": "bold red",
    "fault": "bold red",
}
_HEALTH_STYLE = {"healthy": "green", "waiting": "yellow", "unhealthy": "bold red"}
_QUIET_COUNTERS = ("frames_sent", "frames_received", "controller_ticks", "candidate_ticks")


def render(status: dict[str, Any]) -> RenderableType:
    """Return the whole status."""
    parts = [_summary(status)]
    if status.get("state"):
        parts.append(_channels(status))
    estimate = status.get("estimate") or {}
    if estimate.get("joints") or estimate.get("attitude"):
        parts.append(_estimates(estimate))
    if inputs := (status.get("control") or {}).get("inputs"):
        parts.append(_inputs(inputs))
    if "loop" in status:
        parts.append(_loop(status["loop"]))
    counters = _counters(status)
    if counters.row_count:
        parts.append(counters)
    return Group(*parts)


def _summary(status: dict[str, Any]) -> Table:
    table = Table(title=f"Robot {status.get('robot') or 'unknown'}", show_header=False, title_justify="left")
    table.add_column(style="dim")
    table.add_column()
    control = status.get("control") or {"error": "no answer"}
    if "error" in control:
        table.add_row("core", Text(control["error"], style="red"))
    else:
        mode = str(control.get("mode"))
        table.add_row("mode", Text(mode, style=_MODE_STYLE.get(mode, "")))
        if control.get("stopped"):
            table.add_row("stopped", str(control["stopped"]))
        table.add_row("controller", _controller(control.get("controller")))
        if text := _trial(control.get("lifecycle") or {}):
            table.add_row("new controller", text)
        blockers = control.get("arm_blockers") or []
        if blockers and mode == "disarmed":
            table.add_row("before arming", "\n".join(map(str, blockers)))
        realtime = control.get("realtime") or {}
        if realtime.get("degraded"):
            shortfalls = "; ".join(realtime.get("shortfalls", []))
            table.add_row("real time", Text(f"degraded: {shortfalls}", style="yellow"))
    table.add_row("safety", _safety(status.get("safety") or {"error": "no answer"}))
    table.add_row("worker", _worker(status.get("worker") or {"error": "no answer"}))
    return table


def _controller(controller: dict[str, Any] | None) -> Text:
    if not controller:
        return Text("none", style="dim")
    version = f" {controller['version']}" if controller.get("version") else ""
    text = Text(
        f"{controller.get('name')}{version}, {controller.get('state')}, tick {controller.get('tick')}"
    )
    text.append(f"  {str(controller.get('sha256'))[:12]}", style="dim")
    if controller.get("state") == "faulted":
        text.append(f"\n{controller.get('fault')}: {controller.get('message')}", style="red")
    return text


def _trial(lifecycle: dict[str, Any]) -> Text | None:
    """What is being tried, or why the last one that was tried or watched is not active."""
    if candidate := lifecycle.get("candidate"):
        return Text(
            f"{candidate['name']}, {candidate['stage']}, tick {candidate['ticks']} of {candidate['of']}"
        )
    if failed := lifecycle.get("rolled_back"):
        return Text(
            f"{failed['name']} failed in its watch and was rolled back: {failed['message']}", style="red"
        )
    outcome = lifecycle.get("outcome")
    if outcome and outcome["result"] != "active":
        return Text(f"{outcome['name']} was {outcome['result']}: {outcome['message']}", style="yellow")
    return None


def _safety(safety: dict[str, Any]) -> Text:
    if "error" in safety:
        return Text(safety["error"], style="red")
    if not safety.get("latched"):
        return _with_findings(Text("no stop latched", style="green"), safety)
    text = Text(f"E-STOP {safety.get('latch_sequence')} latched: {safety.get('cause')}", style="bold red")
    if safety.get("reason"):
        text.append(f" ({safety['reason']})")
    text.append(f"\nsince {safety.get('since')}", style="dim")
    if safety.get("standing") not in (None, "none"):
        text.append(f"\nstill standing: {safety['standing']}", style="red")
    return _with_findings(text, safety)


def _with_findings(text: Text, safety: dict[str, Any]) -> Text:
    """Add what the safety daemon warns of, what it lacks, and what it could not record."""
    for warning in safety.get("warnings") or []:
        text.append(f"\nwarning: {warning}", style="yellow")
    for problem in safety.get("problems") or []:
        text.append(f"\n{problem}", style="red")
    if safety.get("record_error"):
        text.append(
            f"\nstop record: {safety['record_error']}; nothing arms before it is written", style="red"
        )
    evidence = safety.get("evidence") or {}
    if evidence.get("error"):
        text.append(f"\nevidence: {evidence['error']}", style="red")
    return text


def _worker(worker: dict[str, Any]) -> Text:
    if "error" in worker:
        return Text(worker["error"], style="red")
    tasks = worker.get("tasks") or {}
    waiting = (
        f"{tasks.get('queued', 0)} queued, {tasks.get('running', 0)} running, {tasks.get('done', 0)} done"
    )
    text = Text(f"fleet link {'up' if worker.get('fleet_link') else 'down'}; tasks: {waiting}")
    if worker.get("damaged_store"):
        text.append(f"\ndamaged database set aside: {worker['damaged_store']}", style="red")
    if worker.get("store_error"):
        text.append(f"\n{worker['store_error']}", style="red")
    return text


def _channels(status: dict[str, Any]) -> Table:
    """One row a command channel with what its drive measures; states of other names get rows of their own."""
    table = Table(title="Channels", title_justify="left")
    table.add_column("channel")
    for heading in ("sent", "position", "velocity"):
        table.add_column(heading, justify="right")
    states: dict[str, float | None] = dict(status["state"])
    for name, sent in (status.get("sent") or {}).items():
        measured = [
            _number(states.pop(key)) if key in states else ""
            for key in (f"{name}.position", f"{name}.velocity")
        ]
        table.add_row(name, _number(sent), *measured)
    for name, value in states.items():
        table.add_row(name, "", _number(value), "")
    return table


def _inputs(inputs: dict[str, dict[str, Any]]) -> Table:
    """What an operator asks for; what is too old is NaN to the controller."""
    table = Table(title="Inputs", title_justify="left")
    table.add_column("input")
    table.add_column("value", justify="right")
    table.add_column("age, ms", justify="right")
    for name, value in inputs.items():
        style = "" if value["fresh"] else "dim"
        age = "-" if value["age_ms"] is None else f"{value['age_ms']:.0f}"
        table.add_row(name, _number(value["value"]), age, style=style)
    return table


def _loop(loop: dict[str, Any]) -> Table:
    table = Table(
        title=f"Loop: {loop['cycles']} cycles, {loop['missed']} missed deadlines", title_justify="left"
    )
    for heading in ("µs", "p50", "p99", "max"):
        table.add_column(heading, justify="left" if heading == "µs" else "right")
    for name, key in (
        ("wake latency", "wake_us"),
        ("cycle time", "cycle_us"),
        ("controller tick", "controller_us"),
    ):
        _add_durations(table, name, loop.get(key) or {})
    for phase, row in (loop.get("phases_us") or {}).items():
        _add_durations(table, f"  {phase}", row)
    return table


def _add_durations(table: Table, name: str, row: dict[str, float | None]) -> None:
    table.add_row(name, *(_microseconds(row.get(part)) for part in ("p50", "p99", "max")))


def _estimates(estimate: dict[str, Any]) -> Table:
    table = Table(title="Estimates", title_justify="left")
    table.add_column("joint")
    for heading in ("position", "velocity", "acceleration", "innovation", "health"):
        table.add_column(heading, justify="left" if heading == "health" else "right")
    for name, joint in (estimate.get("joints") or {}).items():
        numbers = (
            _number(joint[quantity]) for quantity in ("position", "velocity", "acceleration", "innovation")
        )
        table.add_row(name, *numbers, Text(joint["health"], style=_HEALTH_STYLE.get(joint["health"], "")))
    attitude = estimate.get("attitude")
    if attitude:
        table.caption = (
            f"attitude w x y z: {' '.join(map(_number, attitude['quaternion']))}, {attitude['health']}"
        )
    return table


def _counters(status: dict[str, Any]) -> Table:
    table = Table(title="Counters that are not zero", title_justify="left")
    table.add_column("counter")
    table.add_column("value", justify="right")
    core = (status.get("control") or {}).get("counters") or {}
    worker = (status.get("worker") or {}).get("counters") or {}
    for name, value in [*core.items(), *worker.items()]:
        if value and name not in _QUIET_COUNTERS:
            table.add_row(name, str(value))
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"


def _microseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
