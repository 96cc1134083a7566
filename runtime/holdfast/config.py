"""robot.toml, validated: the twin of runtime/control/src/robot/config.hpp.

Both refuse the same files for the same keys; runtime/tests/robot_toml holds the shared set. The values of `[worker]`,
`[agent]`, `[ota]` and `[telemetry]` are checked here alone, by the processes that use them. SI units; durations carry
`_ms` or `_s` in their names. `HOLDFAST_<SECTION>__<KEY>` in the environment overrides a single value of `[robot]`,
`[control]`, `[safety]`, `[worker]`, `[agent]`, `[agent.fallback]`, `[ota]`, `[telemetry]` and `[estimator]`.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from holdfast.bus_load import Devices, LinkLoad, bus_loads
from holdfast.device_rules import collide, drive_problems, quantity_problem
from holdfast.errors import ConfigError
from holdfast.fields import Finite, Limits, Magnitude, Name, Share, Table, Text
from holdfast.relations import (
    MAX_COUPLINGS,
    MAX_ZONES,
    Coupling,
    Workspace,
    Zone,
    check_couplings,
    check_workspace,
    check_zones,
)
from holdfast.toml_positions import KeyPath, key_lines, line_of

MAX_COMMAND_CHANNELS = 32
MAX_STATE_CHANNELS = 64
MAX_DRIVES = 32
MAX_SENSORS = 16
MAX_LINKS = 16
MIN_BITRATE = 10_000
MAX_INPUT_CHANNELS = 16


def _watchdog_by_number(device: str) -> str:
    if device == "/dev/watchdog":
        raise ValueError(
            f'"{device}" is the old name of the first one, which the daemon may not open; write "/dev/watchdog0"'
        )
    return device


Milliseconds = Annotated[float, Field(gt=0, le=60_000, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
ShortMilliseconds = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
ImuNoise = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
RobotId = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
_BAUD = (57600, 115200, 230400, 460800, 500000, 921600, 1000000, 1500000, 2000000, 2500000, 3000000, 4000000)
Link = Annotated[
    str,
    Field(
        pattern=rf"^(can:[^/]{{1,15}}|unix:.+|serial:[^?]+\?baud=({'|'.join(str(rate) for rate in _BAUD)}))$"
    ),
]
Rate = Annotated[int, Field(ge=1, le=10_000)]
GpioLine = Annotated[str, Field(pattern=r"^[^:,\s]{1,64}:[0-9]{1,4}$")]
DevicePath = Annotated[str, Field(pattern=r"^/dev/.*$"), AfterValidator(_watchdog_by_number)]
Reaction = Literal["stop", "warn", "off"]


def canonical_line(line: str) -> tuple[str, int]:
    """Return chip and number of a `GpioLine`: two ways to write one line are equal then."""
    chip, _, number = line.partition(":")
    return chip, int(number)


class Robot(Table):
    """Who this robot is. The id becomes a host name and a token of NATS subjects."""

    id: RobotId
    model: Text | None = None


class Control(Table):
    """Rates and scheduling of the real-time core."""

    tier1_hz: int = Field(1000, ge=100, le=2000)
    controller_hz: int = Field(100, ge=1, le=1000)
    realtime: Literal["require", "prefer"] = "require"
    tier1_priority: int = Field(90, ge=1, le=98)
    controller_priority: int = Field(80, ge=1, le=97)
    cpu: int = Field(-1, ge=-1, le=1023)
    overrun_limit: int = Field(5, ge=1, le=1000)
    overrun_window: int = Field(1000, ge=1, le=1_000_000)
    safety_silent_cycles: int = Field(20, ge=2, le=10_000)
    resume: Literal["manual", "auto"] = "manual"
    shadow_ticks: int = Field(100, ge=0, le=100_000)
    """A controller that is deployed while the robot is armed runs this long beside the active one, unsent."""
    canary_ticks: int = Field(100, ge=0, le=100_000)
    """Then this long with its output held near the active one's."""
    canary_deviation: Share = 0.1
    """How near, as a fraction of a channel's range."""
    watch_ticks: int = Field(1000, ge=0, le=100_000)
    """How long it then runs until it is the last known good one."""


class Safety(Table):
    """What the safety daemon watches, and what it does about it."""

    priority: int = Field(95, ge=1, le=99)
    core_timeout_ms: Milliseconds = 5.0
    worker_timeout_ms: Milliseconds = 500.0
    worker_required: bool = True
    estop_lines: Annotated[list[GpioLine], Field(min_length=2, max_length=2)] | None = None
    """The two contacts of the e-stop."""
    estop_stop_level: Literal["low", "high"] = "low"
    """What a line reads when its contact is open."""
    estop_discrepancy_ms: Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)] = 500.0
    enable_line: GpioLine | None = None
    enable_signal: Literal["level", "pulse"] = "level"
    enable_drop_delay_ms: Annotated[float, Field(ge=0, le=10_000, allow_inf_nan=False)] = 0.0
    drive_faults: Reaction = "stop"
    core_overruns: Reaction = "stop"
    temperature: Reaction = "stop"
    max_temperature_c: Annotated[float, Field(gt=0, le=150, allow_inf_nan=False)] = 95.0
    temperature_hysteresis_c: Annotated[float, Field(gt=0, le=150, allow_inf_nan=False)] = 5.0
    temperature_required: bool = False
    """A temperature that cannot be read counts as too high."""
    memory_pressure: Reaction = "warn"
    max_memory_pressure_percent: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] = 50.0
    watchdog: DevicePath | None = None
    watchdog_timeout_s: int = Field(10, ge=1, le=3600)
    evidence_files: int = Field(20, ge=1, le=1000)

    def contradictions(self, tier1_hz: int) -> Iterator[tuple[str, str]]:
        """Yield each key that does not fit the others, with what is wrong."""
        lines = [canonical_line(line) for line in self.estop_lines or []]
        if len(set(lines)) < len(lines):
            yield "estop_lines", "name one line twice; give each contact its own"
        if self.enable_line is not None and canonical_line(self.enable_line) in lines:
            yield "enable_line", "is also one of estop_lines; give it a line of its own"
        if self.estop_discrepancy_ms < 1000 / tier1_hz:
            yield "estop_discrepancy_ms", "is below the period of tier1_hz; make it longer"
        if self.temperature_hysteresis_c >= self.max_temperature_c:
            yield "temperature_hysteresis_c", "is not below max_temperature_c; make it smaller"
        if self.temperature_required and self.temperature == "off":
            yield "temperature_required", 'contradicts temperature = "off"; remove one of them'


class Worker(Table):
    """The worker's own settings."""

    max_tasks: int = Field(1, ge=1, le=64)
    heartbeat_ms: Milliseconds = 100.0
    nats_url: Text = "nats://127.0.0.1:4222"
    """The broker on the robot itself."""
    nats_monitor_url: Text = "http://127.0.0.1:8222"
    """Its monitoring address: the worker reads there whether the link to the fleet is up."""


class Model(Table):
    """A provider of language models."""

    provider: Text
    model: Text | None = None
    url: Text | None = None


class Agent(Table):
    """The language model of the agent loop, and the one to fall back to."""

    provider: Text
    model: Text | None = None
    fallback: Model | None = None


class Ota(Table):
    """What the robot follows in the fleet's repository."""

    controller: Name | None = None
    health_window_s: Seconds = 10.0
    """How long a controller must run without a fault to count as good."""
    poll_s: Seconds = 30.0
    source: str = "fleet"
    """Where the repository is read from: "fleet" (the hub's object store) or an absolute folder (a USB stick)."""
    activate: Literal["disarmed", "any"] = "disarmed"
    """When an update may be loaded: only while nothing can move, or also between two ticks of a running robot."""


class Telemetry(Table):
    """What is recorded for the fleet, and how much is kept while it cannot be reached."""

    buffer_mb: int = Field(500, ge=1, le=1_000_000)
    rate_hz: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] = 1.0


class Estimator(Table):
    """The state estimator. Shares are of a channel's largest velocity, so that they fit every joint."""

    enabled: bool = True
    rejection_probability: Annotated[float, Field(gt=0, le=0.1, allow_inf_nan=False)] = 1e-6
    """How likely a good sample may be rejected: sets the innovation gate."""
    max_rejections: int = Field(10, ge=1, le=1_000_000)
    """This many in a row, and the estimate starts afresh and is unhealthy."""
    recovery_samples: int = Field(50, ge=1, le=1_000_000)
    """This many accepted in a row after that, and it is healthy again."""
    acceleration_time_ms: ShortMilliseconds = 10.0
    """A joint may take up its max_accel within this time."""
    position_noise: Share = 1e-4
    """Standard deviation of a measured position, as a share of the way of one second at the largest velocity."""
    velocity_noise: Share = 0.01
    """Standard deviation of a measured velocity, as a share of the largest one."""
    timing_noise_ms: ShortMilliseconds | None = None
    """Standard deviation of the moment at which a sample was taken; None: one period of the loop."""
    gyro_noise: ImuNoise = 5e-3
    """rad/s/sqrt(Hz)."""
    gyro_bias_walk: ImuNoise = 1e-4
    """rad/s²/sqrt(Hz)."""
    accelerometer_noise: ImuNoise = 0.5
    """m/s²."""
    accelerometer_gate: ImuNoise = 2.0
    """m/s²: an acceleration that differs more from gravity is motion, and says nothing about what is up."""


class CommandChannel(Table):
    """A value that controllers set and drives follow."""

    name: Name
    kind: Literal["velocity", "position", "effort"]
    unit: Text
    limits: Limits
    default: Finite | None = None
    max_rate: Magnitude | None = None
    max_accel: Magnitude | None = None
    position_state: Text | None = None
    position_limits: Limits | None = None
    max_jerk: Magnitude | None = None


class StateChannel(Table):
    """A value that controllers read."""

    name: Name
    drive: Text | None = None
    sensor: Text | None = None
    quantity: Literal[
        "position",
        "velocity",
        "effort",
        "angular_rate_x",
        "angular_rate_y",
        "angular_rate_z",
        "acceleration_x",
        "acceleration_y",
        "acceleration_z",
        "force_x",
        "force_y",
        "force_z",
        "torque_x",
        "torque_y",
        "torque_z",
        "distance",
    ]
    unit: Text
    limits: Limits
    max_age_ms: Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)]
    noise: Magnitude | None = None
    """Standard deviation of a sample, in its unit; derived by `[estimator]` where it is not given."""


class InputChannel(Table):
    """A set-point from outside the robot; controllers read it like a state, after the states."""

    name: Name
    unit: Text
    limits: Limits
    max_age_ms: Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)]


class Drive(Table):
    """A motor controller on a link."""

    name: Name
    link: Link
    profile: Literal["odrive-cansimple", "cia402"]
    node: int = Field(ge=0, le=127)
    turns_per_unit: Finite
    channels: list[str] = Field(min_length=1, max_length=1)
    heartbeat_ms: Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)] = 100.0
    """Its period; a drive that missed three of them is silent, which stops the robot."""
    feedback_hz: Rate | None = None
    """How often it reports; once a cycle by default."""
    counts_per_turn: Magnitude | None = None
    """cia402: position increments of one motor turn."""


class Sensor(Table):
    """A sensor on a link, in the frames of runtime/control/src/sensor/frames.hpp."""

    name: Name
    link: Link
    profile: Literal["imu", "force-torque", "distance"]
    node: int = Field(ge=0, le=62)
    rate_hz: Rate | None = None
    """How often it reports; once a cycle by default."""


class LinkSettings(Table):
    """What a `can:` link is, beyond its URL."""

    name: Name
    url: Link
    bitrate: int = Field(ge=0, le=1_000_000)
    """Bit/s; 0: a bus without hardware, which has no limit."""


@dataclass(frozen=True)
class RobotConfig:
    """A whole robot.toml, validated."""

    robot: Robot
    control: Control
    safety: Safety
    worker: Worker
    agent: Agent | None
    ota: Ota
    telemetry: Telemetry
    estimator: Estimator
    command: tuple[CommandChannel, ...]
    state: tuple[StateChannel, ...]
    drive: tuple[Drive, ...]
    sensor: tuple[Sensor, ...] = ()
    link: tuple[LinkSettings, ...] = ()
    coupling: tuple[Coupling, ...] = ()
    zone: tuple[Zone, ...] = ()
    workspace: Workspace | None = None

    @property
    def link_loads(self) -> list[LinkLoad]:
        """What the frames need of each link."""
        return bus_loads(
            Devices(self.control.tier1_hz, self.command, self.state, self.drive, self.sensor, self.link)
        )

    input: tuple[InputChannel, ...] = ()

    @property
    def command_names(self) -> list[str]:
        """Names of the command channels, in channel order."""
        return [channel.name for channel in self.command]

    @property
    def state_names(self) -> list[str]:
        """Names of the state channels, in channel order."""
        return [channel.name for channel in self.state]


_SECTIONS: dict[str, type[Table]] = {
    "robot": Robot,
    "control": Control,
    "safety": Safety,
    "worker": Worker,
    "agent": Agent,
    "agent.fallback": Model,
    "ota": Ota,
    "telemetry": Telemetry,
    "estimator": Estimator,
}
_ENTRIES: dict[str, tuple[type[BaseModel], int, int]] = {
    "command": (CommandChannel, 1, MAX_COMMAND_CHANNELS),
    "state": (StateChannel, 0, MAX_STATE_CHANNELS),
    "drive": (Drive, 1, MAX_DRIVES),
    "sensor": (Sensor, 0, MAX_SENSORS),
    "link": (LinkSettings, 0, MAX_LINKS),
    "coupling": (Coupling, 0, MAX_COUPLINGS),
    "zone": (Zone, 0, MAX_ZONES),
    "input": (InputChannel, 0, MAX_INPUT_CHANNELS),
}


def load_robot_config(file: Path, environment: Mapping[str, str] | None = None) -> RobotConfig:
    """Read, override from the environment (os.environ by default) and validate a robot.toml.

    Raises:
        ConfigError: with every problem, one a line: "robot.toml:14: command.elbow.limits: min 2 is not below ...".
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{file}: cannot be read ({error.strerror}); name the file with --config or HOLDFAST_CONFIG"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}:1: not valid TOML: the file is not UTF-8") from error
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+)", str(error))
        line = found.group(1) if found else text.count("\n") + 1
        raise ConfigError(f"{file}:{line}: not valid TOML: {error}") from error
    return _Loader(file, text, raw, os.environ if environment is None else environment).load()


@dataclass(frozen=True)
class _Override:
    variable: str
    section: str
    key: str
    text: str


def _overrides(environment: Mapping[str, str]) -> list[_Override]:
    found = []
    for variable, text in environment.items():
        section, separator, key = variable.removeprefix("HOLDFAST_").rpartition("__")
        if variable.startswith("HOLDFAST_") and separator and section:
            found.append(_Override(variable, section.lower().replace("__", "."), key.lower(), text))
    return found


def _value_of(override: _Override, annotation: Any) -> Any:
    """Read a variable as the type of its key; what does not fit stays text and is refused by the model."""
    choices = [annotation, *map(_plain, get_args(annotation))]
    if bool in choices:
        return {"true": True, "false": False}.get(override.text, override.text)
    if any(get_origin(choice) is list for choice in choices):
        return override.text.split(",") if override.text else []
    reader: Callable[[str], Any] = next((number for number in (int, float) if number in choices), str)
    try:
        return reader(override.text)
    except ValueError:
        return override.text


def _plain(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


TableT = TypeVar("TableT", bound=Table)


class _Loader:
    def __init__(self, file: Path, text: str, raw: dict[str, Any], environment: Mapping[str, str]) -> None:
        self._file = file
        self._raw = raw
        self._lines = key_lines(text)
        self._overrides = _overrides(environment)
        self._problems: list[tuple[int, str]] = []
        # Entries that are sound by themselves, by kind and index.
        self._sound: dict[str, dict[int, Any]] = {kind: {} for kind in _ENTRIES}
        self._names: dict[str, list[str]] = {}
        # False once a reference leads nowhere: checks that follow references would only repeat that.
        self._resolved = True

    def load(self) -> RobotConfig:
        for key in self._raw:
            if key not in _SECTIONS and key not in _ENTRIES and key != "workspace":
                self._add((key,), key, "is not a known section; remove it or correct its spelling")
        self._refuse_unknown_overrides()
        robot = self._section("robot", Robot)
        control = self._section("control", Control)
        safety = self._section("safety", Safety)
        worker = self._section("worker", Worker)
        agent = self._section("agent", Agent) if self._present("agent") else None
        ota = self._section("ota", Ota)
        telemetry = self._section("telemetry", Telemetry)
        for key, what in safety.contradictions((control or Control()).tier1_hz) if safety else ():
            self._section_problem("safety", key, what)
        estimator = self._section("estimator", Estimator)
        self._check_control(control or Control(), safety or Safety(), worker or Worker())
        for kind in _ENTRIES:
            self._read_entries(kind)
        self._check_commands()
        self._check_states()
        self._check_drives()
        self._check_addresses()
        self._check_links()
        self._check_inputs()
        if self._resolved:
            self._check_drive_kinds()
        self._check_quantities()
        if self._resolved:
            self._check_position_states()
        workspace = self._check_relations()
        if not self._problems:
            self._check_bus_loads(control or Control())
        if self._problems or not (
            robot and control and safety and worker and ota and telemetry and estimator
        ):
            raise ConfigError(
                "\n".join(text for _, text in sorted(self._problems, key=lambda problem: problem[0]))
            )
        return RobotConfig(
            robot,
            control,
            safety,
            worker,
            agent,
            ota,
            telemetry,
            estimator,
            tuple(self._sound["command"].values()),
            tuple(self._sound["state"].values()),
            tuple(self._sound["drive"].values()),
            tuple(self._sound["sensor"].values()),
            tuple(self._sound["link"].values()),
            tuple(self._sound["coupling"].values()),
            tuple(self._sound["zone"].values()),
            workspace,
            tuple(self._sound["input"].values()),
        )

    # --- places and problems -------------------------------------------------------------------------------------

    def _add(self, path: KeyPath, key: str, what: str) -> None:
        line = line_of(self._lines, path)
        self._problems.append((line, f"{self._file}:{line}: {key}: {what}"))

    def _section_problem(self, section: str, key: str, what: str) -> None:
        for override in self._overrides:
            if (override.section, override.key) == (section, key):
                self._problems.append((0, f"{override.variable}: {section}.{key}: {what}"))
                return
        self._add((*section.split("."), key), f"{section}.{key}", what)

    def _entry_problem(self, kind: str, index: int, key: str, what: str) -> None:
        self._add((kind, index, key), f"{self._entry_name(kind, index)}.{key}", what)

    def _entry_name(self, kind: str, index: int) -> str:
        name = self._names[kind][index]
        return f"{kind}.{name}" if name else f"{kind}[{index}]"

    # --- sections ------------------------------------------------------------------------------------------------

    def _present(self, section: str) -> bool:
        return section in self._raw or any(override.section == section for override in self._overrides)

    def _refuse_unknown_overrides(self) -> None:
        for override in self._overrides:
            model = _SECTIONS.get(override.section)
            if model is None:
                what = f"{override.variable}: {override.section}: is not a section that can be overridden; unset it"
            elif override.key not in model.model_fields or override.key == "fallback":
                what = f"{override.variable}: {override.section}.{override.key}: is not a known key; unset it"
            else:
                continue
            self._problems.append((0, what))

    def _section(self, name: str, model: type[TableT]) -> TableT | None:
        table = self._raw.get(name, {})
        if not isinstance(table, dict):
            self._add((name,), name, f"must be a table; write [{name}]")
            return None
        table = dict(table)
        for override in self._overrides:
            section = _SECTIONS.get(override.section)
            if section is None or override.key not in section.model_fields:
                continue
            target = table
            if override.section == f"{name}.fallback":
                target = table["fallback"] = dict(table.get("fallback", {}))
            elif override.section != name:
                continue
            target[override.key] = _value_of(override, section.model_fields[override.key].annotation)
        try:
            return model.model_validate(table)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                *outer, key = _key_path(detail["loc"])
                self._section_problem(".".join([name, *outer]), key, _sentence(detail))
            return None

    def _check_control(self, control: Control, safety: Safety, worker: Worker) -> None:
        if control.tier1_hz % control.controller_hz:
            self._section_problem(
                "control",
                "controller_hz",
                f"tier1_hz {control.tier1_hz} is not a multiple of it; choose a divisor",
            )
        if control.controller_priority >= control.tier1_priority:
            self._section_problem(
                "control",
                "controller_priority",
                f"must be below tier1_priority {control.tier1_priority}: a controller must never delay the loop",
            )
        if control.overrun_limit > control.overrun_window:
            self._section_problem(
                "control",
                "overrun_limit",
                f"cannot be reached within overrun_window {control.overrun_window} cycles; make it smaller",
            )
        if safety.priority <= control.tier1_priority:
            self._section_problem(
                "safety",
                "priority",
                f"must be above control.tier1_priority {control.tier1_priority}: the loop must never delay a stop",
            )
        if safety.core_timeout_ms < 2 * 1000 / control.tier1_hz:
            self._section_problem(
                "safety",
                "core_timeout_ms",
                "is below two Tier-1 periods and would stop a healthy robot; make it longer",
            )
        if worker.heartbeat_ms * 2 > safety.worker_timeout_ms:
            self._section_problem(
                "worker",
                "heartbeat_ms",
                f"is above half of safety.worker_timeout_ms {safety.worker_timeout_ms:g} and would stop a healthy "
                "robot; make it shorter",
            )

    # --- channels and drives -------------------------------------------------------------------------------------

    def _read_entries(self, kind: str) -> None:
        model, least, most = _ENTRIES[kind]
        entries = self._raw.get(kind, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            self._add((kind,), kind, f"must be a list of tables; write [[{kind}]]")
            self._names[kind] = []
            return
        names = [entry.get("name") for entry in entries]
        self._names[kind] = [name if isinstance(name, str) else "" for name in names]
        if len(entries) < least:
            self._add((), kind, f"there is none; add a [[{kind}]]")
        if len(entries) > most:
            self._add((kind, most), kind, f"there are more than {most}; remove some")
        for index, entry in enumerate(entries):
            first = self._names[kind].index(self._names[kind][index])
            if first != index and self._names[kind][index]:
                line = line_of(self._lines, (kind, first, "name"))
                self._entry_problem(kind, index, "name", f"is already used at line {line}; give each its own")
            try:
                self._sound[kind][index] = model.model_validate(entry)
            except ValidationError as error:
                self._resolved = False
                for detail in error.errors(include_url=False):
                    self._entry_problem(kind, index, _key_path(detail["loc"])[0], _sentence(detail))

    def _reference(self, kind: str, index: int, key: str, target: str, name: str) -> int | None:
        if name in self._names[target]:
            return self._names[target].index(name)
        self._resolved = False
        self._entry_problem(
            kind, index, key, f'there is no [[{target}]] named "{name}"; add it or correct the name'
        )
        return None

    def _check_commands(self) -> None:
        for index, command in self._sound["command"].items():
            for key, why in _FORBIDDEN[command.kind].items():
                if getattr(command, key) is not None:
                    self._entry_problem("command", index, key, f"{why}; remove it")
            for key in _REQUIRED[command.kind]:
                if getattr(command, key) is None:
                    self._entry_problem("command", index, key, "is missing; add it")
            if command.kind != "position":
                low, high = command.limits
                if low > 0 or high < 0:
                    self._entry_problem(
                        "command",
                        index,
                        "limits",
                        "must contain 0, which is the stop of this channel; widen them",
                    )
                elif not low <= (command.default or 0.0) <= high:
                    self._entry_problem(
                        "command", index, "default", "is outside limits; choose a value within them"
                    )
            if command.kind != "effort" and command.position_state is not None:
                self._reference("command", index, "position_state", "state", command.position_state)
            if command.kind == "velocity" and command.position_limits and command.position_state is None:
                self._entry_problem("command", index, "position_limits", "need a position_state; add it")

    def _check_states(self) -> None:
        for index, state in self._sound["state"].items():
            if state.sensor is not None:
                if state.drive is not None:
                    self._entry_problem("state", index, "drive", "a sensor measures this state; remove it")
                self._reference("state", index, "sensor", "sensor", state.sensor)
            elif state.drive is None:
                self._resolved = False
                self._entry_problem("state", index, "drive", "is missing; add it")
            else:
                self._reference("state", index, "drive", "drive", state.drive)

    def _check_drives(self) -> None:
        carriers: dict[int, str] = {}
        for index, drive in self._sound["drive"].items():
            if drive.turns_per_unit == 0:
                self._entry_problem(
                    "drive", index, "turns_per_unit", "is 0; say how far the motor turns for one unit"
                )
            for key, why in drive_problems(drive):
                self._entry_problem("drive", index, key, why)
            command = self._reference("drive", index, "channels", "command", drive.channels[0])
            if command is not None and command in carriers:
                self._entry_problem(
                    "drive",
                    index,
                    "channels",
                    f'command "{drive.channels[0]}" is already carried by drive "{carriers[command]}"; '
                    "give it one drive",
                )
            elif command is not None:
                carriers[command] = drive.name
        if self._resolved:
            for index in self._sound["command"]:
                if index not in carriers:
                    self._entry_problem(
                        "command", index, "name", "no [[drive]] carries this channel; add one"
                    )

    def _check_addresses(self) -> None:
        """No two devices of a link may use one CAN identifier."""
        seen: list[Drive | Sensor] = []
        for kind in ("drive", "sensor"):
            for index, device in self._sound[kind].items():
                other = next((old for old in seen if old.link == device.link and collide(old, device)), None)
                if other is not None:
                    named = "sensor" if isinstance(other, Sensor) else "drive"
                    self._entry_problem(
                        kind,
                        index,
                        "node",
                        f'{device.node} on {device.link} uses CAN identifiers of {named} "{other.name}"; '
                        "give each device its own node",
                    )
                seen.append(device)

    def _check_links(self) -> None:
        used = {device.link for kind in ("drive", "sensor") for device in self._sound[kind].values()}
        described: set[str] = set()
        for index, link in self._sound["link"].items():
            if not link.url.startswith("can:"):
                self._entry_problem(
                    "link",
                    index,
                    "url",
                    "only a can: link has a section; a serial: link says its baud rate in its URL",
                )
            if 0 < link.bitrate < MIN_BITRATE:
                self._entry_problem(
                    "link",
                    index,
                    "bitrate",
                    "is below 10000 bit/s; write the bit rate of the bus, or 0 for one without hardware",
                )
            if link.url not in used:
                self._entry_problem(
                    "link",
                    index,
                    "url",
                    f"no drive or sensor is on {link.url}; correct it or remove this link",
                )
            if link.url in described:
                self._entry_problem(
                    "link", index, "url", f"{link.url} is already described; describe each link once"
                )
            described.add(link.url)

    def _check_drive_kinds(self) -> None:
        kinds = {command.name: command.kind for command in self._sound["command"].values()}
        for index, drive in self._sound["drive"].items():
            if drive.profile == "cia402" and kinds[drive.channels[0]] == "effort":
                self._entry_problem(
                    "drive",
                    index,
                    "profile",
                    f'a cia402 drive follows positions or velocities; command "{drive.channels[0]}" is an effort: '
                    "use odrive-cansimple",
                )

    def _check_quantities(self) -> None:
        """What a state is read from must be able to measure it."""
        for index, state in self._sound["state"].items():
            kind, name = ("sensor", state.sensor) if state.sensor is not None else ("drive", state.drive)
            source = next((device for device in self._sound[kind].values() if device.name == name), None)
            why = quantity_problem(state, source) if source is not None else None
            if why is not None:
                self._resolved = False
                self._entry_problem("state", index, "quantity", why)

    def _check_bus_loads(self, control: Control) -> None:
        """No bus may have to carry more than it can."""
        found = {kind: list(self._sound[kind].items()) for kind in _ENTRIES}
        parts = {kind: tuple(entry for _, entry in found[kind]) for kind in _ENTRIES}
        devices = Devices(
            control.tier1_hz, parts["command"], parts["state"], parts["drive"], parts["sensor"], parts["link"]
        )
        for load in bus_loads(devices):
            if load.share <= 1:
                continue
            places = [("link", "bitrate", index) for index, link in found["link"] if link.url == load.url] + [
                (kind, "link", index)
                for kind in ("drive", "sensor")
                for index, device in found[kind]
                if device.link == load.url
            ]
            kind, key, index = places[0]
            self._entry_problem(
                kind,
                index,
                key,
                f"{load}: it cannot carry the frames; lower tier1_hz, feedback_hz or rate_hz, or use more links",
            )

    def _check_inputs(self) -> None:
        """A name must mean one value: inputs and states are read alike."""
        for index, name in enumerate(self._names["input"]):
            if name and name in self._names["state"]:
                self._entry_problem(
                    "input", index, "name", "is the name of a [[state]]; give the input its own"
                )

    def _check_position_states(self) -> None:
        """A stop holds the measured position: measured by another drive or in another unit it would be a move."""
        for index, command in self._sound["command"].items():
            if command.kind == "effort" or command.position_state is None:
                continue
            state = self._sound["state"][self._names["state"].index(command.position_state)]
            drive = self._sound["drive"][self._names["drive"].index(state.drive)]
            if state.quantity != "position":
                self._entry_problem(
                    "command",
                    index,
                    "position_state",
                    f'"{state.name}" is not a position; name a state with quantity "position"',
                )
            elif drive.channels[0] != command.name:
                self._entry_problem(
                    "command",
                    index,
                    "position_state",
                    f'"{state.name}" is measured by drive "{drive.name}", which does not carry this channel; '
                    "name its own position",
                )
            elif command.kind == "position" and command.unit != state.unit:
                self._entry_problem(
                    "command",
                    index,
                    "unit",
                    f'"{command.unit}" differs from "{state.unit}" of its position_state; use one unit',
                )

    # --- channels together ---------------------------------------------------------------------------------------

    def _check_relations(self) -> Workspace | None:
        commands = list(self._sound["command"].values())
        check_couplings(
            self._sound["coupling"],
            commands,
            self._names["command"],
            lambda index, key, what: self._entry_problem("coupling", index, key, what),
        )
        check_zones(
            self._sound["zone"],
            self._names["state"],
            lambda index, key, what: self._entry_problem("zone", index, key, what),
        )
        workspace = self._read_workspace()
        if workspace is not None:
            names = self._names
            folder = self._file.parent
            check_workspace(
                workspace, folder, commands, names["command"], names["state"], self._workspace_problem
            )
        return workspace

    def _read_workspace(self) -> Workspace | None:
        if "workspace" not in self._raw:
            return None
        if not isinstance(self._raw["workspace"], dict):
            self._add(("workspace",), "workspace", "must be a table; write [workspace]")
            return None
        try:
            return Workspace.model_validate(self._raw["workspace"])
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                self._workspace_problem(detail["loc"], _sentence(detail))
            return None

    def _workspace_problem(self, path: KeyPath, what: str) -> None:
        keys = list(path)
        while len(keys) > 1 and isinstance(keys[-1], int):
            keys.pop()  # an index into the list that a key holds
        shown = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
        self._add(("workspace", *path), f"workspace{shown}", what)


_FORBIDDEN: dict[str, dict[str, str]] = {
    "position": {
        "default": "a position channel holds its position instead",
        "position_limits": "only a velocity channel has them",
    },
    "velocity": {"max_rate": "a velocity channel is limited by max_accel"},
    "effort": {
        "max_accel": "an effort channel is limited by max_rate",
        "max_jerk": "an effort channel is limited by max_rate",
        "position_state": "an effort channel does not use it",
        "position_limits": "only a velocity channel has them",
    },
}
_REQUIRED: dict[str, tuple[str, ...]] = {
    "position": ("max_rate", "max_accel", "position_state"),
    "velocity": ("max_accel",),
    "effort": ("max_rate",),
}
_PATTERN_MEANING = {
    "RobotId": "is not usable as a host name; use at most 63 of a-z, 0-9 and '-'",
    "Link": 'is not a link; write "can:NAME", "serial:DEVICE?baud=921600" or "unix:PATH"',
    "GpioLine": 'is not a GPIO line; write "CHIP:NUMBER", for example "gpiochip0:5"',
    "DevicePath": 'is not a device; write "/dev/watchdog0"',
    "Name": "may have 1 to 64 letters, digits, '_', '.' and '-'",
}


def _key_path(location: tuple[int | str, ...]) -> list[str]:
    """Keep the keys of a pydantic location; indices into lists belong to the key that holds the list."""
    return [str(part) for part in location if isinstance(part, str)]


def _sentence(detail: Mapping[str, Any]) -> str:
    kind, given = detail["type"], detail.get("input")
    if kind == "missing":
        return "is missing; add it"
    if kind == "extra_forbidden":
        return "is not a known key; remove it or correct its spelling"
    if kind == "string_too_short":
        return "is empty; give it a value"
    if kind == "finite_number":
        return f"must be a finite number, not {given}"
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    if kind == "string_pattern_mismatch":
        pattern = detail["ctx"]["pattern"]
        meaning = next(
            text for name, text in _PATTERN_MEANING.items() if _pattern_of(globals()[name]) == pattern
        )
        return f'"{given}" {meaning}'
    shown = f"{given} " if isinstance(given, int | float | str) and not isinstance(given, bool) else ""
    return shown + str(detail["msg"]).replace(
        "Input should be", "must be" if not shown else "is refused: it must be"
    )


def _pattern_of(annotated: Any) -> str:
    return next(str(item.pattern) for item in annotated.__metadata__[0].metadata if hasattr(item, "pattern"))
