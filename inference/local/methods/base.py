"""What all methods of a manager work with."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from inference.local.errors import LeftOutWarning

if TYPE_CHECKING:
    from inference.local.answers import Answers, Said
    from inference.local.loaded_models import LoadedModels
    from inference.local.loop_thread import LoopThread
    from llm_manager.config.schema import Config


class ManagerBase:
    """Its models, and the thread in which all its work is done."""

    _config: Config
    _models: LoadedModels
    _answers: Answers
    _thread: LoopThread


def answer_of(said: Said) -> Any:
    """Return an answer; warn of what it goes without."""
    if said.left_out:
        warnings.warn(
            f"These mean nothing to the model and were left out: {said.left_out}.",
            LeftOutWarning,
            stacklevel=3,
        )
    return said.answer
