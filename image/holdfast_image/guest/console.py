r"""Keeps what stands above the login prompt: which robot this is, where it is, how it is, what to do next.

holdfast-console.service runs `python -m holdfast_image.guest.console`. `/etc/issue.d` has a link to what it writes;
`\4` and `\6` in it are the addresses, which agetty keeps up to date (agetty(8)). The same goes to the page on the local
network (holdfast_image.guest.page).
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from holdfast_image.errors import UsageError
from holdfast_image.guest.about import FILE, About, look

_ISSUE = Path("/run/holdfast-console/issue")
_PERIOD_S = 5.0


def issue(about: About) -> str:
    """Return the text for agetty; a backslash in what is shown is doubled, for agetty takes it for a code."""
    robot, state = (text.replace("\\", "\\\\") for text in (about.robot, about.state))
    next_step = about.next_step(r"\4")
    lines = (
        f"Holdfast {about.version} for {about.board}: robot {robot}",
        r"Name \n, addresses \4 \6",
        f"State: {state}",
        f"Next: {next_step}",
    )
    return "".join(f"{line}\n" for line in lines) + "\n"


async def _keep() -> None:
    shown = ""
    while True:
        about = await look()
        about.write(FILE)
        if (text := issue(about)) != shown:
            _ISSUE.write_text(text)
            subprocess.run(["agetty", "--reload"], check=False)
            shown = text
        await asyncio.sleep(_PERIOD_S)


def main() -> int:
    """Keep both until somebody ends it."""
    try:
        asyncio.run(_keep())
    except (UsageError, OSError, subprocess.TimeoutExpired) as error:
        print(f"<4>{error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
