"""Shows one page to the local network: which robot this is, where and how it is, what to do next.

systemd takes the connection (holdfast-page.socket) and runs `python -m holdfast_image.guest.page` for each, as a user
of its own that can open none of the robot's sockets: it reads what holdfast-console.service has written, and can change
nothing.
"""

from __future__ import annotations

import contextlib
import functools
import html
import socket
import string
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from holdfast_image.guest.about import FILE, About, now_s

_LISTENED = 3
"""The connection, as systemd passes it (sd_listen_fds(3))."""
_OLD_S = 30.0
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_PAGE = string.Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="10">
<title>$robot</title>
<style>
:root { color-scheme: light dark; font: 1.1rem/1.5 system-ui, sans-serif }
body { max-width: 44rem; margin: 3rem auto; padding: 0 1rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .5rem 1.5rem }
dt { opacity: .7 }
dd { margin: 0; overflow-wrap: anywhere }
</style>
<h1>$robot</h1>
<dl>
<dt>Name<dd>$host_name
<dt>Addresses<dd>$addresses
<dt>State<dd>$state
<dt>As of<dd>$age
<dt>Next<dd>$next_step
<dt>Version<dd>Holdfast $version for $board
</dl>
""")


def page(about: About, address: str, now: float) -> str:
    """Return the page for somebody who came to `address`, at `now` seconds since the robot was switched on."""
    age_s = max(0.0, now - about.at_s)
    age = f"{age_s:.0f} s ago"
    if age_s > _OLD_S:
        age += ": nothing new since then; see journalctl -u holdfast-console"
    told = {
        "robot": about.robot,
        "host_name": about.host_name,
        "addresses": ", ".join(about.addresses) or "none yet",
        "state": about.state,
        "age": age,
        "next_step": about.next_step(address),
        "version": about.version,
        "board": about.board,
    }
    return _PAGE.substitute({name: html.escape(text) for name, text in told.items()})


class _Handler(BaseHTTPRequestHandler):
    timeout = 10
    server_version = "holdfast"
    sys_version = ""

    def __init__(self, file: Path, *arguments: object) -> None:
        self._file = file
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        if urlsplit(self.path).path != "/":
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        address = str(self.connection.getsockname()[0]).removeprefix("::ffff:")
        try:
            content = page(About.read(self._file), address, now_s()).encode()
        except FileNotFoundError:
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, "the robot has not started yet; try again")
            return
        except (OSError, ValueError, LookupError, TypeError):
            why = "the robot cannot tell of itself; see journalctl -u holdfast-console"
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, why)
            return
        self.send_response(HTTPStatus.OK)
        for name, value in (
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Length", str(len(content))),
            ("Content-Security-Policy", _POLICY),
            ("X-Content-Type-Options", "nosniff"),
            ("Cache-Control", "no-store"),
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET  # noqa: N815 - the base class names it so

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing: whoever is on the network could fill the journal."""


def serve(connection: socket.socket, file: Path) -> None:
    """Answer one request on a connection, from what `file` says."""
    handler = functools.partial(_Handler, file)
    with connection, HTTPServer(("", 0), handler, bind_and_activate=False) as server:
        server.finish_request(connection, connection.getpeername())


def main() -> int:
    """Answer on the connection that systemd has taken; one that ends early is nobody's fault."""
    with contextlib.suppress(OSError):
        serve(socket.socket(fileno=_LISTENED), FILE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
