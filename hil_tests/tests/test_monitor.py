"""The QMP client against a peer that speaks QEMU's protocol."""

import json
import socket
import threading
from collections.abc import Iterator

import pytest

from holdfast_bench.qemu.errors import MachineError
from holdfast_bench.qemu.monitor import Monitor

_LIMIT_S = 30.0


class Peer(threading.Thread):
    """Greets, sends an event before each answer, and knows three commands."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(daemon=True)
        self._stream = connection.makefile("rw", encoding="utf-8")
        self._connection = connection
        self.asked: list[str] = []
        self.start()

    def _say(self, message: object) -> None:
        self._stream.write(json.dumps(message) + "\n")
        self._stream.flush()

    def run(self) -> None:
        self._say({"QMP": {"version": {}, "capabilities": []}})
        for line in self._stream:
            command = json.loads(line)["execute"]
            self.asked.append(command)
            self._say({"event": "NIC_RX_FILTER_CHANGED", "data": {}})
            if command == "quit":
                break
            if command in {"qmp_capabilities", "set_link"}:
                self._say({"return": {}})
            else:
                self._say({"error": {"class": "CommandNotFound", "desc": f"no {command}"}})
        self._stream.close()
        self._connection.close()


@pytest.fixture
def pair() -> Iterator[tuple[Monitor, Peer]]:
    ours, theirs = socket.socketpair()
    monitor, peer = Monitor(ours), Peer(theirs)
    yield monitor, peer
    monitor.close()
    peer.join(_LIMIT_S)


def test_events_are_no_answers(pair: tuple[Monitor, Peer]) -> None:
    monitor, peer = pair
    assert monitor.execute("set_link", name="net1", up=False) == {}
    assert peer.asked == ["qmp_capabilities", "set_link"]


def test_refusal_says_what_qemu_said(pair: tuple[Monitor, Peer]) -> None:
    with pytest.raises(MachineError, match="QEMU refused fly: no fly"):
        pair[0].execute("fly")


def test_end_of_qemu_is_an_error_for_who_waits_for_an_answer(pair: tuple[Monitor, Peer]) -> None:
    with pytest.raises(MachineError, match="ended instead of answering quit"):
        pair[0].execute("quit")
    assert pair[0].wait_closed(_LIMIT_S)


def test_a_living_machine_is_not_closed(pair: tuple[Monitor, Peer]) -> None:
    pair[0].execute("set_link", name="net1", up=True)
    assert not pair[0].wait_closed(0.01)
