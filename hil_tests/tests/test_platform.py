"""How a machine is made for a board's image."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast_bench.qemu.errors import MachineError
from holdfast_bench.qemu.machine import Vm
from holdfast_bench.qemu.platform import VIRTUAL_BOARDS, platform_of
from holdfast_bench.qemu.process import credential_arguments
from holdfast_image.boards import ARM64, BOARDS
from holdfast_image.build import Image
from holdfast_image.builder import Builder


def test_every_board_that_is_run_can_be_built() -> None:
    assert set(VIRTUAL_BOARDS) <= set(BOARDS)
    for board in VIRTUAL_BOARDS:
        assert platform_of(board).runs_here == (BOARDS[board].architecture.name == "amd64")


def test_a_board_that_qemu_has_no_machine_for_is_named_with_those_it_has() -> None:
    with pytest.raises(MachineError, match="no machine for toaster; there are some for qemu-x86-64"):
        platform_of("toaster")


def test_credentials_keep_their_commas_where_options_are_split_at_them() -> None:
    assert credential_arguments({"a": "x,y\n"}, smbios=False) == [
        "-fw_cfg",
        "name=opt/io.systemd.credentials/a,string=x,,y\n",
    ]
    assert credential_arguments({"a": "x,y\n"})[0] == "-smbios"


def test_firmware_that_checks_no_signatures_is_not_taken_for_one_that_does(tmp_path: Path) -> None:
    image = Image(tmp_path, "key", "pi", "bench", Builder(tmp_path, "key", ARM64), True, "image")
    with pytest.raises(MachineError, match="no firmware for pi here that checks signatures"):
        Vm(image, tmp_path / "vm", secure_boot=True)
    with pytest.raises(MachineError, match="no firmware for pi here that measures into a TPM"):
        Vm(image, tmp_path / "vm", tpm=True)
