"""Archives of Debian packages, signed and served as a mirror does it."""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Signer:
    """Somebody with an OpenPGP key."""

    def __init__(self, home: Path, name: str) -> None:
        home.mkdir(mode=0o700)
        self._environment = {**os.environ, "GNUPGHOME": str(home)}
        self._gpg("--passphrase", "", "--quick-generate-key", name, "ed25519", "sign", "never")

    def public_key(self, *options: str) -> bytes:
        """Return the key; armoured with `--armor`."""
        return self._gpg("--export", *options)

    def sign(self, file: Path, target: Path) -> None:
        """Write a copy of a text with its signature inside."""
        self._gpg("--yes", "--clear-sign", "--output", str(target), str(file))

    def forget(self) -> None:
        """End the agent that holds the key."""
        subprocess.run(["gpgconf", "--kill", "all"], check=True, env=self._environment)

    def _gpg(self, *arguments: str) -> bytes:
        return subprocess.run(
            ["gpg", "--batch", "--quiet", *arguments], check=True, capture_output=True, env=self._environment
        ).stdout


def make_package(folder: Path, name: str, version: str, content: str = "") -> Path:
    """Make a package for every processor; `content` is what the program NAME in it prints."""
    tree = folder / f"{name}-{version}"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: test\nDescription: test\n"
    )
    program = tree / "usr/bin" / name
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho {content}\n")
    program.chmod(0o755)
    made = folder / f"{name}_{version}_all.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(made)], check=True, capture_output=True
    )
    return made


def make_archive(root: Path, signer: Signer, packages: list[Path], suite: str, about: str = "") -> None:
    """Make an archive of one suite with the component main; `about` are more lines of its Release file."""
    index = root / "dists" / suite / "main/binary-amd64/Packages"
    index.parent.mkdir(parents=True)
    (root / "pool").mkdir()
    stanzas = []
    for package in packages:
        data = package.read_bytes()
        (root / "pool" / package.name).write_bytes(data)
        control = subprocess.run(
            ["dpkg-deb", "--field", str(package)], check=True, capture_output=True, text=True
        ).stdout
        digest = hashlib.sha256(data).hexdigest()
        stanzas.append(f"{control}Filename: pool/{package.name}\nSize: {len(data)}\nSHA256: {digest}\n\n")
    index.write_text("".join(stanzas))
    listed = index.read_bytes()
    release = root / "dists" / suite / "Release"
    release.write_text(
        f"{about}Suite: {suite}\nCodename: {suite}\nDate: Mon, 01 Jan 2024 00:00:00 UTC\n"
        "Architectures: amd64\nComponents: main\n"
        f"SHA256:\n {hashlib.sha256(listed).hexdigest()} {len(listed)} main/binary-amd64/Packages\n"
    )
    signer.sign(release, release.with_name("InRelease"))


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder and give its URL."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
