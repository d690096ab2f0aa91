"""A GGUF reranker for tests: a narrow BERT with a classifier, random weights.

It is nonsense, but computed as the real ones are: a score depends on every token of
a query and its document, and on their order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import gguf
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
WORDS = ("what", "do", "cats", "eat", "fish", "dogs", "rates", "rose")

_WIDTH, _HEADS, _FEED_FORWARD, _LAYERS, _CONTEXT = 32, 4, 64, 2, 64


def write_tiny_reranker(
    path: Path, *, template: str = "", names_pooling: bool = True
) -> None:
    """Write the model, always the same one; ``template`` is its form of a pair."""
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_context_length(_CONTEXT)
    writer.add_block_count(_LAYERS)
    writer.add_embedding_length(_WIDTH)
    writer.add_feed_forward_length(_FEED_FORWARD)
    writer.add_head_count(_HEADS)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(value=False)
    if names_pooling:
        writer.add_pooling_type(gguf.PoolingType.RANK)
    if template:
        writer.add_chat_template([{"name": "rerank", "template": template}])
    _add_vocabulary(writer)
    rng = np.random.default_rng(1)
    for name, shape in _shapes().items():
        values = rng.standard_normal(shape[::-1], np.float32)
        if len(shape) > 1 and "embd" not in name:
            values /= np.sqrt(np.float32(shape[0]))
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_vocabulary(writer: gguf.GGUFWriter) -> None:
    # In GGUF what begins a word has the mark of a space before it.
    tokens = [*SPECIAL_TOKENS, *(f"\N{LOWER ONE EIGHTH BLOCK}{word}" for word in WORDS)]
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_tokenizer_model("bert")
    writer.add_token_type_count(2)
    writer.add_token_list(tokens)
    writer.add_token_types([control] * len(SPECIAL_TOKENS) + [normal] * len(WORDS))
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_sep_token_id(3)
    writer.add_eos_token_id(3)
    writer.add_add_bos_token(value=True)
    writer.add_add_eos_token(value=True)
    writer.add_add_sep_token(value=False)


def _shapes() -> dict[str, tuple[int, ...]]:
    """Return the shapes of tensors, the innermost dimension first."""
    n_vocab = len(SPECIAL_TOKENS) + len(WORDS)
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (_WIDTH, n_vocab),
        "token_types.weight": (_WIDTH, 2),
        "position_embd.weight": (_WIDTH, _CONTEXT),
        "token_embd_norm.weight": (_WIDTH,),
        "token_embd_norm.bias": (_WIDTH,),
        "cls.weight": (_WIDTH, _WIDTH),
        "cls.bias": (_WIDTH,),
        "cls.output.weight": (_WIDTH, 1),
        "cls.output.bias": (1,),
    }
    square, vector = (_WIDTH, _WIDTH), (_WIDTH,)
    layer: dict[str, tuple[int, ...]] = {
        **{f"attn_{part}.weight": square for part in ("q", "k", "v", "output")},
        **{f"attn_{part}.bias": vector for part in ("q", "k", "v", "output")},
        "attn_output_norm.weight": vector,
        "attn_output_norm.bias": vector,
        "ffn_up.weight": (_WIDTH, _FEED_FORWARD),
        "ffn_up.bias": (_FEED_FORWARD,),
        "ffn_down.weight": (_FEED_FORWARD, _WIDTH),
        "ffn_down.bias": vector,
        "layer_output_norm.weight": vector,
        "layer_output_norm.bias": vector,
    }
    for number in range(_LAYERS):
        shapes |= {f"blk.{number}.{name}": shape for name, shape in layer.items()}
    return shapes
