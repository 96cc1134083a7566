"""The language model of the bench, read back by the library that reads real ones."""

from __future__ import annotations

from pathlib import Path

import gguf

from holdfast_image import tiny_model


def test_it_is_whole_and_always_the_same(tmp_path: Path) -> None:
    for name in ("a", "b"):
        tiny_model.write(tmp_path / name / "tiny.gguf")
    assert (tmp_path / "a/tiny.gguf").read_bytes() == (tmp_path / "b/tiny.gguf").read_bytes()
    read = gguf.GGUFReader(tmp_path / "a/tiny.gguf")
    shapes = {tensor.name: tuple(int(size) for size in tensor.shape) for tensor in read.tensors}
    # GGUF has columns first.
    assert shapes["token_embd.weight"] == (64, 259)
    assert len(shapes) == 2 * 9 + 3
    assert len(read.fields["tokenizer.ggml.tokens"].data) == 259
