"""Tokens of models that are not loaded: from a process that may die of a file."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from inference.engine.llama.vocabulary import Vocabularies
from inference.engine.request import DetokenizationRequest, TokenizationRequest
from inference.errors import EngineUnavailable, ModelLoadFailed, RequestRejected
from inference.transport.messages.events import Detokenized, Tokenized
from inference.worker import vocabulary_process as module
from inference.worker.vocabulary_process import VocabularyProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

pytestmark = pytest.mark.model


@pytest.fixture
async def process() -> AsyncIterator[VocabularyProcess]:
    process = VocabularyProcess()
    yield process
    await process.aclose()


def tokenize(text: str, **more: Any) -> TokenizationRequest:
    return TokenizationRequest("r", text, **more)


def pid_of(process: VocabularyProcess) -> int:
    assert process._process is not None
    return process._process.pid


async def test_a_text_becomes_tokens_and_the_tokens_become_the_text(
    process: VocabularyProcess, sample_model_path: Path
) -> None:
    paths = (str(sample_model_path),)
    said = await process.ask(paths, tokenize("Once upon a time <|im_end|>"))
    assert isinstance(said, Tokenized)
    assert b"".join(said.pieces) == b"Once upon a time <|im_end|>"
    assert len(said.tokens) == 6
    back = await process.ask(paths, DetokenizationRequest("r", said.tokens, "tokens"))
    assert back == Detokenized("r", "Once upon a time <|im_end|>")


async def test_it_takes_no_memory_for_weights(
    process: VocabularyProcess, sample_model_path: Path
) -> None:
    await process.ask((str(sample_model_path),), tokenize("x"))
    resident = psutil.Process(pid_of(process)).memory_info().rss
    assert resident < 150 * 2**20, "weights would be another 90 MiB"


async def test_one_question_of_a_key_goes_before_the_many_of_another(
    process: VocabularyProcess, sample_model_path: Path
) -> None:
    paths, order = (str(sample_model_path),), []

    async def ask(key: str) -> None:
        await process.ask(paths, tokenize("x", key=key))
        order.append(key)

    async with asyncio.TaskGroup() as asking:
        for key in ["hostile"] * 8 + ["quiet"]:
            asking.create_task(ask(key))
    assert order.index("quiet") <= 2


async def test_several_at_once_get_each_its_own_answer(
    process: VocabularyProcess,
    sample_model_path: Path,
    tiny_model_path: Callable[[str], Path],
) -> None:
    files = [str(sample_model_path), str(tiny_model_path("recurrent"))]
    texts = [f"text{n}" for n in range(8)]
    said = await asyncio.gather(
        *(process.ask((files[n % 2],), tokenize(text)) for n, text in enumerate(texts))
    )
    spoken = [b"".join(each.pieces) for each in said if isinstance(each, Tokenized)]
    assert spoken == [text.encode() for text in texts]


async def test_an_unknown_token_is_named(
    process: VocabularyProcess, sample_model_path: Path
) -> None:
    with pytest.raises(RequestRejected, match=r"'tokens\[1\]'") as caught:
        await process.ask(
            (str(sample_model_path),), DetokenizationRequest("r", (1, 10**6), "tokens")
        )
    assert caught.value.param == "tokens[1]"


async def test_an_invalid_file_fails_its_request_only(
    process: VocabularyProcess, sample_model_path: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\xff" * 100)
    with pytest.raises(ModelLoadFailed):
        await process.ask((str(broken),), tokenize("x"))
    before = pid_of(process)
    await process.ask((str(sample_model_path),), tokenize("x"))
    assert pid_of(process) == before


async def test_a_file_that_kills_it_fails_its_request_only(
    process: VocabularyProcess, sample_model_path: Path
) -> None:
    paths = (str(sample_model_path),)
    await process.ask(paths, tokenize("x"))
    before = pid_of(process)
    os.kill(before, signal.SIGSTOP)
    question = asyncio.create_task(process.ask(paths, tokenize("x")))
    await asyncio.sleep(0)
    os.kill(before, signal.SIGKILL)
    with pytest.raises(EngineUnavailable):
        await question
    await process.ask(paths, tokenize("x"))
    assert pid_of(process) != before


async def test_one_that_hangs_is_ended(
    process: VocabularyProcess,
    sample_model_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paths = (str(sample_model_path),)
    await process.ask(paths, tokenize("x"))
    before = pid_of(process)
    os.kill(before, signal.SIGSTOP)
    monkeypatch.setattr(module, "_HANGS_S", 0.05)
    with pytest.raises(EngineUnavailable, match="hangs"):
        await process.ask(paths, tokenize("x"))
    assert not psutil.pid_exists(before)


async def test_a_slow_read_goes_on_for_the_next_who_asks(
    process: VocabularyProcess,
    sample_model_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paths = (str(sample_model_path),)
    await process.ask(paths, tokenize("x"))
    before = pid_of(process)
    os.kill(before, signal.SIGSTOP)
    with monkeypatch.context() as patched:
        patched.setattr(module, "_ANSWER_S", 0.05)
        with pytest.raises(EngineUnavailable, match="goes on"):
            await process.ask(paths, tokenize("first"))
        # Nobody waits for a second question behind it, either.
        with pytest.raises(EngineUnavailable, match="goes on"):
            await process.ask(paths, tokenize("second"))
    os.kill(before, signal.SIGCONT)
    said = await process.ask(paths, tokenize("third"))
    assert isinstance(said, Tokenized)
    assert b"".join(said.pieces) == b"third"
    assert pid_of(process) == before


async def test_a_question_that_is_given_up_leaves_no_answer_to_the_next(
    process: VocabularyProcess, sample_model_path: Path
) -> None:
    paths = (str(sample_model_path),)
    await process.ask(paths, tokenize("x"))
    question = asyncio.create_task(process.ask(paths, tokenize("first")))
    await asyncio.sleep(0)
    question.cancel()
    with pytest.raises(asyncio.CancelledError):
        await question
    said = await process.ask(paths, tokenize("second"))
    assert isinstance(said, Tokenized)
    assert b"".join(said.pieces) == b"second"


async def test_it_ends_after_a_while_idle(
    process: VocabularyProcess,
    sample_model_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_IDLE_S", 0.0)
    await process.ask((str(sample_model_path),), tokenize("x"))
    pid = pid_of(process)
    async with asyncio.timeout(20):
        while psutil.pid_exists(pid):
            await asyncio.sleep(0.01)


def test_the_least_recently_used_vocabulary_is_freed(
    sample_model_path: Path, tmp_path: Path
) -> None:
    vocabularies = Vocabularies()
    try:
        links = []
        for number in range(6):
            link = tmp_path / f"{number}.gguf"
            link.symlink_to(sample_model_path)
            links.append((str(link),))
        first = vocabularies.of(links[0])
        assert vocabularies.of(links[0]) is first
        for paths in links[1:]:
            vocabularies.of(paths)
        assert vocabularies.of(links[0]) is not first
    finally:
        vocabularies.close()
