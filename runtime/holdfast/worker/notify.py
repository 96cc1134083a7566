"""Telling systemd how the service is doing: the sd_notify protocol (sd_notify(3)), one datagram per message."""

from __future__ import annotations

import asyncio
import os
import socket

_US_PER_S = 1_000_000


def notify(message: str) -> None:
    """Send e.g. "READY=1"; does nothing when systemd did not start this process."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # abstract namespace
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.sendto(message.encode(), address)


async def feed_watchdog() -> None:
    """Show systemd twice per WATCHDOG_USEC that the event loop turns; returns at once without a watchdog."""
    limit_us = int(os.environ.get("WATCHDOG_USEC", "0"))
    while limit_us > 0:
        notify("WATCHDOG=1")
        await asyncio.sleep(limit_us / _US_PER_S / 2)
