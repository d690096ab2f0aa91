"""The prompt of a middle, by llama.cpp's reading of a vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gguf
import llama_cpp
import pytest

from inference.engine.errors import InvalidRequest
from inference.engine.infill import InfillTokens, infill_prompt
from inference.engine.llama.bindings.log import LlamaLog
from inference.engine.llama.bindings.tokenizer import LlamaTokenizer
from registry.gguf.header import parse_header
from registry.gguf.infill import supports_infill

if TYPE_CHECKING:
    from pathlib import Path


def test_prompt_and_suffix_stand_between_the_control_tokens() -> None:
    tokens = InfillTokens(prefix=1, suffix=2, middle=3)

    assert infill_prompt(tokens, [10, 11], [12]) == [1, 10, 11, 2, 12, 3]
    assert infill_prompt(InfillTokens(1, 2, 3, bos=9), [], [12]) == [9, 1, 2, 12, 3]


def test_a_vocabulary_without_the_control_tokens_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        infill_prompt(None, [1], [2])

    assert caught.value.param == "suffix"


INFILL_TOKENS = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")


def write_vocabulary(
    path: Path, control_tokens: tuple[str, ...], *, named: bool
) -> Path:
    """Write bytes and control tokens, which the header names if ``named``."""
    special = ("<unk>", "<s>", "</s>", *control_tokens)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("llama")
    writer.add_token_list([*special, *(f"<0x{byte:02X}>" for byte in range(256))])
    writer.add_token_scores([0.0] * (len(special) + 256))
    kinds = [gguf.TokenType.CONTROL] * len(special) + [gguf.TokenType.BYTE] * 256
    writer.add_token_types(kinds)
    writer.add_add_bos_token(True)
    if named:
        for number, name in enumerate(("fim_pre", "fim_suf", "fim_mid"), start=3):
            writer.add_uint32(f"tokenizer.ggml.{name}_token_id", number)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def infill_of(path: Path) -> InfillTokens | None:
    """Return what llama.cpp finds in a vocabulary."""
    LlamaLog().install()
    params = llama_cpp.llama_model_default_params()
    params.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
    tokenizer = LlamaTokenizer(llama_cpp.llama_model_get_vocab(model))
    found = tokenizer.infill
    llama_cpp.llama_model_free(model)
    return found


@pytest.mark.parametrize(
    ("control_tokens", "named", "found"),
    [
        (INFILL_TOKENS, False, InfillTokens(3, 4, 5, bos=1)),
        (("<one>", "<two>", "<three>"), True, InfillTokens(3, 4, 5, bos=1)),
        (("<one>", "<two>", "<three>"), False, None),
        (INFILL_TOKENS[:2], False, None),
    ],
)
def test_the_scan_and_llama_cpp_find_the_same(
    tmp_path: Path,
    control_tokens: tuple[str, ...],
    *,
    named: bool,
    found: InfillTokens | None,
) -> None:
    path = write_vocabulary(tmp_path / "vocabulary.gguf", control_tokens, named=named)
    with path.open("rb") as stream:
        header = parse_header(stream, path.stat().st_size)

    assert infill_of(path) == found
    assert supports_infill(header.fields, header.known_tokens) == (found is not None)
