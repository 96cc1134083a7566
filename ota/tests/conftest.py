from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The suite is imported by path (--import-mode=importlib); its simulators are modules beside it.
sys.path.insert(0, str(Path(__file__).parent))

from servers import NatsServer

from holdfast_ota.repository import Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.create(tmp_path / "fleet")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path / "hub", "fleet")
    yield server
    server.stop()


@pytest.fixture
def leaf(tmp_path: Path, hub: NatsServer) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path / "leaf", "arm-01", leaf_of=hub)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A broker for the reports of robots that read from a folder."""
    server = NatsServer(tmp_path_factory.mktemp("bus") / "nats", "bus")
    yield server
    server.stop()
