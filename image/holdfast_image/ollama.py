"""Ollama, which runs language models on the robot (docs/decisions/0083), compiled from its Go module.

Which version, and the hash of everything it consists of: image/ollama/go.mod and go.sum. Built in the builder tree and
kept in the cache.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from holdfast_image.builder import Builder
from holdfast_image.cache import content_hash, files_below, made_whole, require_space
from holdfast_image.namespace import Bind, run_in_builder
from holdfast_image.packages import Package
from holdfast_image.runtime import Snapshot

OLLAMA = "image/ollama"
NEEDED_BYTES = 4 << 30
# What this machine's Go and its network are told: another proxy for modules, where there is one.
_SETTINGS = (
    *("GOPROXY", "GONOPROXY", "GOPRIVATE", "GOINSECURE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)
# Whom this machine trusts: modules come by https.
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
PROFILE = "ollama"
"""Of mkosi: its unit and account. The image's name ends with it."""


@dataclass(frozen=True)
class Ollama:
    """The program, and what it was compiled from."""

    tree: Path
    """It lies below usr."""
    modules: list[Package]
    """Go modules by their paths, Go's own library as `std`."""
    licence_texts: dict[str, str]
    """By the module's path; empty where it has none."""


def ollama(cache: Path, builder: Builder, snapshot: Snapshot, log: Path) -> Ollama:
    """Return Ollama for the processors of a builder tree, built first if it is not in the cache.

    Raises:
        HostError: there is no space for it.
        BuildError: its modules cannot be fetched, are not what go.sum says, or cannot be compiled.
    """
    key = content_hash(snapshot.root, files_below(snapshot.root, (OLLAMA,)), builder.key)
    target = cache / f"ollama-{key}"
    if not target.is_dir():
        require_space(cache, NEEDED_BYTES, "building Ollama")
        with made_whole(target) as partial:
            build = partial / "build"
            build.mkdir()
            tools = builder.architecture.tools
            authorities = [Bind(_AUTHORITIES.resolve(), str(_AUTHORITIES))] if _AUTHORITIES.is_file() else []
            run_in_builder(
                builder.tree,
                ["/hf/ollama/build.sh", "/hf/ollama", *([f"{tools}-"] if tools else [])],
                [
                    Bind(snapshot.root / OLLAMA, "/hf/ollama"),
                    Bind(build, "/hf/build", writable=True),
                    *authorities,
                ],
                log=log,
                what="building Ollama",
                environment={name: os.environ[name] for name in _SETTINGS if name in os.environ},
                workdir="/hf/build",
            )
            for name in ("tree", "modules", "licences"):
                (build / name).rename(partial / name)
            shutil.rmtree(build)
    modules = [
        Package(path, version, "go")
        for path, version in (line.split() for line in (target / "modules").read_text().splitlines())
    ]
    texts = {
        module.name: "\n\n".join(
            file.read_text(errors="replace").rstrip()
            for file in sorted((target / "licences" / f"{module.name}@{module.version}").glob("*"))
        )
        for module in modules
    }
    return Ollama(target / "tree", modules, texts)
