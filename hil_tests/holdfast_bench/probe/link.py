"""The serial line to a probe: lines in and out, and what can be wrong with a port, as sentences."""

from __future__ import annotations

import errno
import os
import time
from collections import deque

from holdfast_bench.probe.errors import ProbePortError
from holdfast_bench.probe.firmware import wire

_BAUD = 115200  # USB takes no notice of it


class Link:
    """An exclusively opened port.

    Raises:
        ProbePortError: it is absent, busy, not permitted or no serial port.
    """

    def __init__(self, port: str) -> None:
        import serial  # a development dependency, as the bench is: never on a robot

        self.port = port
        try:
            self._serial = serial.Serial(port, _BAUD, exclusive=True)
        except (OSError, ValueError) as error:  # pyserial's own errors are OSErrors
            raise ProbePortError(_why(port, error)) from error
        self._buffer = wire.LineBuffer()
        self._lines: deque[bytes] = deque()

    def close(self) -> None:
        """Give the port back."""
        self._serial.close()

    def write(self, data: bytes, limit_s: float) -> None:
        """Send bytes.

        Raises:
            ProbePortError: the port is gone, or takes nothing for `limit_s`.
        """
        try:
            self._serial.write_timeout = limit_s
            self._serial.write(data)
        except OSError as error:
            raise ProbePortError(
                f"{self.port} takes no data: {error}; is the probe still plugged in?"
            ) from error

    def read_line(self, deadline_s: float) -> bytes | None:
        """Return the next line without its line feed, None if there is none until `deadline_s` (time.monotonic).

        Raises:
            ProbePortError: the port is gone.
        """
        while not self._lines:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return None
            try:
                self._serial.timeout = left_s
                data = self._serial.read(1)
                data += self._serial.read(self._serial.in_waiting)
            except OSError as error:
                raise ProbePortError(f"{self.port} is gone: {error}; was the probe unplugged?") from error
            self._lines.extend(self._buffer.feed(data))
        return self._lines.popleft()


def _why(port: str, error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number == errno.ENOENT:
        return f"{port} does not exist; plug the probe in and look for it below /dev/serial/by-id"
    if number in (errno.EACCES, errno.EPERM):
        return f"{port} may not be opened; become a member of the group that owns it (dialout on Debian)"
    if number in (errno.EAGAIN, errno.EBUSY):
        return f"{port} is busy; another program has opened it"
    reason = os.strerror(number) if number else str(error)
    return f"{port} cannot be used as a serial port: {reason}"
