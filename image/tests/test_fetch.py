"""What a robot fetches of a version from a web server that nobody trusts."""

from __future__ import annotations

import functools
import json
import socket
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from holdfast.errors import RefusedError
from holdfast_image.guest.fetch import fetched
from holdfast_image.guest.install import LIST, Update
from holdfast_image.guest.os_cli import operating_system
from holdfast_image.payload import sha256_of, write_list
from holdfast_image.progress import Steps

KERNEL, ROOT = "holdfast_1.1.0.efi", "holdfast_1.1.0.root.raw"


class Server(ThreadingHTTPServer):
    """A web server that can be made to lie."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
        self.asked: list[str] = []
        self.lengths: dict[str, str | None] = {}
        """What it says of a file's length instead of the truth; None: nothing."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(SimpleHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path.lstrip("/"))
        super().do_GET()

    def send_header(self, keyword: str, value: str) -> None:
        told: str | None = value
        if keyword == "Content-Length":
            told = self.server.lengths.get(self.path.lstrip("/"), value)
        if told is not None:
            super().send_header(keyword, told)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        pass


@pytest.fixture
def build(tmp_path: Path) -> Path:
    folder = tmp_path / "build"
    folder.mkdir()
    (folder / KERNEL).write_bytes(b"kernel")
    (folder / ROOT).write_bytes(b"root" * 1000)
    write_list(folder, "board", "1.1.0")
    return folder


@pytest.fixture
def server(build: Path) -> Iterator[Server]:
    with Server(build) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def take(update: Update) -> None:
    """Refuse nothing."""


def refusal(server: Server, build: Path, target: Path, sha256: str = "", left_free_bytes: int = 0) -> str:
    """Return why nothing was fetched; nothing of it stays."""
    sha256 = sha256 or sha256_of(build / LIST)
    with (
        pytest.raises(RefusedError) as refused,
        fetched(server.url, sha256, take, Steps(), target, left_free_bytes),
    ):
        pytest.fail("something was fetched")
    assert not target.exists()
    return str(refused.value)


def test_the_folder_is_there_while_it_is_needed(server: Server, build: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    with fetched(server.url, sha256_of(build / LIST).upper(), take, Steps(), target) as folder:
        Update.read(folder).compare()
        assert {file.name for file in folder.iterdir()} == {LIST, KERNEL, ROOT}
    assert not target.exists()
    assert server.asked == [LIST, KERNEL, ROOT]


def test_what_is_left_of_one_that_was_cut_off_is_gone(server: Server, build: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "holdfast_1.0.0.root.raw").write_bytes(b"half")
    with fetched(server.url, sha256_of(build / LIST), take, Steps(), target) as folder:
        Update.read(folder).compare()


def test_another_list_is_refused_before_anything_else_is_asked_for(
    server: Server, build: Path, tmp_path: Path
) -> None:
    assert "not 0000" in refusal(server, build, tmp_path / "target", sha256="0" * 64)
    assert server.asked == [LIST]


def test_a_version_that_is_not_to_be_installed_is_not_fetched(
    server: Server, build: Path, tmp_path: Path
) -> None:
    def refuse(update: Update) -> None:
        raise RefusedError(f"version {update.version} is not newer")

    with (
        pytest.raises(RefusedError, match=r"1\.1\.0 is not newer"),
        fetched(server.url, sha256_of(build / LIST), refuse, Steps(), tmp_path / "target"),
    ):
        pytest.fail("something was fetched")
    assert server.asked == [LIST]


def test_what_the_server_does_not_have_is_named(server: Server, build: Path, tmp_path: Path) -> None:
    (build / ROOT).unlink()
    assert f"{server.url}{ROOT}: the server says 404" in refusal(server, build, tmp_path / "target")
    (build / LIST).unlink()
    assert f"{server.url}{LIST}: the server says 404" in refusal(server, build, tmp_path / "target", "0" * 64)


@pytest.mark.parametrize(
    ("file", "length", "why"),
    [
        (ROOT, "5000", "cannot be fetched"),
        (ROOT, None, "does not say how long it is"),
        (ROOT, "many", "does not say how long it is"),
        (ROOT, str(1 << 60), "the data partition has room for"),
        (LIST, str(1 << 30), "that is no version's list"),
    ],
    ids=["breaks off", "no length", "no number", "endless", "endless list"],
)
def test_a_length_that_cannot_be_is_refused(
    file: str, length: str | None, why: str, server: Server, build: Path, tmp_path: Path
) -> None:
    server.lengths[file] = length
    assert why in refusal(server, build, tmp_path / "target")


def test_room_is_left_for_the_robot_at_work(server: Server, build: Path, tmp_path: Path) -> None:
    assert "has room for 0 bytes" in refusal(server, build, tmp_path / "target", left_free_bytes=1 << 60)


def test_a_name_that_leads_out_of_the_folder_is_refused(server: Server, build: Path, tmp_path: Path) -> None:
    listed = json.loads((build / LIST).read_text())
    listed["sha256"]["../holdfast_1.1.0.efi"] = "0" * 64
    (build / LIST).write_text(json.dumps(listed))
    assert "no file beside it" in refusal(server, build, tmp_path / "target")


def test_nobody_there(build: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (
        pytest.raises(RefusedError, match=r"cannot be fetched .*try again"),
        fetched(f"http://127.0.0.1:{port}", "0" * 64, take, Steps(), tmp_path / "target"),
    ):
        pytest.fail("something was fetched")


def test_an_address_needs_a_sum() -> None:
    result = CliRunner().invoke(operating_system, ["install", "http://hub.example/update", "--json"])
    assert result.exit_code == 2
    assert "add --sha256" in json.loads(result.stdout)["error"]
