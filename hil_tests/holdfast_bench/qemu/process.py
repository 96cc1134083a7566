"""One QEMU process from the builder tree, in namespaces that end with this process."""

from __future__ import annotations

import base64
import fcntl
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from holdfast_bench.qemu.errors import MachineError
from holdfast_bench.qemu.monitor import Monitor
from holdfast_bench.qemu.platform import platform_of
from holdfast_image.build import Image
from holdfast_image.namespace import Bind, start_in_builder, tail_of

FOLDER = "/hf/vm"
IMAGE = "/hf/image"
SAVED = "/hf/saved"
TPM = f"{FOLDER}/tpm"
"""Where a machine's TPM keeps what it keeps without power."""
TPM_SOCKET = f"{TPM}/socket"
_GONE_LIMIT_S = 30.0
# An emulator looks up its own tables at each of the guest's jumps; in huge pages it finds them with fewer misses.
_ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
FIRST_PASSED_FD = 64  # above what the shell between uses itself
# It goes into the background once it listens, and dies with the namespace, as QEMU does.
_WITH_TPM = f"""
mkdir -p {TPM} && rm -f {TPM_SOCKET} &&
swtpm socket --tpm2 --daemon --tpmstate dir={TPM} --ctrl type=unixio,path={TPM_SOCKET} &&
exec "$@"
"""


class QemuProcess:
    """Starts QEMU, which sees `folder`, `image` and `binds`.

    `ports` are virtio-serial ports by name, each given back as a connected socket. On `processor` alone it runs with
    all its threads, if one is given. With `tpm` a TPM listens at `TPM_SOCKET`.
    """

    def __init__(
        self,
        image: Image,
        folder: Path,
        arguments: Sequence[str],
        ports: Sequence[str] = (),
        binds: Sequence[Bind] = (),
        processor: int | None = None,
        *,
        tpm: bool = False,
    ) -> None:
        self.log = folder / "qemu.log"
        self.ports: dict[str, socket.socket] = {}
        passed: list[socket.socket] = []
        numbers: list[int] = []

        def pair() -> tuple[socket.socket, int]:
            ours, theirs = socket.socketpair()
            passed.append(theirs)
            numbers.append(fcntl.fcntl(theirs.fileno(), fcntl.F_DUPFD_CLOEXEC, FIRST_PASSED_FD))
            return ours, numbers[-1]

        pinned = () if processor is None else ("taskset", "--cpu-list", str(processor))
        argv = [*pinned, platform_of(image.board).program, *arguments]
        if tpm:
            argv = ["sh", "-c", _WITH_TPM, "sh", *argv]
        monitor, number = pair()
        argv += ["-chardev", f"socket,id=qmp,fd={number}", "-mon", "chardev=qmp,mode=control"]
        if ports:
            # By its own thread QEMU would answer at another of the guest's instructions each time.
            argv += ["-device", "virtio-serial-pci,ioeventfd=off"]
        for index, name in enumerate(ports):
            self.ports[name], number = pair()
            argv += ["-chardev", f"socket,id=port{index},fd={number}"]
            argv += ["-device", f"virtserialport,chardev=port{index},name={name}"]
        self.monitor = Monitor(monitor)
        try:
            with self.log.open("ab") as output:
                self._process = start_in_builder(
                    image.builder.tree,
                    argv,
                    [Bind(folder, FOLDER, writable=True), Bind(image.directory, IMAGE), *binds],
                    workdir=FOLDER,
                    environment=_ENVIRONMENT,
                    output=output,
                    pass_fds=numbers,
                )
        finally:
            for theirs in passed:
                theirs.close()
            for number in numbers:
                socket.close(number)

    def code(self) -> int | None:
        """Return the exit code, None while it runs."""
        return self._process.poll()

    def wait(self, limit_s: float) -> int:
        """Wait for its end and return its exit code.

        Raises:
            MachineError: it runs still after `limit_s`.
        """
        try:
            return self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise MachineError(f"the machine still runs after {limit_s:.0f} s") from None

    def kill(self) -> None:
        """Kill it at once and wait until nothing of it is left, its locks on disk images included.

        Raises:
            MachineError: something is left.
        """
        self._process.kill()
        self._process.wait()
        if not self.monitor.wait_closed(_GONE_LIMIT_S):
            raise MachineError("a process of the machine outlived SIGKILL; is the host's disk stuck?")
        self.close()

    def close(self) -> None:
        """Free the sockets of a process that has ended."""
        self.monitor.close()
        for port in self.ports.values():
            port.close()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def last_words(self) -> str:
        """Return the end of what QEMU itself said."""
        return tail_of(self.log)


def credential_arguments(credentials: Mapping[str, str], smbios: bool = True) -> list[str]:
    """Return the options that give the guest systemd credentials, by SMBIOS strings (type 11) or by QEMU's fw_cfg."""
    arguments = []
    if not smbios:
        for name, value in credentials.items():
            text = value.replace(",", ",,")
            arguments += ["-fw_cfg", f"name=opt/io.systemd.credentials/{name},string={text}"]
        return arguments
    for name, value in credentials.items():
        text = base64.b64encode(value.encode()).decode()
        arguments += ["-smbios", f"type=11,value=io.systemd.credential.binary:{name}={text}"]
    return arguments
