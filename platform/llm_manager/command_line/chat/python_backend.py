"""Answers from a model in this program's own engine, without a server."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from llm_manager.command_line.exit_status import CommandFailed, ExitStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_manager import LLMManager


class PythonBackend:
    """Chat completions by ``LLMManager``."""

    def __init__(self, manager: LLMManager) -> None:
        self._manager = manager

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return a whole answer. Raises CommandFailed."""
        with _failures():
            answer: dict[str, Any] = self._manager.generate(**body)
            return answer

    @contextmanager
    def stream(self, body: dict[str, Any]) -> Iterator[Iterator[dict[str, Any]]]:
        """Yield the chunks of an answer; leaving ends it. Raises CommandFailed."""
        with _failures():
            chunks = self._manager.generate(**body)
            try:
                yield chunks
            finally:
                chunks.close()


@contextmanager
def python_backend(model: str) -> Iterator[PythonBackend]:
    """Yield a backend that has found the model where a server would.

    Raises CommandFailed.
    """
    from llm_manager import LLMManager
    from llm_manager.config.reading import load_config

    # A server's configuration, so also its further folders and what variables set.
    with _failures(), LLMManager(config=load_config()) as manager:
        manager.model_info(model)
        yield PythonBackend(manager)


@contextmanager
def _failures() -> Iterator[None]:
    from llm_manager import LLMManagerError
    from llm_manager.errors import ModelNotFound

    try:
        yield
    except ModelNotFound as error:
        raise CommandFailed(str(error), ExitStatus.NOT_FOUND) from None
    except LLMManagerError as error:
        raise CommandFailed(str(error)) from None
