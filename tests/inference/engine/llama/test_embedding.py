"""Vectors and scores from llama.cpp, compared with the expected ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from inference.engine.config.engine_config import EngineConfig
from inference.engine.embedding.core import EmbeddingCore, normalized
from inference.engine.errors import ModelLoadError
from inference.engine.llama import LlamaEmbedder
from inference.engine.request import PoolingRequest
from tests.tiny_reranker import SPECIAL_TOKENS, WORDS, write_tiny_reranker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.model

UNKNOWN, CLS, SEP = map(SPECIAL_TOKENS.index, ("[UNK]", "[CLS]", "[SEP]"))
QUERY = "what do cats eat"
DOCUMENTS = ["cats eat fish", "rates rose", "dogs eat cats", "fish"]


@pytest.fixture
def load() -> Iterator[Callable[..., LlamaEmbedder]]:
    """Return a function that loads a model; it is freed at the end."""
    loaded = []

    def make(path: Path, **fields: object) -> LlamaEmbedder:
        values = {"n_ctx": 64, "n_seq_max": 8, "n_batch": 64, **fields}
        config = EngineConfig(paths=(str(path),), n_threads=1, **values)  # type: ignore[arg-type]
        loaded.append(LlamaEmbedder(config))
        return loaded[-1]

    yield make
    for model in loaded:
        model.close()


def word(text: str) -> int:
    return len(SPECIAL_TOKENS) + WORDS.index(text)


def test_vectors_are_those_of_the_original_model(
    embedding_model_path: Path, load: Callable[..., LlamaEmbedder]
) -> None:
    path = embedding_model_path.with_name("all-MiniLM-L6-v2.reference.json")
    reference = json.loads(path.read_text())
    model = load(embedding_model_path, task="embed", n_ctx=512, n_batch=512)
    inputs = [
        model.tokenizer.tokenize(sentence, special=True)
        for sentence in reference["sentences"]
    ]
    core = EmbeddingCore(model)
    core.add(PoolingRequest("all", tuple(inputs)))
    outputs = core.step()
    vectors = [np.frombuffer(vector, "<f4") for vector in outputs[-1].vectors]
    assert [len(vector) for vector in vectors] == [384] * len(inputs)
    for vector, expected in zip(vectors, reference["embeddings"], strict=True):
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
        assert vector @ np.array(expected) > 0.999
    # As long as the context, and so longer than a batch may be beside others.
    longest = model.embed([[*inputs[0][:-1], *[2000] * (512 - len(inputs[0])), 102]])
    assert np.isfinite(longest).all()
    for row, tokens in zip(vectors, inputs, strict=True):
        assert normalized(model.embed([tokens])[0]) @ row > 0.99999
    text = model.tokenizer.detokenize(inputs[0])
    assert text == "[CLS] the cat sits on the mat.[SEP]"


@pytest.mark.parametrize("num_texts", [3, 32])
def test_a_vector_depends_on_its_batch_by_rounding_only(
    embedding_model_path: Path, load: Callable[..., LlamaEmbedder], num_texts: int
) -> None:
    model = load(
        embedding_model_path, task="embed", n_ctx=512, n_seq_max=32, n_batch=2048
    )
    sentence = "the cat sits on the mat and looks at the birds over house number {}"
    inputs = [
        model.tokenizer.tokenize(sentence.format(number), special=True)[: 5 + number]
        for number in range(num_texts)
    ]
    # llama.cpp has other kernels for more than 64 tokens.
    assert (sum(map(len, inputs)) > 64) == (num_texts == 32)
    together = model.embed(inputs)
    for row, tokens in zip(together, inputs, strict=True):
        # docs/api.md says so.
        assert normalized(model.embed([tokens])[0]) @ normalized(row) >= 0.999


@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize(
    "kind", ["llama", "sliding window", "recurrent", "hybrid", "hybrid in each layer"]
)
def test_a_batch_gives_what_each_input_gives_alone(
    tiny_model_path: Callable[[str], Path],
    load: Callable[..., LlamaEmbedder],
    kind: str,
    pooling: str,
) -> None:
    model = load(tiny_model_path(kind), task="embed", pooling=pooling)
    texts = ["a", "a sentence of some length", "another one", "a"]
    inputs = [model.tokenizer.tokenize(text, special=True) for text in texts]
    together = model.embed(inputs)
    alone = np.concatenate([model.embed([tokens]) for tokens in inputs])
    np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-4)
    assert not np.allclose(together[0], together[1], rtol=1e-2)
    np.testing.assert_allclose(together[0], together[3], rtol=1e-3, atol=1e-4)


def test_a_text_that_is_longer_than_a_batch_is_pooled_in_one_piece(
    tiny_model_path: Callable[[str], Path], load: Callable[..., LlamaEmbedder]
) -> None:
    path = tiny_model_path("llama")
    # No multiple of the number of sequences, which llama.cpp does not like.
    tokens = [5 + number % 200 for number in range(301)]
    small = load(path, task="embed", pooling="mean", n_ctx=301)
    large = load(path, task="embed", pooling="mean", n_ctx=301, n_batch=512)
    np.testing.assert_allclose(
        small.embed([tokens]), large.embed([tokens]), rtol=1e-3, atol=1e-4
    )


def test_documents_get_one_score_each_alone_as_in_a_batch(
    tmp_path: Path, load: Callable[..., LlamaEmbedder]
) -> None:
    write_tiny_reranker(tmp_path / "tiny.gguf")
    model = load(tmp_path / "tiny.gguf", task="rank")
    pairs = model.pairs(QUERY, DOCUMENTS)
    scores = model.embed(pairs)
    assert scores.shape == (len(DOCUMENTS), 1)
    assert len(set(scores[:, 0].tolist())) == len(DOCUMENTS)
    for pair, score in zip(pairs, scores, strict=True):
        np.testing.assert_allclose(model.embed([pair])[0], score, rtol=1e-4, atol=1e-5)
    others = model.embed(model.pairs("what do dogs eat", DOCUMENTS))
    assert not np.isclose(scores, others, rtol=1e-3).any()


def test_a_reranker_ranks_also_where_its_file_names_no_pooling(
    tmp_path: Path, load: Callable[..., LlamaEmbedder]
) -> None:
    scores = []
    for names_pooling in (True, False):
        path = tmp_path / f"{names_pooling}.gguf"
        write_tiny_reranker(path, names_pooling=names_pooling)
        model = load(path, task="rank")
        scores.append(model.embed(model.pairs(QUERY, DOCUMENTS)))
    named, unnamed = scores
    np.testing.assert_array_equal(named, unnamed)


def test_a_pair_is_begun_parted_and_ended_as_the_model_was_taught(
    tmp_path: Path, load: Callable[..., LlamaEmbedder]
) -> None:
    write_tiny_reranker(tmp_path / "tiny.gguf")
    model = load(tmp_path / "tiny.gguf", task="rank")
    short, strange = model.pairs("cats eat", ["fish", "[SEP] rates"])
    begin = [CLS, word("cats"), word("eat"), SEP]
    assert short == [*begin, word("fish"), SEP]
    # What a document spells out is text: it cannot begin another document.
    assert strange == [*begin, UNKNOWN, UNKNOWN, UNKNOWN, word("rates"), SEP]


def test_a_models_own_form_of_a_pair_is_used(
    tmp_path: Path, load: Callable[..., LlamaEmbedder]
) -> None:
    template = "what {query} do {document} rose"
    write_tiny_reranker(tmp_path / "tiny.gguf", template=template)
    model = load(tmp_path / "tiny.gguf", task="rank")
    (pair,) = model.pairs("cats", ["{query} fish"])
    assert [token for token in pair if token != UNKNOWN] == [
        word(text) for text in ("what", "cats", "do", "fish", "rose")
    ]


@pytest.mark.parametrize(
    ("task", "pooling", "words"),
    [
        ("embed", "", "names no pooling"),
        ("rank", "mean", "no scores"),
        ("embed", "rank", "scores and no vectors"),
    ],
)
def test_a_model_that_cannot_do_it_is_not_loaded(
    tiny_model_path: Callable[[str], Path],
    load: Callable[..., LlamaEmbedder],
    task: str,
    pooling: str,
    words: str,
) -> None:
    with pytest.raises(ModelLoadError, match=words):
        load(tiny_model_path("llama"), task=task, pooling=pooling)
