"""The sections of robot.toml about channels together: `[[coupling]]`, `[[zone]]` and `[workspace]`.

The twin of runtime/control/src/robot/{couplings,zones,workspace}.cpp. `check_couplings`, `check_zones` and
`check_workspace` tell what pydantic cannot: what must fit to the channels, and to the URDF.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field

from holdfast.fields import Finite, Limits, Magnitude, Name, Share, Table, Text

MAX_COUPLINGS = 16
MAX_COUPLED_CHANNELS = 8
MAX_ZONES = 8
MAX_TOOLS = 4
MAX_BOXES = 8


Metres = Annotated[float, Field(gt=0, le=1e3, allow_inf_nan=False)]
Corner = Annotated[list[Finite], Field(min_length=3, max_length=3)]


class Coupling(Table):
    """What command channels owe to each other."""

    name: Name
    kind: Literal["range", "mimic"]
    channels: list[Text]
    factors: list[Finite] | None = None
    limits: Limits | None = None
    multiplier: Finite | None = None
    offset: Finite | None = None
    tolerance: Magnitude | None = None


class Zone(Table):
    """How close something may come before the robot slows down and stops."""

    name: Name
    distance_state: Text
    slow_below_m: Metres
    stop_below_m: Metres
    hysteresis_m: Metres = 0.05
    slow_factor: Share | None = None


class Box(Table):
    """A box along the axes of the URDF's root frame, m."""

    min: Corner
    max: Corner


class Workspace(Table):
    """Where the tools may be."""

    urdf: Text
    tools: list[Text] = Field(min_length=1, max_length=MAX_TOOLS)
    joints: dict[str, Text]
    margin_m: Annotated[float, Field(ge=0, le=1e3, allow_inf_nan=False)] = 0.0
    box: list[Box] = Field(default_factory=list)
    keep_out: list[Box] = Field(default_factory=list)


class Channel(Protocol):
    """What is asked of a command channel here."""

    name: str
    kind: Literal["velocity", "position", "effort"]
    limits: list[float]
    max_rate: float | None
    max_accel: float | None
    max_jerk: float | None
    position_state: str | None


# Called with a key and what is wrong with it.
Problem = Callable[[str, str], None]
EntryProblem = Callable[[int, str, str], None]


def check_couplings(
    couplings: Mapping[int, Coupling],
    commands: Sequence[Channel],
    names: Sequence[str],
    problem: EntryProblem,
) -> None:
    """Say what does not fit. `names` are those of all channels, also of the wrong ones."""
    by_name = {command.name: command for command in commands}
    for index, coupling in couplings.items():
        _check_coupling(coupling, by_name, names, partial(problem, index))
    mimics = [(i, c) for i, c in couplings.items() if c.kind == "mimic" and len(c.channels) == 2]
    for index, coupling in mimics:
        for other_index, other in mimics:
            if index == other_index:
                continue
            same_follower = other_index < index and coupling.channels[1] == other.channels[1]
            if same_follower or coupling.channels[0] == other.channels[1]:
                channel = coupling.channels[1 if same_follower else 0]
                problem(
                    index,
                    "channels",
                    f'"{channel}" follows in the coupling "{other.name}" already; let all follow one leader',
                )
                break


def _check_coupling(
    coupling: Coupling, commands: Mapping[str, Channel], names: Sequence[str], problem: Problem
) -> None:
    channels = _coupled_channels(coupling, commands, names, problem)
    other = "range" if coupling.kind == "mimic" else "mimic"
    foreign = ("factors", "limits") if coupling.kind == "mimic" else ("multiplier", "offset", "tolerance")
    required = ("tolerance",) if coupling.kind == "mimic" else ("factors", "limits")
    for key in foreign:
        if getattr(coupling, key) is not None:
            problem(key, f'only a coupling of the kind "{other}" has it; remove it')
    for key in required:
        if getattr(coupling, key) is None:
            problem(key, "is missing; add it")
    if coupling.kind == "mimic" and coupling.multiplier == 0:
        problem("multiplier", "is 0; say how far the follower goes for one unit of the leader")
    elif channels and coupling.kind == "mimic":
        _check_mimic(coupling, channels, problem)
    elif channels:
        _check_range(coupling, channels, problem)


def _coupled_channels(
    coupling: Coupling, commands: Mapping[str, Channel], names: Sequence[str], problem: Problem
) -> list[Channel]:
    """Return the channels if they can be judged together, else none."""
    sound = True
    count = len(coupling.channels)
    if coupling.kind == "mimic" and count != 2:
        problem("channels", "must be two: the leader and its follower")
        sound = False
    elif coupling.kind == "range" and not 2 <= count <= MAX_COUPLED_CHANNELS:
        problem("channels", f"must be 2 to {MAX_COUPLED_CHANNELS} channels")
        sound = False
    for place, name in enumerate(coupling.channels):
        if name not in names:
            problem("channels", f'there is no [[command]] named "{name}"; add it or correct the name')
            sound = False
        elif name in coupling.channels[:place]:
            problem("channels", f'"{name}" is named twice; name each channel once')
            sound = False
    if not sound or any(name not in commands for name in coupling.channels):
        return []
    channels = [commands[name] for name in coupling.channels]
    for channel in channels:
        if channel.kind != channels[0].kind:
            problem(
                "channels",
                f'"{channel.name}" is of another kind than "{channels[0].name}"; couple channels of one kind',
            )
            return []
        if channel.kind == "position" and channel.max_jerk is None:
            problem(
                "channels",
                f'"{channel.name}" needs a max_jerk: only then its way to standstill is known',
            )
            return []
    return channels


def _check_range(coupling: Coupling, channels: Sequence[Channel], problem: Problem) -> None:
    if coupling.factors is not None and len(coupling.factors) != len(channels):
        problem("factors", "must be one for each of the channels")
    elif coupling.factors is not None and 0 in coupling.factors:
        problem("factors", "must not be 0; leave the channel out instead")
    if (
        coupling.limits
        and channels[0].kind != "position"
        and not coupling.limits[0] <= 0 <= coupling.limits[1]
    ):
        problem("limits", "must contain 0, which is the stop of these channels; widen them")


def _check_mimic(coupling: Coupling, channels: Sequence[Channel], problem: Problem) -> None:
    """Only with limits in the same proportion both can follow one motion, and stop alike."""
    leader, follower = channels
    multiplier = 1.0 if coupling.multiplier is None else coupling.multiplier
    offset = coupling.offset or 0.0
    if leader.kind != "position" and offset != 0:
        problem("offset", "must be 0: the stop of both channels is 0; remove it")
        return
    limits = [
        (leader.max_rate or 0.0, follower.max_rate or 0.0),
        (leader.max_accel or 0.0, follower.max_accel or 0.0),
        (leader.max_jerk or 0.0, follower.max_jerk or 0.0),
    ]
    if any(abs(one * abs(multiplier) - other) > 1e-6 * other for one, other in limits):
        problem(
            "multiplier",
            f'max_rate, max_accel and max_jerk of "{follower.name}" are not those of "{leader.name}" times it; '
            "make them so, or they cannot move together",
        )
        return
    ends = [value * multiplier + offset for value in leader.limits]
    if max(ends) <= follower.limits[0] or min(ends) >= follower.limits[1]:
        problem("offset", "leads no value of the leader into the follower's limits; correct it")


def check_zones(zones: Mapping[int, Zone], state_names: Sequence[str], problem: EntryProblem) -> None:
    """Say what does not fit."""
    for index, zone in zones.items():
        if zone.distance_state not in state_names:
            problem(
                index,
                "distance_state",
                f'there is no [[state]] named "{zone.distance_state}"; add it or correct the name',
            )
        if zone.slow_below_m <= zone.stop_below_m:
            problem(index, "slow_below_m", "is not above stop_below_m; slow down before the stop")


# Called with the keys that lead to a value below [workspace], and what is wrong with it.
PathProblem = Callable[[tuple[str | int, ...], str], None]


def check_workspace(
    workspace: Workspace,
    folder: Path,
    commands: Sequence[Channel],
    command_names: Sequence[str],
    state_names: Sequence[str],
    problem: PathProblem,
) -> None:
    """Say what does not fit. `folder` is where the path of the URDF starts."""
    for key in ("box", "keep_out"):
        boxes: list[Box] = getattr(workspace, key)
        if len(boxes) > MAX_BOXES:
            problem((key, MAX_BOXES), f"there are more than {MAX_BOXES}; remove some")
        for index, box in enumerate(boxes):
            if any(low >= high for low, high in zip(box.min, box.max, strict=True)):
                problem((key, index, "min"), "is not below max on every axis; exchange them")
    if not workspace.box and not workspace.keep_out:
        problem(("box",), "is missing; add a [[workspace.box]] or a [[workspace.keep_out]]")
    joints = _joints_of_tools(workspace, folder, problem)
    if joints is None:
        return
    for joint in joints:
        if joint not in workspace.joints:
            problem(("joints", joint), "is missing; add it")
            continue
        name = workspace.joints[joint]
        command = next((command for command in commands if command.name == name), None)
        if command is not None:
            why = _unfit(command)
            if why:
                problem(("joints", joint), why)
        elif name not in command_names and name not in state_names:
            problem(
                ("joints", joint),
                f'there is no [[command]] or [[state]] named "{name}"; add it or correct the name',
            )
    for joint in workspace.joints:
        if joint not in joints:
            problem(("joints", joint), "is not a known key; remove it or correct its spelling")


def _unfit(command: Channel) -> str | None:
    if command.kind == "effort":
        return f'"{command.name}" is an effort, whose motion cannot be foreseen; name a position or velocity'
    if command.kind == "velocity" and command.position_state is None:
        return f'"{command.name}" needs a position_state: where is the joint?'
    if command.kind == "position" and command.max_jerk is None:
        return f'"{command.name}" needs a max_jerk: only then its way to standstill is known'
    return None


def _joints_of_tools(workspace: Workspace, folder: Path, problem: PathProblem) -> list[str] | None:
    """Return the movable joints that lead to a tool; None if the URDF or a tool is wrong."""
    try:
        root: Any = ElementTree.parse(folder / workspace.urdf).getroot()  # noqa: S314 - the robot's own file
    except OSError:
        problem(("urdf",), f'"{workspace.urdf}" cannot be read; correct the path')
        return None
    except ElementTree.ParseError:
        root = ElementTree.Element("")
    links = {link.get("name") for link in root.findall("link")}
    carriers: dict[str, tuple[str, str, str]] = {}
    for joint in root.findall("joint"):
        kind = joint.get("type", "")
        if kind not in ("fixed", "revolute", "continuous", "prismatic"):
            problem(
                ("urdf",),
                f'"{workspace.urdf}" its joint "{joint.get("name")}" is neither fixed, revolute, continuous nor '
                "prismatic; model it with those",
            )
            return None
        carriers[_end(joint, "child")] = (joint.get("name"), kind, _end(joint, "parent"))
    ends = {*carriers, *(parent for _, _, parent in carriers.values())}
    # A tree: joints between its links, and one link that no joint carries.
    if root.tag != "robot" or not ends <= links or len(links - carriers.keys()) != 1:
        problem(("urdf",), f'"{workspace.urdf}" is not a URDF; check it with check_urdf')
        return None
    found: list[str] = []
    for tool in workspace.tools:
        way = [tool]
        while way[-1] in carriers and len(way) <= len(links):
            name, kind, parent = carriers[way[-1]]
            way.append(parent)
            if kind != "fixed" and name not in found:
                found.append(name)
        if tool not in links or way[-1] in carriers:
            problem(("tools",), f'there is no link "{tool}" in the URDF; correct the name')
            return None
    return found


def _end(joint: Any, end: Literal["parent", "child"]) -> str:
    element = joint.find(end)
    return "" if element is None else element.get("link", "")
