"""Makes a simulated GPIO chip with the robot's wires: `python -m holdfast_bench.guest.gpio_sim`.

Two ways lead here: holdfast-gpio-sim.service before the daemons, for a guest in virtual time, and the scenario
`safety-lines` by ssh on a robot that runs. The kernel's gpio-sim is configured below configfs and shows its lines in
sysfs (its documentation: admin-guide/gpio/gpio-sim.rst); it is a module of the bench's image only (decision 0009).
The chip's lines float low, which is an open contact.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LABEL = "holdfast-bench"
ESTOP_LINES = (5, 6)
ENABLE_LINE = 7
LINES = 8
CHIP = Path("/sys/kernel/config/gpio-sim") / LABEL
"""Exists as long as the chip; rmdir of its bank and of itself ends it."""
LINKS = Path("/run/holdfast-gpio-sim")
"""Leads to the folder of the chip's lines in sysfs: `sim_gpio7/value`, `sim_gpio5/pull`."""
ENABLE_LEVEL = LINKS / f"sim_gpio{ENABLE_LINE}/value"
_DEVICES = Path("/sys/devices/platform")


def line_name(line: int) -> str:
    """Return a line as robot.toml names it."""
    return f"{LABEL}:{line}"


def make_chip(chip: Path = CHIP, devices: Path = _DEVICES) -> Path:
    """Make the chip if it is not there; returns the folder of its lines in sysfs."""
    bank = chip / "bank0"
    bank.mkdir(parents=True, exist_ok=True)
    live = chip / "live"
    if not live.exists() or live.read_text().strip() != "1":
        (bank / "num_lines").write_text(str(LINES))
        (bank / "label").write_text(LABEL)
        live.write_text("1")
    return devices / (chip / "dev_name").read_text().strip() / (bank / "chip_name").read_text().strip()


def main() -> int:
    """Load the module, make the chip, wait until udev has given it to the safety daemon, and link to its lines."""
    # The mount of configfs follows its module, by udev and so some time later.
    for command in (
        ["modprobe", "gpio-sim"],
        ["systemctl", "start", "sys-kernel-config.mount"],
    ):
        if subprocess.run(command, check=False).returncode != 0:
            print(f"{' '.join(command)} failed; the bench's image has gpio-sim, no other", file=sys.stderr)
            return 1
    lines = make_chip()
    LINKS.unlink(missing_ok=True)
    LINKS.symlink_to(lines)
    subprocess.run(["udevadm", "settle"], check=False)
    print(f"the chip {LABEL} has {LINES} lines; they are in {lines}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
