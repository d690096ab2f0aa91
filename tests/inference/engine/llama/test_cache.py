"""The KV cache on the sample model: what is reused, set aside, moved and grown.

The model counts. It is sure enough of each next number that rounding, which the
shape of a batch changes, does not turn into another token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from inference.engine import EngineConfig, EngineError, ModelLoadError
from inference.engine.llama import LlamaBackend
from inference.engine.llama import context as kv_cells
from inference.engine.llama.bindings.loading import make_context
from tests.inference.engine.driver import Driver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from inference.engine.config.cache_layout import CacheLayout

pytestmark = pytest.mark.model

LAYOUTS = ("split", "unified")
#: Tokens of a number with two digits: the space, the digits, the comma.
NUMBER = 4


def system(rules: int) -> str:
    text = " ".join(f"Rule {n}: answer in one sentence." for n in range(rules))
    return f"<|im_start|>system\n{text}<|im_end|>\n"


def turn(first: int) -> str:
    """Return a request to count, and the beginning of its answer."""
    begun = ", ".join(str(first + n) for n in range(4))
    return (
        f"<|im_start|>user\nCount from {first} to {first + 40} in steps of 1.<|im_end|>"
        f"\n<|im_start|>assistant\n{begun},"
    )


def counted(first: int, limit: int) -> str:
    """Return ``limit`` more tokens of the answer."""
    return "".join(f" {first + 4 + n}," for n in range(limit // NUMBER))


def load(path: Path, **options: Any) -> LlamaBackend:
    return LlamaBackend(
        EngineConfig(paths=(str(path),), **{"n_ctx": 768, "n_seq_max": 4, **options})
    )


def tokens(backend: LlamaBackend, text: str) -> list[int]:
    return backend.tokenizer.tokenize(text, special=True)


def said(driver: Driver, backend: LlamaBackend) -> dict[str, str]:
    """Return the answer to each request."""
    return {
        name: b"".join(map(backend.tokenizer.piece, answer)).decode()
        for name, answer in driver.tokens.items()
    }


@pytest.fixture(scope="module", params=LAYOUTS)
def backend(
    request: pytest.FixtureRequest, q4_0_model_path: Path
) -> Iterator[LlamaBackend]:
    backend = load(q4_0_model_path, kv_layout=request.param, n_seq_max=16)
    yield backend
    backend.close()


@pytest.fixture
def driver(backend: LlamaBackend) -> Driver:
    return Driver(backend)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "model",
    [
        "q4_0_model_path",
        pytest.param("sample_model_path", marks=pytest.mark.long),
    ],
)
def test_a_cached_prefix_changes_no_token(
    request: pytest.FixtureRequest, model: str, layout: str
) -> None:
    backend = load(request.getfixturevalue(model), kv_layout=layout)
    begin = tokens(backend, system(3))
    prompts = [[*begin, *tokens(backend, turn(first))] for first in (30, 80)]
    cold = [Driver(backend).answer("cold", prompt, 12) for prompt in prompts]
    warm = Driver(backend)
    for number, prompt in enumerate(prompts):
        assert warm.answer(str(number), prompt, 12) == cold[number]
    assert warm.cached["0"] == 0
    assert warm.cached["1"] >= len(begin)
    backend.close()


def test_sixteen_requests_prefill_their_prefix_once(
    driver: Driver, backend: LlamaBackend
) -> None:
    begin = tokens(backend, system(50))
    assert 450 < len(begin) < 600
    prompts = {
        first: [*begin, *tokens(backend, turn(first))] for first in range(20, 36)
    }
    for first, prompt in prompts.items():
        driver.add(str(first), prompt, NUMBER)
    driver.run()
    assert [cached >= len(begin) for cached in driver.cached.values()] == [
        False,
        *[True] * 15,
    ]
    new = sum(len(prompt) - len(begin) for prompt in prompts.values())
    assert driver.prefilled <= len(begin) + new
    assert said(driver, backend) == {
        str(first): counted(first, NUMBER) for first in prompts
    }


def test_each_turn_prefills_only_what_is_new(
    driver: Driver, backend: LlamaBackend
) -> None:
    conversation = tokens(backend, system(5))
    for first in (20, 30, 40, 60):
        kept = driver.prefilled and len(conversation) - 1
        before = driver.prefilled
        conversation += tokens(backend, turn(first))
        conversation += driver.answer(str(first), conversation, 2 * NUMBER)
        assert said(driver, backend)[str(first)] == counted(first, 2 * NUMBER)
        assert driver.cached[str(first)] == kept
        new = len(conversation) - 2 * NUMBER - kept
        assert driver.prefilled - before == new


def test_an_owner_gets_nothing_of_anothers_prefix(
    driver: Driver, backend: LlamaBackend
) -> None:
    prompt = tokens(backend, system(6))
    for name, owner in (("first", "a"), ("foreign", "b"), ("own", "a")):
        driver.add(name, prompt, 2, owner=owner)
        driver.run()
    assert driver.cached == {"first": 0, "foreign": 0, "own": len(prompt) - 1}


def test_when_cells_run_out_nobody_notices_but_by_waiting(
    q4_0_model_path: Path,
) -> None:
    backend = load(q4_0_model_path, kv_layout="unified", n_ctx=256, n_cells=256)
    driver = Driver(backend)
    limit = 12 * NUMBER
    for first in (20, 30, 40):
        driver.add(str(first), tokens(backend, system(2) + turn(first)), limit)
    driver.run()
    assert driver.preemptions > 0
    assert said(driver, backend) == {
        str(first): counted(first, limit) for first in (20, 30, 40)
    }
    backend.close()


def test_a_sequence_preempted_for_another_key_continues_where_it_was(
    q4_0_model_path: Path,
) -> None:
    backend = load(q4_0_model_path, n_seq_max=2)
    driver = Driver(backend)
    limits = {30: 8 * NUMBER, 40: 8 * NUMBER, 80: 3 * NUMBER}
    for first in (30, 40):
        driver.add(str(first), tokens(backend, turn(first)), limits[first], key="A")
    driver.step(10)
    before = driver.prefilled
    prompt = tokens(backend, turn(80))
    driver.add("80", prompt, limits[80], key="B")
    driver.run()
    assert driver.preemptions == 1
    # Its cells were saved, so nothing was computed twice.
    assert driver.prefilled - before == len(prompt)
    assert said(driver, backend) == {
        str(first): counted(first, limit) for first, limit in limits.items()
    }
    backend.close()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_context_that_grows_meanwhile_changes_no_token(
    q4_0_model_path: Path, layout: str
) -> None:
    backend = load(
        q4_0_model_path,
        kv_layout=layout,
        n_ctx=256,
        n_cells=256 if layout == "unified" else 0,
        n_ctx_max=1024,
        n_cells_max=2048,
    )
    driver = Driver(backend)
    limits = {30: 8 * NUMBER, 40: 8 * NUMBER, 80: 3 * NUMBER}
    for first in (30, 40):
        driver.add(str(first), tokens(backend, turn(first)), limits[first])
    driver.step(10)
    assert driver.core.stats().n_ctx == 256
    before = driver.prefilled
    long = tokens(backend, system(25) + turn(80))
    driver.add("80", long, limits[80])
    driver.run()
    assert driver.core.stats().n_ctx == 512
    assert said(driver, backend) == {
        str(first): counted(first, limit) for first, limit in limits.items()
    }
    # The cells of what ran came along.
    assert driver.prefilled - before == len(long)
    driver.core.rest()
    assert driver.core.stats().n_ctx == 256
    backend.close()


def test_without_memory_for_a_longer_context_only_the_long_prompts_fail(
    q4_0_model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(model: Any, config: EngineConfig, layout: CacheLayout, log: Any) -> Any:
        if layout.n_cells > 1024:
            raise ModelLoadError("failed to allocate buffer for kv cache")
        return make_context(model, config, layout, log)

    monkeypatch.setattr(kv_cells, "make_context", make)
    backend = load(q4_0_model_path, n_ctx=256, n_ctx_max=1024, n_cells_max=4096)
    driver = Driver(backend)
    driver.add("30", tokens(backend, turn(30)), 8 * NUMBER)
    driver.step(10)
    long = tokens(backend, system(40))
    for name in ("long", "as long"):
        driver.add(name, long, 4)
        driver.step()
    driver.run()
    assert driver.errors.keys() == {"long", "as long"}
    for error in driver.errors.values():
        assert "256 tokens" in error
        assert f"{len(long)} tokens" in error
        assert "failed to allocate" in error
    assert said(driver, backend)["30"] == counted(30, 8 * NUMBER)
    backend.close()


def test_a_context_that_cannot_be_created_again_is_the_end(
    q4_0_model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = load(q4_0_model_path, n_ctx=256, n_ctx_max=1024, n_cells_max=4096)
    driver = Driver(backend)

    def make(*_: object) -> Any:
        raise ModelLoadError("failed to allocate buffer for kv cache")

    monkeypatch.setattr(kv_cells, "make_context", make)
    driver.add("long", tokens(backend, system(40)), 4)
    with pytest.raises(EngineError, match="context is lost: failed to allocate"):
        driver.step()
    backend.close()
