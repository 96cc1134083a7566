"""Clients of the two real-time daemons: holdfast-control (control.sock) and holdfast-safety (safety.sock)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Self

from holdfast.errors import UnreachableError
from holdfast.layout import Layout, SegmentLayout, SegmentReader
from holdfast.seqpacket import ANSWER_S, Connection


class _Daemon:
    socket_name: str

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    async def connect(cls, run_directory: Path, timeout_s: float = ANSWER_S) -> Self:
        """Connect to the daemon's socket below `run_directory`.

        Raises:
            UnreachableError: it does not listen.
        """
        return cls(await Connection.open(run_directory / cls.socket_name, timeout_s))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    async def status(self) -> dict[str, Any]:
        """Return the daemon's own account of itself."""
        return await self._connection.request({"op": "status"})

    async def _map(self, layout: SegmentLayout) -> SegmentReader:
        _, descriptors = await self._connection.request_with_descriptors({"op": "segment"})
        try:
            if len(descriptors) != 1:
                raise UnreachableError(
                    f"{self.socket_name} passed {len(descriptors)} descriptors instead of its segment"
                )
            return SegmentReader(layout, descriptors[0])
        finally:
            for fd in descriptors:
                os.close(fd)


class CoreClient(_Daemon):
    """Commands to the real-time core. Arming needs a privileged user; everything else does not."""

    socket_name = "control.sock"

    async def load(self, cwasm: Path, *, name: str, version: str, sha256: str) -> dict[str, Any]:
        """Make a compiled controller the active one; the running one stays on failure.

        Returns `{"generation": number, "stage": ...}`: "active" at once, or the stage at which its trial begins while
        the robot is armed ("shadow", "canary"); `status()["lifecycle"]` tells what becomes of it.

        Raises:
            RefusedError: it could not be loaded.
        """
        return await self._connection.request(
            {"op": "load", "cwasm": str(cwasm), "name": name, "version": version, "sha256": sha256}
        )

    async def withdraw(self, generation: int) -> None:
        """End the trial of this controller; the active one goes on.

        Raises:
            RefusedError: it is not staged (any more).
        """
        await self._connection.request({"op": "withdraw", "generation": generation})

    async def remember_good(self, cwasm: Path, *, name: str, version: str, sha256: str) -> None:
        """Say which controller to load again when a new one fails in its watch."""
        await self._connection.request(
            {"op": "last_known_good", "cwasm": str(cwasm), "name": name, "version": version, "sha256": sha256}
        )

    async def unload(self) -> None:
        """Stop in a controlled way and drop the active controller."""
        await self._connection.request({"op": "unload"})

    async def arm(self) -> None:
        """Let the active controller move the robot.

        Raises:
            RefusedError: with every reason listed.
        """
        await self._connection.request({"op": "arm"})

    async def disarm(self) -> None:
        """Stop in a controlled way."""
        await self._connection.request({"op": "disarm"})

    async def pause(self) -> None:
        """Hold in a controlled way; the controller is not called and simulation time stands.

        Raises:
            RefusedError: the robot is not armed.
        """
        await self._connection.request({"op": "pause"})

    async def resume(self) -> None:
        """Go on after a pause. Needs a privileged user.

        Raises:
            RefusedError: the robot is not paused.
        """
        await self._connection.request({"op": "resume"})

    async def clear(self) -> None:
        """Clear a fault of the core; the robot is disarmed then. Needs a privileged user.

        Raises:
            RefusedError: there is no fault.
        """
        await self._connection.request({"op": "clear"})

    async def set_inputs(self, values: dict[str, float], mono_ns: int) -> None:
        """Hand on what an operator asked for at `mono_ns` (CLOCK_MONOTONIC of this machine).

        Raises:
            RefusedError: a value is unknown, outside its limits or too old; none of them was taken.
        """
        await self._connection.request({"op": "input", "values": values, "mono_ns": mono_ns})

    async def segment(self, layout: Layout) -> SegmentReader:
        """Map the state segment."""
        return await self._map(layout.state)


class SafetyClient(_Daemon):
    """The safety daemon: heartbeats, stop and reset."""

    socket_name = "safety.sock"

    async def attach_worker(self) -> None:
        """Promise heartbeats on this connection; their absence becomes an e-stop."""
        await self._connection.request({"op": "attach", "role": "worker"})

    async def heartbeat(self) -> None:
        """Show that the worker's event loop turns."""
        await self._connection.request({"op": "heartbeat"})

    async def detach(self) -> None:
        """End the promise in good order."""
        await self._connection.request({"op": "detach"})

    async def estop(self, reason: str) -> int:
        """Latch an emergency stop; returns its number once it is on disk."""
        reply = await self._connection.request({"op": "estop", "reason": reason})
        return int(reply["latch_sequence"])

    async def reset(self) -> None:
        """Clear the latch. Needs a privileged user; nothing moves until the robot is armed.

        Raises:
            RefusedError: naming the cause that still stands and its mend.
        """
        await self._connection.request({"op": "reset"})

    async def segment(self, layout: Layout) -> SegmentReader:
        """Map the safety segment."""
        return await self._map(layout.safety)
