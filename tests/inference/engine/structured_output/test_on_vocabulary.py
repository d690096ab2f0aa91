"""Grammars on a real vocabulary: every sample matches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import llama_cpp
import numpy as np
import pytest

from inference.engine.errors import InvalidRequest
from inference.engine.llama.bindings.log import LlamaLog
from inference.engine.llama.bindings.tokenizer import LlamaTokenizer
from inference.engine.llama.sampling.grammar_compiler import grammar_compiler
from inference.engine.structured_output import grammars
from tests.inference.engine.structured_output.recogniser import allows
from tests.inference.engine.structured_output.schemas import SCHEMAS
from tests.inference.engine.structured_output.values import is_value_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from inference.engine.structured_output.grammar import Grammar
    from inference.engine.structured_output.matcher import GrammarCompiler

pytestmark = pytest.mark.model

_SEEDS = 3


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


@pytest.fixture(scope="module")
def closing(tokenizer: LlamaTokenizer) -> np.ndarray[Any, np.dtype[np.float32]]:
    """1 for each token that helps a JSON value to its end, else 0."""
    pieces = [tokenizer.piece(token) for token in range(tokenizer.n_vocab)]
    helps = [
        piece in (b"", b" ") or (piece[:1] in b'"}],n0' and not {*b"{["} & {*piece})
        for piece in pieces
    ]
    return np.array(helps, np.float32)


def generate(
    grammar: Grammar,
    compiler: GrammarCompiler,
    tokenizer: LlamaTokenizer,
    closing: np.ndarray[Any, np.dtype[np.float32]],
    seed: int,
) -> list[int]:
    """Return what random logits make under the grammar: harder than any model."""
    random = np.random.default_rng(seed)
    matcher = compiler.matcher(grammar)
    output: list[int] = []
    while not matcher.is_done:
        assert len(output) < 500, "it does not end"
        logits = random.gumbel(0, 3, tokenizer.n_vocab).astype(np.float32)
        # Long answers are no harder: an answer is helped to end.
        logits += closing * len(output) / 2
        matcher.mask(logits)
        output.append(int(logits.argmax()))
        matcher.accept(output[-1])
    matcher.close()
    return [token for token in output if token not in tokenizer.ends]


@pytest.mark.parametrize("name", SCHEMAS)
def test_random_tokens_under_the_mask_make_a_value_of_the_schema(
    name: str,
    compiler: GrammarCompiler,
    tokenizer: LlamaTokenizer,
    closing: np.ndarray[Any, np.dtype[np.float32]],
) -> None:
    grammar = grammars.json_schema(SCHEMAS[name])
    for seed in range(_SEEDS):
        output = generate(grammar, compiler, tokenizer, closing, seed)
        text = b"".join(map(tokenizer.piece, output)).decode()
        is_value_of(SCHEMAS[name], text)


@pytest.mark.parametrize(
    "grammar",
    [
        grammars.regex("(?:[A-Z][a-zé]{1,8} ){2}[0-9]{3}"),
        grammars.choice(["yes", "yes, of course", "no", "世界"]),
        grammars.gbnf('root ::= "(" root ")" | [a-z]{1,3} ws\nws ::= (" " ws)?'),
        grammars.lark('start: "<|im_start|>" | <|im_start|> "é"'),
    ],
    ids=["regex", "choice", "gbnf", "lark"],
)
def test_what_random_tokens_make_matches_the_grammar(
    grammar: Grammar,
    compiler: GrammarCompiler,
    tokenizer: LlamaTokenizer,
    closing: np.ndarray[Any, np.dtype[np.float32]],
) -> None:
    for seed in range(_SEEDS):
        output = generate(grammar, compiler, tokenizer, closing, seed)
        text = b"".join(map(tokenizer.spelling, output)).decode()
        if grammar.source.startswith('start: "<'):
            assert text in ("<|im_start|>", "<|im_start|>é")
        else:
            assert allows(grammar, text), text


def test_tokens_without_a_choice_are_those_that_the_masks_leave(
    compiler: GrammarCompiler,
    tokenizer: LlamaTokenizer,
) -> None:
    schema = {
        "type": "object",
        "properties": {"name_of_the_person": {"type": "integer"}},
        "required": ["name_of_the_person"],
        "additionalProperties": False,
    }
    grammar = grammars.json_schema(schema)
    leaping = compiler.matcher(grammar)
    matcher = compiler.matcher(grammar)
    (brace,) = tokenizer.tokenize('{"', special=False)
    forced = leaping.accept_with_forced(brace)
    matcher.accept(brace)
    assert b"".join(map(tokenizer.piece, forced)) == b'name_of_the_person":'
    for token in forced:
        logits = np.zeros(tokenizer.n_vocab, np.float32)
        assert np.flatnonzero(matcher.mask(logits)).tolist() == [token]
        matcher.accept(token)
    here, there = (np.zeros(tokenizer.n_vocab, np.float32) for _ in range(2))
    assert (matcher.mask(here) == leaping.mask(there)).all()
    matcher.close()
    leaping.close()


def test_a_special_token_comes_only_where_the_grammar_names_it(
    compiler: GrammarCompiler,
    tokenizer: LlamaTokenizer,
) -> None:
    (start,) = tokenizer.tokenize("<|im_start|>", special=True)
    logits = np.zeros(tokenizer.n_vocab, np.float32)

    free = compiler.matcher(grammars.lark("start: /(.|\n)*/"))
    assert not free.mask(logits)[start]
    named = compiler.matcher(grammars.lark("start: <|im_start|>"))
    assert np.flatnonzero(named.mask(logits)).tolist() == [start]
    assert all(free.mask(logits)[end] for end in tokenizer.ends)


def test_a_special_token_that_is_not_in_the_vocabulary_is_refused(
    compiler: GrammarCompiler,
    tokenizer: LlamaTokenizer,
) -> None:
    grammar = grammars.lark("start: <|python_tag|>", "guided_grammar")

    with pytest.raises(InvalidRequest, match="unknown special token") as caught:
        compiler.compile(grammar)

    assert caught.value.param == "guided_grammar"
