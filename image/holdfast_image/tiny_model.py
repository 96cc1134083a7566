"""A language model of a few hundred kilobytes with random weights: what the bench asks instead of a real one.

It answers nonsense, but as a real one does: Ollama loads it, and it takes time. Only the bench variant has it.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

PLACE = "usr/share/holdfast/tiny.gguf"
_SEED = 1
_WIDTH = 64
_FEED_FORWARD = 128
_LAYERS = 2
_HEADS = 4
_CONTEXT = 256
_SPREAD = 0.2
# A byte each, so that every text is a sequence of them.
_SPECIAL = {"<unk>": gguf.TokenType.UNKNOWN, "<s>": gguf.TokenType.CONTROL, "</s>": gguf.TokenType.CONTROL}
_TOKENS = [*_SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]


def write(file: Path) -> None:
    """Write the model; the same one each time."""
    file.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_name("tiny")
    writer.add_context_length(_CONTEXT)
    writer.add_embedding_length(_WIDTH)
    writer.add_feed_forward_length(_FEED_FORWARD)
    writer.add_block_count(_LAYERS)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_rope_dimension_count(_WIDTH // _HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(_TOKENS)
    writer.add_token_scores([0.0] * len(_TOKENS))
    bytes_follow = [gguf.TokenType.BYTE] * (len(_TOKENS) - len(_SPECIAL))
    writer.add_token_types([*_SPECIAL.values(), *bytes_follow])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    random = np.random.default_rng(_SEED)
    for name, shape in _shapes():
        weights = np.ones(shape) if name.endswith("norm.weight") else random.normal(0, _SPREAD, shape)
        writer.add_tensor(name, weights.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _shapes() -> list[tuple[str, tuple[int, ...]]]:
    """Return each tensor's name and shape, rows first."""
    square, wide, narrow = (_WIDTH, _WIDTH), (_FEED_FORWARD, _WIDTH), (_WIDTH, _FEED_FORWARD)
    layer: dict[str, tuple[int, ...]] = {
        "attn_norm": (_WIDTH,),
        "attn_q": square,
        "attn_k": square,
        "attn_v": square,
        "attn_output": square,
        "ffn_norm": (_WIDTH,),
        "ffn_gate": wide,
        "ffn_up": wide,
        "ffn_down": narrow,
    }
    layers = [
        (f"blk.{number}.{name}.weight", shape) for number in range(_LAYERS) for name, shape in layer.items()
    ]
    return [
        ("token_embd.weight", (len(_TOKENS), _WIDTH)),
        *layers,
        ("output_norm.weight", (_WIDTH,)),
        ("output.weight", (len(_TOKENS), _WIDTH)),
    ]
