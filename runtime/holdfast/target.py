"""The robot that a command is meant for: this machine, a session started by `holdfast up`, or one behind a broker.

Arm, resume, clear and reset are local acts: they go through the robot's own sockets, on a session in a virtual
machine by ssh, and over NATS not at all.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shlex
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import nats
import nats.errors
from nats.aio.client import Client

from holdfast.config import load_robot_config
from holdfast.daemons import CoreClient, SafetyClient
from holdfast.errors import ConfigError, HoldfastError, RefusedError, RejectedError, UnreachableError
from holdfast.layout import load_layout
from holdfast.places import build_directory, config_file, run_directory
from holdfast.status import collect

_REQUEST_S = 20.0
_DEPLOY_S = 90.0
"""How long a deployment may take without any progress."""
_DEPLOY_LIMIT_S = 3600.0
_PROGRESS_S = 0.5
_CONNECT_S = 3.0
_MAX_MESSAGE_SHARE = 0.95


Progress = Callable[[dict[str, Any]], None]
"""Hears what the core says of a controller that it tries: stage, ticks, and of how many."""


class InputSender(Protocol):
    """Sends what an operator asks for; each value counts for its max_age_ms only, so this is called again and again."""

    async def __call__(self, values: dict[str, float]) -> None:
        """Send values by the name of their [[input]].

        Raises:
            RefusedError: one is unknown, outside its limits or came too late; none was taken.
        """


class Target(Protocol):
    """What can be done with a robot from outside its processes. All of it raises HoldfastError on refusal."""

    async def status(self) -> dict[str, Any]:
        """Return the merged status: robot, control, loop, state, sent, safety, worker."""

    async def deploy(
        self, name: str, version: str, source: bytes, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Have a controller verified, tried and activated; returns sha256, the verification's report and the trial."""

    async def unload(self) -> None:
        """Stop in a controlled way and drop the active controller."""

    async def arm(self) -> None:
        """Let the active controller move the robot."""

    async def disarm(self) -> None:
        """Stop in a controlled way."""

    async def pause(self) -> None:
        """Hold in a controlled way until somebody resumes."""

    async def resume(self) -> None:
        """Go on after a pause."""

    async def clear(self) -> None:
        """Clear a fault of the core; the robot is disarmed then."""

    async def estop(self, reason: str) -> int:
        """Latch an emergency stop; returns its number."""

    async def reset(self) -> None:
        """Clear the latch; nothing moves until the robot is armed."""

    def inputs(self) -> contextlib.AbstractAsyncContextManager[InputSender]:
        """Return a way in for an operator's values, open as long as the context."""


class FleetTarget:
    """A robot reached through a broker: `nats://user:password@host:port/robot-id`."""

    def __init__(self, url: str, robot: str) -> None:
        self._url = url
        self._robot = robot

    async def status(self) -> dict[str, Any]:
        """Return the merged status that the worker gives."""
        return _without_ok(await self._request("status", {}, _REQUEST_S))

    async def deploy(
        self, name: str, version: str, source: bytes, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Send the source to the worker and wait for its verdict."""
        body = {"name": name, "version": version, "source_b64": base64.b64encode(source).decode()}
        asking = asyncio.create_task(self._request("deploy", body, _DEPLOY_LIMIT_S))
        try:
            await self._follow(asking, progress or (lambda _: None))
            return _without_ok(await asking)
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _follow(self, asking: asyncio.Task[dict[str, Any]], progress: Progress) -> None:
        """Return when the deployment is answered.

        Raises:
            UnreachableError: nothing happened for too long.
        """
        loop = asyncio.get_running_loop()
        seen: tuple[Any, ...] = ()
        moved = loop.time()
        while not (await asyncio.wait([asking], timeout=_PROGRESS_S))[0]:
            candidate: dict[str, Any] = {}
            with contextlib.suppress(HoldfastError, KeyError, TypeError):
                candidate = (await self.status())["control"]["lifecycle"]["candidate"] or {}
            if candidate:
                progress(candidate)
            if (now := (candidate.get("stage"), candidate.get("ticks"))) != seen:
                seen, moved = now, loop.time()
            if loop.time() - moved > _DEPLOY_S:
                raise UnreachableError(f"robot {self._robot} did not answer 'deploy' within {_DEPLOY_S:g} s")

    async def unload(self) -> None:
        """Have the worker unload."""
        await self._request("unload", {}, _REQUEST_S)

    async def estop(self, reason: str) -> int:
        """Have the worker ask the safety daemon for a stop."""
        return int((await self._request("estop", {"reason": reason}, _REQUEST_S))["latch_sequence"])

    async def pause(self) -> None:
        """Have the worker pause: it takes motion away, so a network may."""
        await self._request("pause", {}, _REQUEST_S)

    async def resume(self) -> None:
        """Refuse: resuming is a local act."""
        raise _local_only("resume")

    async def clear(self) -> None:
        """Refuse: clearing a fault is a local act."""
        raise _local_only("clear")

    async def arm(self) -> None:
        """Refuse: arming is a local act."""
        raise _local_only("arm")

    async def disarm(self) -> None:
        """Refuse: an e-stop is what a network may do."""
        raise _local_only("disarm")

    async def reset(self) -> None:
        """Refuse: resetting is a local act."""
        raise _local_only("reset")

    @contextlib.asynccontextmanager
    async def inputs(self) -> AsyncIterator[InputSender]:
        """Send through the worker; each answer brings the token of the next request."""
        async with _connected(self._url) as client:

            async def ask(**body: Any) -> int:
                return int((await self._ask(client, "input", body, _REQUEST_S))["token"])

            token = await ask()

            async def send(values: dict[str, float]) -> None:
                nonlocal token
                try:
                    token = await ask(values=values, token=token)
                except RefusedError:
                    token = await ask()  # the one that was too old is of no use any more
                    raise

            yield send

    async def _request(self, verb: str, body: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        async with _connected(self._url) as client:
            return await self._ask(client, verb, body, timeout_s)

    async def _ask(self, client: Client, verb: str, body: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        data = json.dumps(body).encode()
        if len(data) > client.max_payload * _MAX_MESSAGE_SHARE:
            raise RefusedError(
                f"the message has {len(data)} bytes and the broker takes {client.max_payload}; send a smaller "
                "source, or WASM in place of WAT"
            )
        try:
            answer = await client.request(f"holdfast.{self._robot}.{verb}", data, timeout=timeout_s)
        except nats.errors.NoRespondersError as error:
            raise UnreachableError(
                f"no worker of robot {self._robot} answers at {_shown(self._url)}; is holdfast-worker running, "
                "and is the robot connected to this broker?"
            ) from error
        except (nats.errors.Error, TimeoutError) as error:
            raise UnreachableError(
                f"robot {self._robot} did not answer '{verb}' within {timeout_s:g} s"
            ) from error
        reply = json.loads(answer.data)
        if reply.get("ok"):
            return dict(reply)
        if "stage" in reply:
            raise RejectedError(reply)
        raise RefusedError(str(reply.get("error", "refused without a reason")))


class LocalTarget:
    """A robot whose sockets are on this machine. What needs the worker goes through a broker."""

    def __init__(self, run_directory: Path, fleet: FleetTarget | None = None) -> None:
        self._run_directory = run_directory
        self._fleet = fleet

    async def status(self) -> dict[str, Any]:
        """Ask the daemons themselves; the worker's part is missing when it does not answer."""
        status = await collect(self._run_directory, await load_layout())
        try:
            status["worker"] = (await self._worker().status()).get("worker")
        except HoldfastError as error:
            status["worker"] = {"error": str(error)}
        return status

    async def deploy(
        self, name: str, version: str, source: bytes, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Send the source to the worker: it verifies, loads and remembers it."""
        return await self._worker().deploy(name, version, source, progress)

    async def unload(self) -> None:
        """Have the worker unload; without one, tell the core."""
        try:
            await self._worker().unload()
        except (UnreachableError, ConfigError):
            async with await CoreClient.connect(self._run_directory) as core:
                await core.unload()

    async def arm(self) -> None:
        """Arm the core."""
        async with await CoreClient.connect(self._run_directory) as core:
            await core.arm()

    async def pause(self) -> None:
        """Pause the core itself."""
        async with await CoreClient.connect(self._run_directory) as core:
            await core.pause()

    async def resume(self) -> None:
        """Resume the core."""
        async with await CoreClient.connect(self._run_directory) as core:
            await core.resume()

    async def clear(self) -> None:
        """Clear a fault of the core."""
        async with await CoreClient.connect(self._run_directory) as core:
            await core.clear()

    async def disarm(self) -> None:
        """Disarm the core."""
        async with await CoreClient.connect(self._run_directory) as core:
            await core.disarm()

    async def estop(self, reason: str) -> int:
        """Ask the safety daemon itself; needs nothing else alive."""
        async with await SafetyClient.connect(self._run_directory) as safety:
            return await safety.estop(reason)

    async def reset(self) -> None:
        """Ask the safety daemon to clear the latch."""
        async with await SafetyClient.connect(self._run_directory) as safety:
            await safety.reset()

    @contextlib.asynccontextmanager
    async def inputs(self) -> AsyncIterator[InputSender]:
        """Send to the core itself."""
        async with await CoreClient.connect(self._run_directory) as core:

            async def send(values: dict[str, float]) -> None:
                await core.set_inputs(values, time.monotonic_ns())

            yield send

    def _worker(self) -> FleetTarget:
        if self._fleet is not None:
            return self._fleet
        config = load_robot_config(config_file())
        return FleetTarget(config.worker.nats_url, config.robot.id)


class MachineTarget(FleetTarget):
    """A robot in a virtual machine: fleet requests through the hub, local acts by ssh."""

    def __init__(self, url: str, robot: str, ssh: dict[str, Any]) -> None:
        super().__init__(url, robot)
        self._ssh = ssh

    async def arm(self) -> None:
        """Run `holdfast robot arm` on the robot."""
        await self._local("arm")

    async def resume(self) -> None:
        """Run `holdfast robot resume` on the robot."""
        await self._local("resume")

    async def clear(self) -> None:
        """Run `holdfast robot clear` on the robot."""
        await self._local("clear")

    async def disarm(self) -> None:
        """Run `holdfast robot disarm` on the robot."""
        await self._local("disarm")

    async def reset(self) -> None:
        """Run `holdfast robot reset` on the robot."""
        await self._local("reset")

    async def _local(self, verb: str) -> None:
        command = ["holdfast", "robot", verb, "--robot", "local", "--json"]
        process = await asyncio.create_subprocess_exec(
            "ssh",
            *("-i", str(self._ssh["key"]), "-p", str(self._ssh["port"]), "-o", "BatchMode=yes"),
            *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"),
            *("-o", "ConnectTimeout=10", f"{self._ssh.get('user', 'root')}@127.0.0.1", shlex.join(command)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        if process.returncode == 0:
            return
        try:
            raise RefusedError(str(json.loads(out)["error"]))
        except (ValueError, KeyError, TypeError):
            said = (err or out).decode(errors="replace").strip()
            raise UnreachableError(f"'{verb}' could not be run on the robot by ssh: {said}") from None


def session_file() -> Path:
    """Return where `holdfast up` describes the session that is running."""
    return build_directory() / "session.json"


def resolve_target(robot: str | None) -> Target:
    """Return the target for `--robot`: "local", a session file, or "nats://user:password@host:port/robot-id".

    Without one: $HOLDFAST_ROBOT, else the running session of this repository, else this machine.

    Raises:
        ConfigError: it names nothing usable.
    """
    robot = robot or os.environ.get("HOLDFAST_ROBOT") or None
    if robot is None:
        with contextlib.suppress(ConfigError):
            if _is_alive(session_file()):
                return _session_target(session_file())
        return LocalTarget(run_directory())
    if robot == "local":
        return LocalTarget(run_directory())
    if robot.startswith(("nats://", "tls://")):
        address = urlsplit(robot)
        if not address.path.strip("/"):
            raise ConfigError(
                f"{_shown(robot)} names no robot; write nats://user:password@host:port/robot-id"
            )
        return FleetTarget(address._replace(path="").geturl(), address.path.strip("/"))
    if not Path(robot).is_file():
        raise ConfigError(f"--robot {robot}: is neither 'local', a session file, nor a nats:// address")
    if not _is_alive(Path(robot)):
        raise ConfigError(f"--robot {robot}: that session has ended; start one with `holdfast up`")
    return _session_target(Path(robot))


def _session_target(file: Path) -> Target:
    session = _read_session(file)
    fleet = FleetTarget(session["hub_url"], session["robot_id"])
    if session["kind"] == "host":
        return LocalTarget(Path(session["run_dir"]), fleet)
    return MachineTarget(session["hub_url"], session["robot_id"], session["ssh"])


def _read_session(file: Path) -> dict[str, Any]:
    try:
        session = json.loads(file.read_text(encoding="utf-8"))
        if session["kind"] not in {"host", "vm"}:
            raise ValueError("unknown kind")
        for key in ("robot_id", "hub_url", "pid", "run_dir" if session["kind"] == "host" else "ssh"):
            session[key]
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{file}: is not a session file ({error})") from error
    return dict(session)


def _is_alive(file: Path) -> bool:
    if not file.is_file():
        return False
    try:
        os.kill(int(_read_session(file)["pid"]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextlib.asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Client]:
    client = Client()

    async def quiet(_: Exception) -> None:
        """Errors come as exceptions of the request."""

    try:
        async with asyncio.timeout(_CONNECT_S):
            await client.connect(
                servers=[url], name="holdfast", allow_reconnect=False, connect_timeout=2, error_cb=quiet
            )
    except (nats.errors.Error, OSError, TimeoutError, ValueError) as error:
        reason = str(error) or "no answer"
        raise UnreachableError(f"no broker can be used at {_shown(url)}: {reason}") from error
    try:
        yield client
    finally:
        await client.close()


def _shown(url: str) -> str:
    """Return the address without its credentials."""
    address = urlsplit(url)
    return f"{address.hostname}:{address.port}" if address.port else str(address.hostname)


def _local_only(verb: str) -> RefusedError:
    return RefusedError(
        f"'{verb}' is a local act and not possible over NATS: run `holdfast robot {verb}` on the robot"
    )


def _without_ok(reply: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in reply.items() if key != "ok"}
