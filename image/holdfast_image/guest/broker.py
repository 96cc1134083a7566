"""Prepares the nats-server's start: `python -m holdfast_image.guest.broker`, run before it.

Its configuration is made anew from robot.toml (the JetStream domain begins with the robot's id) and
/etc/holdfast/fleet.conf (a nats-server fragment with the leaf node's remote; without the file the robot stands alone).
"""

from __future__ import annotations

import os
import shutil
import sys
import tomllib
from pathlib import Path

from holdfast.domain import jetstream_domain
from holdfast_image.errors import UsageError
from holdfast_image.guest.firstboot import ROBOT_ID

_CONFIGURATION = """\
# Written by holdfast_image.guest.broker at each start; change robot.toml or fleet.conf instead.
server_name: "{robot_id}"
listen: "127.0.0.1:4222"
http: "127.0.0.1:8222"
max_payload: 8MB
jetstream {{
  store_dir: "{store}"
  domain: "{domain}"
  max_memory_store: 64MB
  max_file_store: 1GB
  # What was acknowledged survives a power cut.
  sync_interval: always
}}
"""


_STORE = Path("/var/lib/holdfast/nats")


def server_configuration(robot_toml: str, fleet: str | None, store: Path = _STORE) -> str:
    """Return nats-server's configuration for this robot, whose streams are below `store`.

    Raises:
        UsageError: robot.toml has no usable `[robot] id`.
        OSError: `store` cannot be used.
    """
    try:
        robot_id = tomllib.loads(robot_toml)["robot"]["id"]
    except (KeyError, TypeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"robot.toml: no [robot] id ({error}); `holdfast robot check` says more") from error
    if not isinstance(robot_id, str) or not ROBOT_ID.fullmatch(robot_id):
        raise UsageError(
            f"robot.toml: [robot] id {robot_id!r} cannot name a JetStream domain; "
            "use letters, digits, '-' and '_'"
        )
    domain = jetstream_domain(robot_id, store)
    return _CONFIGURATION.format(robot_id=robot_id, store=store, domain=domain) + (fleet or "")


def forget_summaries(store: Path = _STORE) -> None:
    """Have the server read what its streams hold, and not take the summaries that it left when it last ended.

    A power cut may leave zeros at the end of a block of messages, and the summary of a stream that was empty says that
    its block ends with zeros: nats-server 2.10.27 then takes the stream for empty, all acknowledged messages included.

    Raises:
        OSError: one cannot be removed.
    """
    for summary in store.glob("jetstream/*/streams/*/msgs/index.db"):
        summary.unlink()


def main() -> int:
    """Write server.conf into the service's run-time directory, for the broker's user only; forget the summaries."""
    fleet = Path("/etc/holdfast/fleet.conf")
    target = Path("/run/holdfast-nats/server.conf")
    try:
        text = server_configuration(
            Path("/etc/holdfast/robot.toml").read_text(), fleet.read_text() if fleet.is_file() else None
        )
        partial = target.with_suffix(".partial")
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
            stream.write(text)
        shutil.chown(partial, "holdfast-nats", "holdfast-nats")
        partial.replace(target)
        forget_summaries()
    except (UsageError, OSError) as error:
        print(f"<3>{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
