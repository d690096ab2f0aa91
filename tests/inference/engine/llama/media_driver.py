"""Requests with images and sounds, driven through a core as a worker drives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inference.engine import EngineConfig
from inference.engine.llama import LlamaBackend
from tests.inference.engine.driver import Driver
from tests.inference.engine.llama.mtmd_reference import MARKER

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest

    from inference.engine.media.inputs import MediaInput


def load(files: tuple[Path, Path], **options: Any) -> LlamaBackend:
    """Return a backend with a model and its projector."""
    model, projector = files
    return LlamaBackend(
        EngineConfig(
            paths=(str(model),),
            projector=str(projector),
            **{"n_seq_max": 4, "n_threads": 1, **options},
        )
    )


class MediaDriver(Driver):
    """A driver whose requests have media, and answers of ``limit`` tokens."""

    def __init__(self, backend: LlamaBackend, limit: int) -> None:
        super().__init__(backend, ignores_end=True)
        self._backend = backend
        self._limit = limit

    def ask(
        self, name: str, prompt: str, media: Sequence[MediaInput], **more: Any
    ) -> None:
        """Queue a request as a worker does."""
        assert self._backend.projector is not None
        read = self._backend.projector.read(
            prompt, media, marker=MARKER, special=True, owner=more.get("owner", "")
        )
        self.add(name, read.tokens, self._limit, media_spans=read.spans, **more)

    def answer_to(
        self, name: str, prompt: str, media: Sequence[MediaInput]
    ) -> list[int]:
        """Return the tokens of the answer to a request, after all others."""
        self.ask(name, prompt, media)
        self.run()
        return self.tokens[name]


def encoded(backend: LlamaBackend, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the calls of the encoder from now on."""
    assert backend.projector is not None
    mtmd, calls = backend.projector._mtmd, []
    encode = mtmd.mtmd_encode_chunk

    def counted(*arguments: Any) -> Any:
        calls.append(arguments)
        return encode(*arguments)

    monkeypatch.setattr(mtmd, "mtmd_encode_chunk", counted)
    return calls
