"""QEMU's machine protocol (QMP) over a socket pair: no path, and its end tells that QEMU is gone.

Protocol: docs/interop/qmp-spec.rst of QEMU; one JSON object a line.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import Any

from holdfast_bench.qemu.errors import MachineError

_ANSWER_LIMIT_S = 60.0
_POLL_S = 0.1


class Monitor:
    """A synchronous client; events are skipped."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._connection.settimeout(_ANSWER_LIMIT_S)
        self._lines = connection.makefile("r", encoding="utf-8")
        self._greeted = False

    def execute(self, command: str, **arguments: Any) -> Any:
        """Run a QMP command and return what it returns.

        Raises:
            MachineError: QEMU refused it or is gone.
        """
        try:
            if not self._greeted:
                self._lines.readline()
                self._greeted = True
                self.execute("qmp_capabilities")
            request = {"execute": command, "arguments": arguments} if arguments else {"execute": command}
            self._connection.sendall(json.dumps(request).encode() + b"\n")
            while line := self._lines.readline():
                answer = json.loads(line)
                if "error" in answer:
                    raise MachineError(f"QEMU refused {command}: {answer['error']['desc']}")
                if "return" in answer:
                    return answer["return"]
        except OSError as error:
            raise MachineError(f"QEMU does not answer {command}: {error}") from error
        raise MachineError(f"QEMU ended instead of answering {command}")

    def wait(
        self, query: str, over: Callable[[dict[str, Any]], bool], limit_s: float = 120.0
    ) -> dict[str, Any]:
        """Repeat a query until its answer fits, and return that.

        Raises:
            MachineError: not within `limit_s`, or QEMU is gone.
        """
        end = time.monotonic() + limit_s
        while not over(answer := self.execute(query)):
            if time.monotonic() > end:
                raise MachineError(f"QEMU still answers {query} after {limit_s:.0f} s with {answer}")
            time.sleep(_POLL_S)
        return dict(answer)

    def human(self, command: str) -> str:
        """Run a command of the human monitor, for what QMP has no words for."""
        return str(self.execute("human-monitor-command", **{"command-line": command}))

    def wait_closed(self, limit_s: float) -> bool:
        """Wait until every process of the machine is gone; False if one is left after `limit_s`."""
        end = time.monotonic() + limit_s
        try:
            while (left := end - time.monotonic()) > 0:
                self._connection.settimeout(left)
                if not self._connection.recv(65536):
                    return True
        except TimeoutError:
            return False
        except OSError:
            return True
        return False

    def close(self) -> None:
        """Give the connection up."""
        self._lines.close()
        self._connection.close()
