"""The program that runs in labgrid's environment and drives its objects: one JSON object a line, in and out.

    {"id": 7, "do": "power.on", "with": {}}        what is asked, on standard input
    {"id": 7, "ok": true, "result": null}          the answer, on what was standard output
    {"id": 7, "ok": false, "error": "..."}         or one sentence why not

What labgrid and its programs print goes to standard error, the log. The end of standard input ends this one: processes
end, the place is released, the reservation cancelled. Nothing of Holdfast can be imported here.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from labgrid import Environment
from labgrid.protocol import ConsoleProtocol, PowerProtocol
from pexpect import TIMEOUT

_READ_S = 0.5
_SSH_OPTIONS = (
    *("-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
    *("-o", "ConnectTimeout=60", "-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4"),
)


class RefusedError(Exception):
    """What was asked cannot be done; its text is the sentence for the other side."""


class Place:
    """A place of the coordinator, acquired by labgrid's own client program."""

    def __init__(self, coordinator: str) -> None:
        self._coordinator = coordinator
        self._token: str | None = None
        self._name: str | None = None

    def acquire(self, name: str | None, tags: Mapping[str, str], wait_s: float) -> str:
        """Acquire the place `name`, or reserve one with these tags, wait for it and acquire that."""
        if name is None:
            filters = [f"{key}={value}" for key, value in sorted(tags.items())]
            said = self._client("reserve", "--shell", *filters)
            self._token = said.strip().rsplit("=", 1)[-1]
            try:
                self._client("wait", self._token, limit_s=wait_s)
            except subprocess.TimeoutExpired:
                raise RefusedError(
                    f"no place with {' '.join(filters)} became free within {wait_s:.0f} s; "
                    "`labgrid-client reservations` and `who` tell who has it, `-p PLACE show` the tags of a place"
                ) from None
            name = self._shown(f"+{self._token}")
        # labgrid's client takes a part of a name for the whole.
        elif (nearest := self._shown(name)) != name:
            raise RefusedError(f"there is no place {name}; did you mean {nearest}?")
        self._client("-p", name, "acquire")
        self._name = name
        return name

    def release(self) -> None:
        """Give place and reservation back, whatever of them there is."""
        name, token = self._name, self._token
        self._name = self._token = None
        if name is not None:
            self._client("-p", name, "release")
        if token is not None:
            self._client("cancel-reservation", token)

    def _shown(self, pattern: str) -> str:
        return self._client("-p", pattern, "show").split("'")[1]

    def _client(self, *arguments: str, limit_s: float | None = None) -> str:
        done = subprocess.run(
            [str(Path(sys.executable).with_name("labgrid-client")), "-x", self._coordinator, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=limit_s,
        )
        print(done.stdout, done.stderr, file=sys.stderr)
        if done.returncode != 0:
            lines = (done.stderr.strip() or done.stdout.strip() or f"code {done.returncode}").splitlines()
            raise RefusedError(f"labgrid-client {' '.join(arguments)}: {lines[-1]}")
        return done.stdout


class Console(threading.Thread):
    """Takes everything off the serial console as it comes, into a file: the robot must not wait for us.

    By the driver's `_read`: the public `read` books each call in labgrid's list of steps, which is one thread's.
    """

    def __init__(self, driver: Any, path: Path) -> None:
        super().__init__(name="console", daemon=True)
        self.driver = driver
        self.ended: str | None = None
        self._path = path
        self._stop_asked = threading.Event()
        self.start()

    def run(self) -> None:
        """Read until told to stop, or until the console is gone."""
        with self._path.open("ab", buffering=0) as log:
            while self.ended is None and not self._stop_asked.is_set():
                try:
                    data = self.driver._read(size=1, timeout=_READ_S)
                except TIMEOUT:
                    continue
                except Exception as error:
                    logging.exception("console")
                    self.ended = sentence(error)
                    return
                if not data:
                    self.ended = "its other end has closed it"
                log.write(data)

    def stop(self) -> None:
        """End the thread."""
        self._stop_asked.set()
        self.join()


class Target:
    """The environment's target `main` and what is done to it."""

    def __init__(self, console_log: Path) -> None:
        self._console_log = console_log
        self._environment: Any = None
        self._target: Any = None
        self._place: Place | None = None
        self._console: Console | None = None
        self._cut_at_the_end = False

    def open(
        self,
        environment: str,
        coordinator: str | None = None,
        place: str | None = None,
        reserve: Mapping[str, str] | None = None,
        wait_s: float = 0.0,
    ) -> str | None:
        """Acquire the place, if there is one to acquire, and read the environment; returns the place's name."""
        name = None
        if coordinator is not None:
            self._place = Place(coordinator)
            name = self._place.acquire(place, reserve or {}, wait_s)
            os.environ["LG_COORDINATOR"] = coordinator
            os.environ["LG_PLACE"] = name
        self._environment = Environment(environment)
        self._target = self._environment.get_target("main")
        if self._target is None:
            raise RefusedError(f"{environment} has no target `main`; add it below `targets:`")
        return name

    def on(self) -> None:
        """Switch the supply on. A console of its own is listened to before; QEMU's is there once QEMU is."""
        power = self._driver(PowerProtocol)
        if power is not self._driver(ConsoleProtocol):
            self.listen()
        self._cut_at_the_end = hasattr(power, "cut")
        power.on()
        self.listen()

    def cut(self) -> None:
        """Take the supply away."""
        power = self._driver(PowerProtocol)
        if hasattr(power, "cut"):  # the console is the same driver, and ends with it
            self._stop_listening()
            power.cut()
            self._target.deactivate(power)
            self._cut_at_the_end = False
        else:
            power.off()

    def shut_down(self, seconds: float) -> None:
        """Press a virtual robot's power button and wait; a board is shut down from inside."""
        self._driver(PowerProtocol).shut_down(seconds)

    def ended(self) -> int | None:
        """Return the code that a virtual robot has ended with; None while it runs."""
        code: int | None = self._driver(PowerProtocol).ended()
        return code

    def set_link(self, name: str, up: bool) -> None:
        """Plug a network cable in or out."""
        power = self._driver(PowerProtocol)
        if not hasattr(power, "set_link"):
            raise RefusedError(
                "no cable can be pulled here; take `links` out of the bench file's capabilities"
            )
        power.set_link(name, up)

    def listen(self) -> None:
        """Open the console, if it is not."""
        if self._console is None:
            self._console = Console(self._driver(ConsoleProtocol), self._console_log)

    def write(self, text: str) -> None:
        """Type on the console."""
        self.listen()
        self._driver(ConsoleProtocol).write(text.encode())

    def console_ended(self) -> str | None:
        """Return why the console is not read any more, None while it is."""
        return self._console.ended if self._console else "it was not opened"

    def connect(self) -> list[str]:
        """Log in anew and return the ssh command that uses this connection, up to the robot's address."""
        ssh = self._target.get_driver("SSHDriver", activate=False)
        self._target.deactivate(ssh)
        power = self._driver(PowerProtocol)
        if hasattr(power, "ssh_port"):
            ssh.networkservice.port = power.ssh_port()
        self._target.activate(ssh)
        service = ssh.networkservice
        where = ("-p", str(service.port), "-l", ssh.username or service.username, service.address)
        return ["ssh", "-x", *ssh.ssh_prefix, *_SSH_OPTIONS, *where]

    def close(self) -> None:
        """Let everything go; each step is tried though one before it failed."""
        # A virtual robot first: labgrid's ssh would wait for it to say goodbye.
        steps: list[Callable[[], None]] = [self.cut] if self._cut_at_the_end else []
        steps.append(self._stop_listening)
        if self._environment is not None:
            steps.append(self._environment.cleanup)
        if self._place is not None:
            steps.append(self._place.release)
        self._environment = self._place = None
        problems = []
        for step in steps:
            try:
                step()
            except Exception as error:
                logging.exception("closing")
                problems.append(sentence(error))
        self._target = None
        if problems:
            raise RefusedError("; ".join(problems))

    def _driver(self, protocol: Any) -> Any:
        if self._target is None:
            raise RefusedError("no target is open; ask for `open` first")
        return self._target.get_driver(protocol)

    def _stop_listening(self) -> None:
        if self._console is not None:
            self._console.stop()
            self._console = None


def sentence(error: BaseException) -> str:
    """Return an error as one line that also says what kind it is, where its text alone would not tell."""
    text = " ".join(str(error).split())
    return text if isinstance(error, RefusedError) and text else f"{type(error).__name__}: {text}"


def answer(target: Target, line: str) -> dict[str, Any]:
    """Do what one line asks."""
    number = None
    try:
        asked = json.loads(line)
        number = asked["id"]
        acts: dict[str, Callable[..., Any]] = {
            "open": target.open,
            "power.on": target.on,
            "power.cut": target.cut,
            "power.shut_down": target.shut_down,
            "power.ended": target.ended,
            "console.write": target.write,
            "console.ended": target.console_ended,
            "links.set": target.set_link,
            "shell.connect": target.connect,
            "close": target.close,
        }
        return {"id": number, "ok": True, "result": acts[asked["do"]](**asked.get("with", {}))}
    except Exception as error:
        logging.exception("asked: %s", line.rstrip())
        return {"id": number, "ok": False, "error": sentence(error)}


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    # Nobody else may write where the answers go: prints and child processes get standard error.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as to_host:
        os.dup2(2, 1)
        sys.stdout = sys.stderr  # and at once: a file would be buffered
        target = Target(Path(sys.argv[1]))
        try:
            for line in sys.stdin:
                print(json.dumps(answer(target, line)), file=to_host, flush=True)
        finally:
            target.close()
