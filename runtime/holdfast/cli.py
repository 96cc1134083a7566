"""The `holdfast` command: one group for each part, imported when it is asked for.

A robot carries this package alone; the parts of a workstation (image, bench, publisher) need not be there.
"""

from __future__ import annotations

import importlib

import click

from holdfast import __version__
from holdfast.command import EXIT_CODES

_PARTS = {
    "up": ("holdfast.up_cli:up", "Boot the robot under QEMU (or --host) and let it move."),
    "robot": ("holdfast.robot_cli:robot", "Look at a robot, deploy to it, arm, stop and reset it."),
    "os": (
        "holdfast_image.guest.os_cli:operating_system",
        "Install and judge versions of the image on this robot.",
    ),
    "image": ("holdfast_image.cli:image", "Build the operating system image."),
    "bench": ("holdfast_bench.cli:bench", "Run the hardware-in-the-loop scenarios."),
    "ota": ("holdfast_ota.cli:ota", "Sign, publish and mirror updates."),
}


class _Parts(click.Group):
    """Loads a part's commands when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_PARTS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _PARTS:
            return None
        place, summary = _PARTS[cmd_name]
        module, _, attribute = place.partition(":")
        try:
            command: click.Command = getattr(importlib.import_module(module), attribute)
        except ImportError as error:
            return _absent(cmd_name, summary, error)
        return command


def _absent(name: str, summary: str, error: ImportError) -> click.Command:
    """Stand in for a part that is not installed here."""

    def complain(_: tuple[str, ...]) -> None:
        raise click.UsageError(f"the part '{name}' is not installed here ({error}); run it in the repository")

    return click.Command(
        name,
        callback=lambda arguments: complain(arguments),
        params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)],
        help=f"{summary} (not installed here)",
        context_settings={"ignore_unknown_options": True},
    )


@click.group(cls=_Parts, epilog=EXIT_CODES)
@click.version_option(__version__, prog_name="holdfast")
def main() -> None:
    """Robots that keep working without a network and can always be stopped.

    Example: holdfast up --host
    """


if __name__ == "__main__":
    main()
