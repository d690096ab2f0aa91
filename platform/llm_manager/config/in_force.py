"""The configuration that holds for what is being computed.

Code that serves requests asks here: in the server it is Django's ``settings.CONFIG``,
in a program that uses the Python API that of its manager.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from llm_manager.config.schema import Config

_chosen: ContextVar[Config | None] = ContextVar("llm_manager_config", default=None)
#: What the whole process uses where nothing is chosen.
_of_process: list[Callable[[], Config]] = []


def config() -> Config:
    """Return the configuration in force. Raises LookupError if there is none."""
    chosen = _chosen.get()
    if chosen is not None:
        return chosen
    if not _of_process:
        raise LookupError("no configuration is in force here")
    return _of_process[-1]()


def use_in_process(source: Callable[[], Config]) -> None:
    """Let the whole process use what ``source`` returns, each time it is asked."""
    _of_process[:] = [source]


@contextmanager
def using(chosen: Config) -> Iterator[None]:
    """Let this thread or task use a configuration."""
    token = _chosen.set(chosen)
    try:
        yield
    finally:
        _chosen.reset(token)
