"""How much of a model is loaded is shown."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from inference.local.progress import batch_bar, loading_bar
from tests.inference.engine.fakes import FakeBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

    from llm_manager import LLMManager


def test_loading_a_model_says_how_far_it_is(
    manager: LLMManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[float] = []
    bars: list[tuple[str, bool]] = []
    is_shown = threading.Event()

    @contextmanager
    def bar(name: str, *, is_shown: bool) -> Iterator[Callable[[float], None]]:
        bars.append((name, is_shown))
        yield take

    def take(share: float) -> None:
        shown.append(share)
        if share == 0.5:
            is_shown.set()

    def load(on_progress: Callable[[float], None]) -> FakeBackend:
        on_progress(0.5)
        assert is_shown.wait(60)
        return FakeBackend(n_seq_max=4, n_ctx=4096)

    monkeypatch.setattr("inference.local.methods.loading.loading_bar", bar)
    monkeypatch.setattr("inference.local.workers.llama_loader", lambda _: load)
    manager.load_model("large")
    manager.switch_model("small", progress=False)

    assert bars == [("large", True), ("small", False)]
    assert shown[0] == 0.0
    assert 0.5 in shown


def test_a_bar_is_shown_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with loading_bar("a[b]", is_shown=True) as on_progress:
        on_progress(0.5)
    with batch_bar(2, is_shown=True) as on_done:
        on_done()
    assert capsys.readouterr().err == ""
    # rich's way to say that it is one.
    monkeypatch.setenv("FORCE_COLOR", "1")
    with loading_bar("a[b]", is_shown=True) as on_progress:
        on_progress(1.0)
    assert "Loading a[b]" in capsys.readouterr().err
    with loading_bar("a[b]", is_shown=False) as on_progress:
        on_progress(1.0)
    assert capsys.readouterr().err == ""
