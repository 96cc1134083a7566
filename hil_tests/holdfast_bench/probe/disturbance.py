"""What may happen to a line between probe and host."""

from __future__ import annotations

from collections.abc import Callable


def _corrupt(line: bytes) -> bytes:
    return bytes([line[0], line[1], line[2] ^ 1]) + line[3:]


_CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "drop": lambda _: b"",
    "corrupt": _corrupt,
    "truncate": lambda line: line[: len(line) // 2],
    "duplicate": lambda line: line + line,
}


class Disturbances:
    """Applies what was ordered to the next lines of a kind, then nothing."""

    def __init__(self) -> None:
        self._orders: list[list[str]] = []
        self._held = b""

    def add(self, how: str, kind: str, lines: int) -> None:
        """Order a disturbance.

        Args:
            how: drop, corrupt, truncate (its line feed too), duplicate or swap (with the line after it).
            kind: first character of the lines: "=" answers, "!" events.
            lines: how many.
        """
        if how not in (*_CHANGES, "swap"):
            raise ValueError(f"no disturbance {how!r}")
        self._orders += [[how, kind]] * lines

    def apply(self, line: bytes) -> bytes:
        """Return what reaches the host in place of a line."""
        for order in self._orders:
            how, kind = order
            if line.startswith(kind.encode()):
                self._orders.remove(order)
                if how == "swap":
                    self._held = line
                    return b""
                return _CHANGES[how](line)
        held, self._held = self._held, b""
        return line + held
