"""What the image gets of the Python packages that uv installs."""

from __future__ import annotations

from pathlib import Path

from holdfast_image.python_packages import remove_programs


def test_programs_and_their_records_are_removed(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/tool").write_text("#!/checkout/.venv/bin/python\n")
    record = tmp_path / "tool-1.0.dist-info/RECORD"
    record.parent.mkdir()
    record.write_text(
        'bin/tool,sha256=abc,3\n"bin/a,b",sha256=d,3\ntool/bin/kept.py,sha256=e,1\ntool/__init__.py,,\n'
    )
    linked = tmp_path / "cached"
    linked.hardlink_to(record)
    remove_programs(tmp_path)
    assert not (tmp_path / "bin").exists()
    assert record.read_text() == "tool/bin/kept.py,sha256=e,1\ntool/__init__.py,,\n"
    assert linked.read_text().startswith("bin/tool"), "uv's cache is left alone"
