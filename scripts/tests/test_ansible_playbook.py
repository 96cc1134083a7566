"""The playbook's own promises, without a robot: what a refused run leaves, and where the example looks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ansible.parsing.dataloader import DataLoader

from holdfast_ota.repository import Repository

ROOT = Path(__file__).resolve().parents[2]
ANSIBLE = ROOT / "ansible"
BIN = Path(sys.executable).parent
INVENTORY = ANSIBLE / "inventory/example.yml"


def read(file: Path) -> Any:
    return DataLoader().load_from_file(str(file))


def test_what_was_written_before_a_role_refused_takes_effect(tmp_path: Path) -> None:
    """The play of the robots as it is, but on this machine and with tasks that write and refuse."""
    effect = tmp_path / "restarted"
    play = dict(read(ANSIBLE / "provision.yml")[0])
    del play["roles"], play["post_tasks"]
    play |= {
        "hosts": "localhost",
        "connection": "local",
        "become": False,
        "tasks": [
            {"ansible.builtin.command": "true", "changed_when": True, "notify": "Restart"},
            {"ansible.builtin.fail": {"msg": "a role refuses"}},
        ],
        "handlers": [
            {"name": "Restart", "ansible.builtin.copy": {"content": "", "dest": str(effect), "mode": "0600"}}
        ],
    }
    playbook = tmp_path / "playbook.json"
    playbook.write_text(json.dumps([play]))

    done = subprocess.run(
        [f"{BIN}/ansible-playbook", "-i", "localhost,", str(playbook)],
        env={
            **os.environ,
            "ANSIBLE_HOME": str(tmp_path / "home"),
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "a role refuses" in done.stdout, done.stdout + done.stderr
    assert done.returncode != 0
    assert effect.exists(), done.stdout


def test_the_example_looks_for_the_root_where_init_puts_it(tmp_path: Path) -> None:
    example = read(INVENTORY)["robots"]["vars"]["ota_root_file"]
    root = Path(example.replace("{{ inventory_dir }}", str(INVENTORY.parent))).resolve()
    folder = root.relative_to(ROOT).parts[0]

    repository = Repository.create(tmp_path / folder)

    assert root.relative_to(ROOT) == repository.pinned_root.relative_to(tmp_path)
