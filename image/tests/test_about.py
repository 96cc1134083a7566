"""What a robot tells of itself, and what of it stands above the login prompt and on the page."""

from __future__ import annotations

import dataclasses
import json
import re
import socket
import threading
from pathlib import Path

import pytest

from holdfast_image.guest.about import About, addresses_in, is_example, now_s, robot_id, state
from holdfast_image.guest.console import issue
from holdfast_image.guest.page import page, serve

ABOUT = About("1.2.0", "pi", "porter-3", "porter", ("10.0.0.7", "fd00::7"), "disarmed", False, 100.0)
EXAMPLE = '[robot]\nid = "example"\n[control]\ntier1_hz = 1000\n'


def but(**changes: object) -> About:
    return dataclasses.replace(ABOUT, **changes)  # type: ignore[arg-type]


def test_the_console_names_robot_version_state_and_addresses() -> None:
    text = issue(ABOUT)
    assert text.startswith("Holdfast 1.2.0 for pi: robot porter-3\n")
    assert "Name \\n, addresses \\4 \\6\n" in text
    assert "State: disarmed\n" in text
    assert "Next: ssh admin@\\4 holdfast robot status\n" in text


def test_the_example_robot_is_told_to_become_one() -> None:
    for told in (issue(but(example=True)), page(but(example=True), "10.0.0.7", 100.0)):
        assert "Describe yours in /etc/holdfast/robot.toml" in told


def test_nothing_that_is_shown_is_a_code_of_agetty() -> None:
    assert r"at C:\\nowhere" in issue(but(state=r"at C:\nowhere"))


def test_the_page_names_robot_version_state_and_addresses() -> None:
    told = page(ABOUT, "10.0.0.7", 103.0)
    for text in ("porter-3", "porter", "10.0.0.7, fd00::7", "disarmed", "3 s ago", "1.2.0 for pi"):
        assert text in told
    assert "ssh admin@10.0.0.7 holdfast robot status" in told
    assert "see journalctl" not in told


def test_addresses_are_those_that_others_reach() -> None:
    # As iproute2 lists a machine: what a filter leaves out is an empty entry, an interface may have none.
    listed = [
        {},
        {"ifname": "lo", "addr_info": [{"family": "inet", "local": "127.0.0.1", "scope": "host"}]},
        {
            "ifname": "enp0s2",
            "addr_info": [
                {"family": "inet", "local": "10.0.2.15", "scope": "global"},
                {},
                {"family": "inet6", "local": "fe80::1", "scope": "link"},
                {"family": "inet6", "local": "fec0::2", "scope": "site"},
                {"family": "inet6", "local": "fd00::2", "scope": "global"},
            ],
        },
        {"ifname": "vcan0"},
    ]
    assert addresses_in(json.dumps(listed)) == ("10.0.2.15", "fd00::2")
    assert addresses_in("[]") == ()


def test_on_a_cable_without_addresses_the_name_is_told() -> None:
    assert "ssh admin@porter.local holdfast" in page(but(addresses=()), "fe80::fc:ff:fe00:1", 100.0)


def test_the_page_says_when_nothing_new_has_come() -> None:
    assert "200 s ago: nothing new since then; see journalctl" in page(ABOUT, "10.0.0.7", 300.0)


def test_nothing_that_is_shown_becomes_a_part_of_the_page() -> None:
    told = page(but(robot="<script>", state='"><img src=x>'), "10.0.0.7", 100.0)
    assert "<script" not in told
    assert "<img" not in told


def answer(request: bytes, file: Path) -> str:
    """Send bytes over a real connection, as systemd passes one, and return what comes back."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as asking,
    ):
        taken, _ = server.accept()
        thread = threading.Thread(target=serve, args=(taken, file))
        thread.start()
        asking.sendall(request)
        asking.shutdown(socket.SHUT_WR)
        said = b"".join(iter(lambda: asking.recv(1 << 16), b""))
        thread.join()
    return said.decode()


def test_a_browser_gets_the_page_and_no_code_from_elsewhere(tmp_path: Path) -> None:
    but(at_s=now_s()).write(tmp_path / "about.json")
    said = answer(b"GET / HTTP/1.1\r\nHost: porter.local\r\n\r\n", tmp_path / "about.json")
    head, _, body = said.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.0 200")
    assert "default-src 'none'" in head
    assert f"Content-Length: {len(body)}" in head
    assert "ssh admin@127.0.0.1 holdfast robot status" in body


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"HEAD / HTTP/1.1\r\n\r\n", "200"),
        (b"GET http://porter.local/?x HTTP/1.1\r\n\r\n", "200"),
        (b"GET /etc/shadow HTTP/1.1\r\n\r\n", "404"),
        (b"GET /../about.json HTTP/1.1\r\n\r\n", "404"),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\narm", "501"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", "414"),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(200)) + b"\r\n", "431"),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", "400"),
    ],
)
def test_whatever_is_asked_is_answered_in_a_line(tmp_path: Path, request_: bytes, status: str) -> None:
    ABOUT.write(tmp_path / "about.json")
    said = answer(request_, tmp_path / "about.json")
    assert re.search(rf"^HTTP/1\.0 {status} |<p>Error code: {status}<", said, re.MULTILINE), said


def test_who_says_nothing_gets_nothing(tmp_path: Path) -> None:
    assert answer(b"", tmp_path / "about.json") == ""


def test_before_the_robot_has_started_the_page_says_so(tmp_path: Path) -> None:
    said = answer(b"GET / HTTP/1.0\r\n\r\n", tmp_path / "about.json")
    assert said.startswith("HTTP/1.0 503 the robot has not started yet")


@pytest.mark.parametrize("written", ["", "[]", "{}", '{"addresses": 3}'])
def test_what_cannot_be_read_is_not_taken_for_a_robot_that_starts(tmp_path: Path, written: str) -> None:
    (tmp_path / "about.json").write_text(written)
    said = answer(b"GET / HTTP/1.0\r\n\r\n", tmp_path / "about.json")
    assert said.startswith("HTTP/1.0 503 the robot cannot tell of itself")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"mode": "running", "arm_blockers": ["x"]}, "running"),
        ({"mode": "disarmed", "arm_blockers": []}, "disarmed"),
        (
            {"mode": "disarmed", "arm_blockers": ["no home", "no drive"]},
            "disarmed; before arming: no home; no drive",
        ),
    ],
)
def test_what_stands_before_arming_is_told(status: dict[str, object], said: str) -> None:
    assert state(status) == said


@pytest.mark.parametrize(
    ("robot", "example"),
    [
        (EXAMPLE, True),
        (EXAMPLE.replace('"example"', '"porter-3"'), True),
        (EXAMPLE.replace("1000", "500"), False),
        ("[robot\n", False),
    ],
)
def test_the_example_is_known_whatever_its_id(tmp_path: Path, robot: str, example: bool) -> None:
    (tmp_path / "robot.toml").write_text(robot)
    (tmp_path / "example.toml").write_text(EXAMPLE)
    assert is_example(tmp_path / "robot.toml", tmp_path / "example.toml") == example


@pytest.mark.parametrize("text", ["", "[robot]\n", "robot = 1\n", "[robot\n", "\x00"])
def test_a_robot_without_an_id_says_why(tmp_path: Path, text: str) -> None:
    file = tmp_path / "robot.toml"
    file.write_text(text)
    assert robot_id(file).startswith(f"without an id ({file}: ")
