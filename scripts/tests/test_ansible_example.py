"""The inventory that people copy."""

from __future__ import annotations

import re
from pathlib import Path

from holdfast_ota.repository import Repository

EXAMPLE = Path(__file__).resolve().parents[2] / "ansible/inventory/example.yml"


def test_the_root_is_where_a_new_repository_has_it(tmp_path: Path) -> None:
    found = re.search(r'ota_root_file: "\{\{ inventory_dir \}\}/\.\./\.\./(.+)"', EXAMPLE.read_text())
    assert found is not None
    repository = Repository.create(tmp_path / "ota-repository")
    assert tmp_path / found[1] == repository.pinned_root
