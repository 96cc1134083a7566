"""Scenario `safety-lines`: the e-stop's two contacts, the enable line and the hardware watchdog of the booted image.

The wires are lines of gpio-sim, the watchdog is softdog: the same interfaces of the kernel as with real ones. The
contacts are pulled by writing to the simulated chip, the enable line is read there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Protocol

from holdfast_bench.facade import Power
from holdfast_bench.guest.gpio_sim import CHIP, ENABLE_LINE, ESTOP_LINES, LINKS, line_name
from holdfast_bench.one_by_one import one_by_one
from holdfast_bench.result import BenchError
from holdfast_bench.robot import PYTHON, Robot, wait_until

_FIRST, _SECOND = ESTOP_LINES
_MAKE_CHIP = f"{PYTHON} -m holdfast_bench.guest.gpio_sim"
_UNIT = "holdfast-safety.service"
_DROP_IN = f"/run/systemd/system/{_UNIT}.d/90-bench-lines.conf"
_DISCREPANCY_MS = 2000
_WATCHDOG_S = 10
Result = dict[str, Any]


class Target(Protocol):
    """What the scenario needs of the bench."""

    @property
    def robot(self) -> Robot:
        """The robot under test."""
        ...

    @property
    def power(self) -> Power:
        """Its power supply."""
        ...

    def wait_ready(self) -> float:
        """Wait for holdfast.target; returns the seconds since power-on."""
        ...


class Wires:
    """The simulated chip: contacts to pull, the enable line to look at."""

    def __init__(self, robot: Robot) -> None:
        self._robot = robot

    def make(self) -> None:
        """Make the chip; its lines float low, which is an open contact."""
        self._shell(_MAKE_CHIP)

    def take_away(self) -> None:
        """Unplug the chip, and whatever is on it."""
        self._shell(f"echo 0 > {CHIP}/live && rmdir {CHIP}/bank0 {CHIP}")

    def close_contact(self, *lines: int) -> None:
        """Close the contacts on lines."""
        self._pull(lines, "pull-up")

    def open_contact(self, *lines: int) -> None:
        """Open the contacts on lines."""
        self._pull(lines, "pull-down")

    def release(self) -> None:
        """Release the e-stop: both contacts close."""
        self.close_contact(_FIRST, _SECOND)

    def press(self) -> None:
        """Press the e-stop: both contacts open."""
        self.open_contact(_FIRST, _SECOND)

    def enabled(self) -> bool:
        """Return the level of the enable line."""
        return self._shell(f"cat {self._line(ENABLE_LINE)}/value").strip() == "1"

    def touch(self, line: int) -> None:
        """Open a contact and close it at once."""
        self._pull((line, line), "pull-down", "pull-up")

    def _pull(self, lines: tuple[int, ...], *levels: str) -> None:
        """Pull the lines, all to one level or each to its own."""
        # One command: two logins of an emulated robot can be further apart than contacts may disagree.
        each = levels * len(lines) if len(levels) == 1 else levels
        pulls = zip(lines, each, strict=True)
        self._shell(" && ".join(f"echo {level} > {self._line(line)}/pull" for line, level in pulls))

    def _line(self, line: int) -> str:
        return f"{LINKS}/sim_gpio{line}"

    def _shell(self, command: str) -> str:
        return self._robot.shell.run(command).stdout


@contextmanager
def _configured(robot: Robot, environment: dict[str, str]) -> Iterator[None]:
    """Give the safety daemon keys of robot.toml for a while, and start it anew with them."""
    lines = "".join(f"HOLDFAST_SAFETY__{key.upper()}={value}\\n" for key, value in environment.items())
    robot.shell.run(
        f"mkdir -p $(dirname {_DROP_IN}) && printf '{lines}' > /run/holdfast-bench.env"
        f" && printf '[Service]\\nEnvironmentFile=/run/holdfast-bench.env\\n' > {_DROP_IN}"
        f" && systemctl daemon-reload && systemctl restart {_UNIT}"
    )
    try:
        yield
    finally:
        robot.shell.run(f"rm -f {_DROP_IN} && systemctl daemon-reload && systemctl restart {_UNIT}")


def _expect(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise BenchError(f"{what}: found {found!r}, expected {expected!r}")


def _reset(robot: Robot) -> None:
    wait_until("the reset is granted", lambda: robot.holdfast("robot", "reset")["ok"])


def _wait_standing(robot: Robot, cause: str) -> None:
    try:
        wait_until(f"{cause} stands", lambda: robot.safety()["standing"] == cause)
    except BenchError as error:
        raise BenchError(f"{error}; what stands: {robot.safety()}") from None


def _refused(robot: Robot) -> str:
    answer = robot.holdfast("robot", "reset")
    if answer["ok"]:
        raise BenchError("the reset was granted although its cause stands")
    return str(answer["error"])


def _ready(robot: Robot, wires: Wires) -> None:
    """Clear what an earlier case left, and wait until the drives have power."""
    wires.release()
    _wait_standing(robot, "none")
    _reset(robot)
    wait_until("the enable line is high", wires.enabled)


def _press_and_release(robot: Robot, wires: Wires) -> Result:
    _ready(robot, wires)
    wires.press()
    status = robot.wait_latched("estop_line")
    _expect("contacts", status["estop_line"], {"readable": True, "open": [True, True]})
    _expect("the enable line under a stop", wires.enabled(), False)
    refusal = _refused(robot)
    wires.release()
    _wait_standing(robot, "none")
    _expect("the latch after the release", robot.safety()["latched"], True)
    _reset(robot)
    wait_until("the enable line is high again", wires.enabled)
    return {"reset_refused": refusal}


def _short_opening(robot: Robot, wires: Wires) -> Result:
    """A contact that opens and closes within one command of the shell: its edge counts."""
    _ready(robot, wires)
    wires.open_contact(_FIRST)
    wires.close_contact(_FIRST)
    robot.wait_latched("estop_line")
    return {}


def _one_contact(robot: Robot, wires: Wires) -> Result:
    _ready(robot, wires)
    wires.open_contact(_SECOND)
    wait_until("one contact stops", lambda: robot.safety()["latched"])
    _wait_standing(robot, "estop_discrepancy")
    _expect("the cause", robot.safety()["cause"], "estop_discrepancy")
    wires.close_contact(_SECOND)
    refusal = _refused(robot)
    robot.shell.run(f"systemctl restart {_UNIT}")
    # The daemon's bias pulls both lines to "open" when it takes them: mended contacts pull against it.
    wires.close_contact(_FIRST)
    wires.open_contact(_SECOND)
    _expect("a restart", robot.safety()["latched"], True)
    wires.press()
    _wait_standing(robot, "estop_line")
    wires.release()
    _wait_standing(robot, "none")
    _reset(robot)
    return {"reset_refused": refusal}


def _killed_daemon(robot: Robot, wires: Wires) -> Result:
    """Whatever the line does while nobody holds it, the successor begins with it low."""
    _ready(robot, wires)
    robot.shell.run(f"systemctl kill --signal=SIGKILL {_UNIT}")
    wait_until("the daemon is back", lambda: robot.safety().get("ok"))
    # Its bias has opened the simulated contacts: the stop stands and the line is low.
    _wait_standing(robot, "estop_line")
    _expect("the enable line after the restart", wires.enabled(), False)
    return {}


def _unplugged(robot: Robot, wires: Wires) -> Result:
    _ready(robot, wires)
    wires.take_away()
    robot.wait_latched("estop_line_unreadable")
    return {"reset_refused": _refused(robot)}


CASES = (_press_and_release, _short_opening, _one_contact, _killed_daemon, _unplugged)


def _evidence(robot: Robot) -> Result:
    """Every stop of the cases has left its record."""

    def last() -> Result | None:
        records = robot.holdfast("robot", "evidence", "list")["records"]
        newest = robot.safety()["last_sequence"]
        return records[-1] if records and records[-1]["stop"] == newest else None

    record = wait_until("the last stop has its record", last)
    shown = robot.holdfast("robot", "evidence", "show", str(record["stop"]))
    _expect("entries of the record", len(shown["columns"]["time_ms"]), record["entries"])
    return record


def _watchdog(target: Target) -> Result:
    """A loop that hangs, in a daemon that is not restarted, resets the machine."""
    robot = target.robot
    robot.shell.run(f"modprobe softdog soft_margin={_WATCHDOG_S} && udevadm settle")
    device = robot.shell.run(
        "for w in /sys/class/watchdog/*; do grep -qi software $w/identity && echo /dev/${w##*/}; done"
    ).stdout.split()[-1]
    boot = robot.shell.run("cat /proc/sys/kernel/random/boot_id").stdout
    sysfs = f"/sys/class/watchdog/{device.removeprefix('/dev/')}"
    with _configured(robot, {"watchdog": device, "watchdog_timeout_s": str(_WATCHDOG_S)}):
        wait_until("the watchdog runs", lambda: robot.safety().get("watchdog_timeout_s") == _WATCHDOG_S)
        _expect("state", robot.shell.run(f"cat {sysfs}/state").stdout.strip(), "active")
    _expect("after a clean end", robot.shell.run(f"cat {sysfs}/state").stdout.strip(), "inactive")
    with _configured(robot, {"watchdog": device, "watchdog_timeout_s": str(_WATCHDOG_S)}):
        wait_until("the watchdog runs", lambda: robot.safety().get("watchdog_timeout_s") == _WATCHDOG_S)
        # The bench gives systemd's own watchdog a minute: the hardware comes first.
        robot.shell.run(f"systemctl kill --signal=SIGSTOP {_UNIT}", check=False)

        def reset() -> str | None:
            now = robot.shell.run("cat /proc/sys/kernel/random/boot_id", check=False).stdout
            return now if now and now != boot else None

        wait_until("the machine has been reset", reset)
        ready_s = target.wait_ready()
    return {"device": device, "boot_s": ready_s}


def run(target: Target) -> Result:
    """Run every case on a robot without a latched stop; leaves it reset and without wires."""
    robot, wires = target.robot, Wires(target.robot)
    wires.make()
    environment = {
        "estop_lines": ",".join(map(line_name, ESTOP_LINES)),
        "enable_line": line_name(ENABLE_LINE),
        "estop_discrepancy_ms": str(_DISCREPANCY_MS),
    }
    with ExitStack() as configured:
        configured.enter_context(_configured(robot, environment))
        robot.wait_latched("estop_line")  # the contacts of the new chip are open

        def watchdog() -> Result:
            configured.close()
            _reset(robot)
            return _watchdog(target)

        cases: dict[str, Callable[[], Result]] = {
            **{case.__name__.strip("_"): partial(case, robot, wires) for case in CASES},
            "evidence": partial(_evidence, robot),
            "watchdog": watchdog,
        }
        return {"cases": one_by_one("case", cases)}
