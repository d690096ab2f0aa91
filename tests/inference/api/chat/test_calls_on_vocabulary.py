"""Required calls on a real vocabulary: every sample is a call that can be parsed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import jsonschema  # type: ignore[import-untyped]
import llama_cpp
import numpy as np
import pytest

from inference.api.chat.tool_grammar import answer_grammar
from inference.api.chat.tool_use import ToolUse
from inference.engine.llama.bindings.log import LlamaLog
from inference.engine.llama.bindings.tokenizer import LlamaTokenizer
from inference.engine.llama.sampling.grammar_compiler import grammar_compiler
from inference.engine.structured_output.grammar import Grammar
from inference.output_parsers import (
    ToolCallArguments,
    ToolCallBegin,
)
from inference.output_parsers.families import OUTPUT_PARSERS
from inference.prompts.chat import Prompt
from inference.prompts.messages import Tool
from tests.inference.api.tool_models import WEATHER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from inference.engine.structured_output.matcher import GrammarCompiler

pytestmark = pytest.mark.model

#: Nothing is said of further arguments.
PARAMETERS = {
    key: value
    for key, value in WEATHER["function"]["parameters"].items()
    if key != "additionalProperties"
}
TOOLS = (Tool("get_weather", "", PARAMETERS), Tool("now"))


@pytest.fixture(scope="module")
def tokenizer(sample_model_path: Path) -> Iterator[LlamaTokenizer]:
    """The vocabulary of the sample model, without its weights."""
    LlamaLog().install()
    params = llama_cpp.llama_model_default_params()
    params.vocab_only = True
    path = str(sample_model_path).encode()
    model = llama_cpp.llama_model_load_from_file(path, params)
    tokenizer = LlamaTokenizer(llama_cpp.llama_model_get_vocab(model))
    yield tokenizer
    llama_cpp.llama_model_free(model)


@pytest.fixture(scope="module")
def compiler(tokenizer: LlamaTokenizer) -> GrammarCompiler:
    return grammar_compiler(tokenizer)


def generate(
    grammar: Grammar, compiler: GrammarCompiler, tokenizer: LlamaTokenizer, seed: int
) -> str:
    """Return what random logits make under the grammar, short for a sentence."""
    random = np.random.default_rng(seed)
    pieces = [tokenizer.piece(token) for token in range(tokenizer.n_vocab)]
    closing = np.array([piece[:1] in b'"}]<\n' for piece in pieces], np.float32)
    matcher = compiler.matcher(grammar)
    output: list[int] = []
    while not matcher.is_done:
        assert len(output) < 500, "it does not end"
        logits = random.gumbel(0, 3, tokenizer.n_vocab).astype(np.float32)
        logits += closing * len(output) / 2
        matcher.mask(logits)
        output.append(int(logits.argmax()))
        matcher.accept(output[-1])
    matcher.close()
    return b"".join(map(tokenizer.piece, output)).decode()


@pytest.mark.parametrize(
    "family",
    [
        *("plain_json", "hermes", "mistral", "deepseek_v3"),
        *("gigachat3", "gigachat31", "solar_open"),
    ],
)
def test_random_tokens_under_the_grammar_make_calls_that_match(
    family: str, compiler: GrammarCompiler, tokenizer: LlamaTokenizer
) -> None:
    spoken = OUTPUT_PARSERS[family]
    prompt = Prompt("", has_bos=False, output_parser=spoken)
    grammar = answer_grammar(
        prompt, ToolUse(TOOLS, TOOLS, must_call=True), None
    ).grammar
    assert grammar is not None
    for seed in range(3):
        text = generate(grammar, compiler, tokenizer, seed)
        parser = spoken.for_answer(
            {tool.name: tool.parameters for tool in TOOLS}, only_calls=True
        )
        names, arguments = [], [""] * 500
        for delta in [*parser.push(text), *parser.finish()]:
            if isinstance(delta, ToolCallBegin):
                names.append(delta.name)
            else:
                assert isinstance(delta, ToolCallArguments), text
                arguments[delta.index] += delta.fragment
        assert names, text
        for name, value in zip(names, arguments, strict=False):
            # Though JSON Schema would let others be beside those that are named.
            closed = {**PARAMETERS, "additionalProperties": False}
            schema = closed if name == "get_weather" else {"type": "object"}
            jsonschema.validate(json.loads(value), schema)


@pytest.mark.parametrize("family", OUTPUT_PARSERS)
def test_a_call_as_the_model_writes_it_is_allowed_token_by_token(
    family: str, compiler: GrammarCompiler, tokenizer: LlamaTokenizer
) -> None:
    spoken = OUTPUT_PARSERS[family]
    prompt = Prompt("", has_bos=False, output_parser=spoken)
    grammar = answer_grammar(
        prompt, ToolUse(TOOLS, TOOLS, must_call=True), None
    ).grammar
    assert grammar is not None
    text = spoken.framing.write([("get_weather", {"city": "Paris <3", "days": 12})])
    matcher = compiler.matcher(grammar)
    for token in tokenizer.tokenize(text, special=False, parse_special=False):
        matcher.accept(token)
    logits = np.zeros(tokenizer.n_vocab, np.float32)
    ends = np.flatnonzero(matcher.mask(logits))
    assert any(tokenizer.is_end(int(token)) for token in ends)
    matcher.close()


def test_a_tag_is_the_control_token_of_its_name_or_text(
    compiler: GrammarCompiler,
    tokenizer: LlamaTokenizer,
) -> None:
    def first(tag: str) -> set[bytes]:
        grammar = Grammar("start: control_0 /x/\n", control_tokens=((tag,),))
        logits = np.zeros(tokenizer.n_vocab, np.float32)
        allowed = compiler.matcher(grammar).mask(logits)
        return {tokenizer.spelling(int(token)) for token in np.flatnonzero(allowed)}

    assert first("<|im_start|>") == {b"<|im_start|>"}
    assert b"[" in first("[CALL]")
    assert all(b"[CALL]x".startswith(piece) for piece in first("[CALL]"))
    # What ends an answer needs no saying.
    assert first("<|im_end|>") == {b"x"}
