"""Scenario files: a robot, a controller, and what happens to it when; hil_tests/scenarios/*.toml.

The same file is played inside the guest in virtual time and on a robot in real time (holdfast_bench.guest.play).
Times are seconds of the robot's clock since the start, when the controller runs.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Part = Literal["control", "safety", "worker", "nats", "plant", "ollama"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _At(_Strict):
    """When something happens: once at `at_s`, or from then on every `every_s` until the end."""

    at_s: Seconds
    every_s: Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)] | None = None


class Link(_At):
    """The network to the fleet goes away or comes back."""

    do: Literal["link"]
    up: bool


class Command(_At):
    """What an operator does."""

    do: Literal["command"]
    what: Literal["arm", "disarm", "pause", "resume", "clear", "estop", "reset"]


class Deploy(_At):
    """A controller of the image or of the bench is deployed beside the running one."""

    do: Literal["deploy"]
    controller: str


class Task(_At):
    """Somebody on the robot gives its worker a task; with `fleet` it may run only while the fleet is in reach."""

    do: Literal["task"]
    fleet: bool = False


class Inputs(_At):
    """An operator's values; each counts for its max_age_ms only."""

    do: Literal["input"]
    values: dict[str, Finite]


class DriveFault(_At):
    """Something goes wrong with a simulated drive or sensor; the kinds are those of holdfast-plant."""

    do: Literal["fault"]
    kind: Literal["axis_error", "silent", "lost", "late", "nan", "freeze", "load"]
    device: str | None = None
    for_s: Seconds | None = None
    code: int | None = None
    probability: Annotated[float, Field(ge=0, le=1)] | None = None
    delay_ms: Annotated[float, Field(ge=0, le=10_000)] | None = None
    effort: Finite | None = None


class ClearFaults(_At):
    """All faults of drives and sensors end."""

    do: Literal["clear_faults"]


class Measure(_At):
    """A simulated sensor measures this from now on."""

    do: Literal["measure"]
    sensor: str
    quantity: str
    value: Finite


class Signal(_At):
    """A process of the robot is killed, stopped or goes on."""

    do: Literal["signal"]
    part: Part
    signal: Literal["KILL", "STOP", "CONT", "TERM"]


class Restart(_At):
    """A service of the robot is restarted in good order."""

    do: Literal["restart"]
    part: Part


class Load(_At):
    """The machine is kept busy."""

    do: Literal["load"]
    kinds: Annotated[list[Literal["cpu", "memory", "disk", "network"]], Field(min_length=1)]
    for_s: Annotated[float, Field(gt=0, le=86_400)]


class Hog(_At):
    """A program of somebody else takes a processor at a real-time priority, and gives it back."""

    do: Literal["hog"]
    priority: Annotated[int, Field(ge=1, le=99)]
    for_s: Annotated[float, Field(gt=0, le=60)]


class MemoryHog(_At):
    """A program takes this much memory, and gives it back."""

    do: Literal["memory_hog"]
    mib: Annotated[int, Field(ge=1, le=1 << 20)]
    for_s: Annotated[float, Field(gt=0, le=3600)]


class AskModel(_At):
    """The local language model is asked, unless it still owes an answer; the image needs Ollama."""

    do: Literal["ask_model"]


class ClockJump(_At):
    """The wall clock jumps; the monotonic one, which the loops use, does not."""

    do: Literal["clock_jump"]
    by_s: Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]


class DiskFull(_At):
    """The robot's disk has no room, for a while."""

    do: Literal["disk_full"]
    for_s: Annotated[float, Field(gt=0, le=3600)]


class DiskSlow(_At):
    """Every read and write of the robot's state takes longer, for a while."""

    do: Literal["disk_slow"]
    delay_ms: Annotated[float, Field(ge=1, le=10_000)]
    for_s: Annotated[float, Field(gt=0, le=3600)]


class DiskFails(_At):
    """Every write of the robot's state fails from now on, as on a card that is worn out."""

    do: Literal["disk_fails"]


Event = Annotated[
    Link
    | Command
    | Deploy
    | Task
    | Inputs
    | DriveFault
    | ClearFaults
    | Measure
    | Signal
    | Restart
    | Load
    | Hog
    | MemoryHog
    | AskModel
    | ClockJump
    | DiskFull
    | DiskSlow
    | DiskFails,
    Field(discriminator="do"),
]


class Expected(_Strict):
    """How the robot must stand at the end; what is left out is not judged."""

    missed: Annotated[int, Field(ge=0)] | None = None
    mode: str | None = None
    controller: str | None = None
    cause: str | None = None
    """Of the latched stop; "none": nothing is latched."""
    model: Literal["answers", "is silent"] | None = None
    """The local language model, when it was asked last."""
    fleet: Literal["complete"] | None = None
    """Every task has its one result and telemetry has no gap, at the hub."""


class Scenario(_Strict):
    """One file."""

    shows: Annotated[str, Field(min_length=1, max_length=200)]
    robot: str
    controller: str
    seconds: Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
    fleet: bool = False
    """With a hub in reach from the beginning."""
    watch_ms: Annotated[int, Field(ge=5, le=60_000)] = 20
    """How often the robot's reactions are looked for."""
    environment: dict[
        Annotated[str, Field(pattern=r"^HOLDFAST_[A-Z0-9_]+$")], Annotated[str, Field(pattern=r"^[^\n]*$")]
    ] = {}
    """Settings of the daemons that differ from the robot's file."""
    event: list[Event] = []
    expect: Expected = Expected()

    @property
    def needs_ollama(self) -> bool:
        """Whether it is for an image with Ollama only."""
        return any(
            isinstance(event, AskModel) or (isinstance(event, Signal | Restart) and event.part == "ollama")
            for event in self.event
        )

    @model_validator(mode="after")
    def _within(self) -> Scenario:
        for number, event in enumerate(self.event):
            if event.at_s > self.seconds:
                raise ValueError(
                    f"event {number + 1} is at {event.at_s:g} s, after the end of the scenario at {self.seconds:g} s"
                )
            if isinstance(event, Link | Task) and not self.fleet:
                raise ValueError(f"event {number + 1}, {event.do}, needs a fleet; write fleet = true")
        if self.expect.model is not None and not any(isinstance(event, AskModel) for event in self.event):
            raise ValueError('expect.model needs an event that asks it; write do = "ask_model"')
        if self.expect.fleet is not None and not self.fleet:
            raise ValueError("expect.fleet needs a fleet; write fleet = true")
        return self
