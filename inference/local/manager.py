"""``LLMManager``: the Python API."""

from __future__ import annotations

import weakref
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from inference.local.answers import Answers
from inference.local.folder import ModelFolder
from inference.local.loaded_models import LoadedModels
from inference.local.loop_thread import LoopThread
from inference.local.methods.generation import GenerationMethods
from inference.local.methods.loading import LoadingMethods
from inference.local.methods.tokens import TokenMethods
from llm_manager.config.reading import config_for_python
from llm_manager.lib.errors import LLMManagerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inference.local.parameters import Message
    from llm_manager.config.schema import Config

    Prompt = str | list[str] | list[int] | list[list[int]]
    BatchItem = str | list[Message] | Mapping[str, Any]


class LLMManager(LoadingMethods, GenerationMethods, TokenMethods):
    """Models on this machine, used from Python: no server, no database, no Django.

    Example::

        with LLMManager(models_dir="./models") as manager:
            manager.load_model("model.gguf", config={"n_ctx": 4096})
            answer = manager.generate(
                messages=[{"role": "user", "content": "Hello!"}], max_tokens=64
            )
            print(answer["choices"][0]["message"]["content"])

    Requests and answers are those of the HTTP API, made by the same code and run by the
    same engine: it batches whatever is asked at the same time, from threads and from
    coroutines. Every method has a twin that ends in ``_async``.

    Nothing is started before it is needed, and no process outlives the program.
    """

    def __init__(
        self,
        models_dir: str | Path | None = None,
        config: Mapping[str, Any] | str | Path | Config | None = None,
        *,
        use_subprocess: bool | None = None,
    ) -> None:
        """Prepare to use the models below a folder.

        Args:
            models_dir: Folder of GGUF files. Default: ``models.dir`` and
                ``models.extra_dirs`` of ``config``.
            config: The path of an ``llm_manager.yaml``, or its sections as a mapping:
                ``{"generation": {"temperature": 0}}``. docs/configuration.md lists the
                keys; those of the server have no effect here. Or the configuration of
                a server, as ``llm_manager.config.reading.load_config()`` returns it.
            use_subprocess: Whether each model runs in a process of its own, so that a
                crash of llama.cpp is an exception (WorkerCrashed) here. False is for
                debuggers. Default: ``models.use_subprocess`` of ``config``, else true.

        Raises:
            ConfigError: The configuration is wrong.
        """
        self._config = config_for_python(config)
        if models_dir is None:
            roots = [self._config.models_dir, *self._config.models.extra_dirs]
        else:
            roots = [Path(models_dir).expanduser().absolute()]
        if use_subprocess is None:
            use_subprocess = self._config.models.use_subprocess
        self._roots = roots
        self._folder = ModelFolder(roots, self._config)
        self._models = LoadedModels(
            self._folder, self._config, use_subprocess=use_subprocess
        )
        self._answers = Answers(self._models, self._config)
        self._thread = LoopThread()
        # At the end of the program too; without this object, which may be gone then.
        self._finalizer = weakref.finalize(self, _close, self._thread, self._models)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close_async()

    def __repr__(self) -> str:
        folders = ", ".join(str(root) for root in self._roots)
        loaded = ", ".join(self.loaded_models) or "none"
        return f"<LLMManager of {folders}; loaded: {loaded}>"

    def close(self) -> None:
        """Unload all models and end the manager. Idempotent.

        The end of a ``with``, of the program, or of the last reference does the same.
        """
        self._finalizer()

    async def close_async(self) -> None:
        """Unload all models and end the manager, without holding up the event loop."""
        with suppress(LLMManagerError):
            await self._thread.awaited(self._models.aclose())
        self.close()


def _close(thread: LoopThread, models: LoadedModels) -> None:
    """Unload all models and end the manager's thread."""
    thread.close(models.aclose())
