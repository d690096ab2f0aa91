"""The engine on the real model: every claim here is llama.cpp's own doing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from inference.engine import (
    EngineConfig,
    EngineCore,
    FinishReason,
    GenerationRequest,
    ModelLoadError,
    SamplingParams,
)
from inference.engine.llama import LlamaBackend
from tests.inference.engine.test_core import run, run_outputs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.model

SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
CHAT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
QUESTIONS = [
    "What is the capital of France?",
    "Name three colours.",
    "Tell me about the sea.",
    "How do birds fly?",
    "Write a line about the moon.",
    "What is 2 + 2?",
    "Who wrote Hamlet?",
    "Say hello.",
]
GREEDY = SamplingParams(temperature=0, max_tokens=24)


@pytest.fixture(scope="module")
def backend(sample_model_path: Path) -> Iterator[LlamaBackend]:
    backend = LlamaBackend(
        EngineConfig(paths=(str(sample_model_path),), n_ctx=512, n_seq_max=8)
    )
    yield backend
    backend.close()


@pytest.fixture
def core(backend: LlamaBackend) -> Iterator[EngineCore]:
    core = EngineCore(backend)
    yield core
    core.abort([s.request_id for s in core._scheduler.unfinished()])
    core.check_integrity()


def prompt(backend: LlamaBackend, question: str) -> list[int]:
    return backend.tokenizer.tokenize(CHAT.format(question), special=True)


def test_it_answers_a_question(core: EngineCore, backend: LlamaBackend) -> None:
    core.add(GenerationRequest("a", prompt(backend, QUESTIONS[0]), GREEDY))
    assert "Paris" in run(core)["a"]


def test_a_batch_of_eight_equals_one_at_a_time(
    core: EngineCore, backend: LlamaBackend
) -> None:
    alone = {}
    for number, question in enumerate(QUESTIONS):
        core.add(GenerationRequest(str(number), prompt(backend, question), GREEDY))
        alone.update(run(core))
    for number, question in enumerate(QUESTIONS):
        core.add(GenerationRequest(str(number), prompt(backend, question), GREEDY))
    assert run(core) == alone


def test_a_sequence_resumed_elsewhere_equals_one_that_was_not_interrupted(
    core: EngineCore, backend: LlamaBackend
) -> None:
    tokens = prompt(backend, QUESTIONS[2])
    core.add(GenerationRequest("whole", tokens, GREEDY))
    whole = run_outputs(core)
    first = whole[:10]
    core.add(
        GenerationRequest(
            "rest", tokens, GREEDY, tuple(t for o in first for t in o.tokens)
        )
    )
    rest = run(core)["rest"]
    text = "".join(o.text for o in whole)
    assert "".join(o.text for o in first) + rest == text


def test_the_same_seed_gives_the_same_text_and_another_seed_another(
    core: EngineCore, backend: LlamaBackend
) -> None:
    texts: list[str] = []
    for seed in (7, 7, 8):
        params = SamplingParams(temperature=1.5, seed=seed, max_tokens=24)
        core.add(
            GenerationRequest(f"s{len(texts)}", prompt(backend, QUESTIONS[4]), params)
        )
        texts.append(next(iter(run(core).values())))
    assert texts[0] == texts[1] != texts[2]


def test_a_banned_token_never_comes(core: EngineCore, backend: LlamaBackend) -> None:
    tokens = prompt(backend, QUESTIONS[0])
    core.add(GenerationRequest("free", tokens, GREEDY))
    first = next(o for o in run_outputs(core) if o.tokens).tokens[0]
    banned = SamplingParams(temperature=0, max_tokens=24, logit_bias=((first, -100.0),))
    core.add(GenerationRequest("banned", tokens, banned))
    outputs = run_outputs(core)
    assert first not in [token for output in outputs for token in output.tokens]


def test_a_favoured_token_always_comes(core: EngineCore, backend: LlamaBackend) -> None:
    (token,) = backend.tokenizer.tokenize("!", special=False)
    params = SamplingParams(temperature=0, max_tokens=5, logit_bias=((token, 100.0),))
    core.add(GenerationRequest("a", prompt(backend, QUESTIONS[0]), params))
    assert run(core)["a"] == "!!!!!"


def test_a_presence_penalty_makes_room_for_another_token(
    core: EngineCore, backend: LlamaBackend
) -> None:
    (first,) = backend.tokenizer.tokenize("!", special=False)
    (second,) = backend.tokenizer.tokenize("?", special=False)
    # Far above every other logit, and closer to each other than the penalty.
    bias = ((first, 1000.0), (second, 999.0))
    texts = {}
    for penalty in (0.0, 100.0):
        params = SamplingParams(
            temperature=0, max_tokens=2, logit_bias=bias, presence_penalty=penalty
        )
        core.add(GenerationRequest(str(penalty), prompt(backend, QUESTIONS[0]), params))
        texts.update(run(core))
    assert texts == {"0.0": "!!", "100.0": "!?"}


def test_an_answer_ends_by_itself_with_stop(
    core: EngineCore, backend: LlamaBackend
) -> None:
    tokens = backend.tokenizer.tokenize(
        SYSTEM + CHAT.format(QUESTIONS[0]), special=True
    )
    core.add(GenerationRequest("a", tokens, SamplingParams(temperature=0)))
    last = run_outputs(core)[-1]
    assert last.finish_reason is FinishReason.STOP
    assert last.num_output < 400


def test_text_survives_the_tokenizer(backend: LlamaBackend) -> None:
    text = "Grüße, 世界! 😀\n\tdef f(x): return x**2"
    tokens = backend.tokenizer.tokenize(text, special=False)
    assert b"".join(map(backend.tokenizer.piece, tokens)).decode() == text


def test_a_long_prompt_is_computed_right_in_chunks(
    core: EngineCore, backend: LlamaBackend
) -> None:
    facts = " ".join(f"Fact {n}: the sky is blue." for n in range(40))
    tokens = prompt(backend, f"{facts} What is the capital of France?")
    assert 400 < len(tokens) < 500
    core.add(GenerationRequest("alone", tokens, GREEDY))
    alone = run(core)["alone"]
    # Beside seven decodes the pacer cuts the same prompt into many chunks.
    for number in range(7):
        core.add(
            GenerationRequest(str(number), prompt(backend, QUESTIONS[number]), GREEDY)
        )
    core.step()
    core.add(GenerationRequest("chunked", tokens, GREEDY))
    assert run(core)["chunked"] == alone


def test_a_broken_file_is_an_error_with_llama_cpps_reason(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\x00" * 100)
    with pytest.raises(ModelLoadError, match=r"(?i)gguf|model"):
        LlamaBackend(EngineConfig(paths=(str(broken),), n_ctx=128, n_seq_max=1))


def test_loading_reports_its_progress(sample_model_path: Path) -> None:
    seen: list[float] = []
    config = EngineConfig(paths=(str(sample_model_path),), n_ctx=128, n_seq_max=1)
    LlamaBackend(config, on_progress=seen.append).close()
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


@pytest.mark.parametrize("kv_cache_type", ["q8_0", "q4_0", "bf16"])
def test_the_kv_cache_can_be_of_other_types(
    sample_model_path: Path, kv_cache_type: str
) -> None:
    config = EngineConfig(
        paths=(str(sample_model_path),),
        n_ctx=256,
        n_seq_max=2,
        cache_type_k=kv_cache_type,
        cache_type_v=kv_cache_type,
        flash_attention="on",
    )
    backend = LlamaBackend(config)
    core = EngineCore(backend)
    core.add(GenerationRequest("a", prompt(backend, QUESTIONS[0]), GREEDY))
    text = run(core)["a"]
    core.close()
    assert len(text) > 20


def test_drafts_change_the_speed_and_not_the_answer(sample_model_path: Path) -> None:
    text = "The quick brown fox jumps over the lazy dog near the old stone bridge. " * 2
    answers = {}
    for draft in ("off", "lookup"):
        config = EngineConfig(
            paths=(str(sample_model_path),), n_ctx=512, n_seq_max=1, draft=draft
        )
        backend = LlamaBackend(config)
        core = EngineCore(backend)
        # As if a larger batch cost nothing, so that every draft is tried.
        core.times.calibrate(1, 0.010)
        core.times.calibrate(16, 0.011)
        tokens = backend.tokenizer.tokenize(text * 2, special=True)
        core.add(
            GenerationRequest("a", tokens, SamplingParams(temperature=0, max_tokens=48))
        )
        outputs = run_outputs(core)
        answers[draft] = [token for output in outputs for token in output.tokens]
        core.check_integrity()
        core.close()
    assert answers["lookup"] == answers["off"]
    assert outputs[-1].num_accepted > 12
    assert outputs[-1].num_predicted == 0
