"""Programs that stand in for those of a robot or of this machine, for PATH."""

from __future__ import annotations

from pathlib import Path


def program(folder: Path, name: str, script: str) -> None:
    """Put a program, a shell script, into a folder for PATH."""
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
