"""Models: loaded, unloaded, listed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inference.local.methods.base import ManagerBase
from inference.local.model_objects import model_object
from inference.local.progress import loading_bar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inference.api.models.objects import ModelObject
    from inference.local.loaded_models import LoadedModel
    from inference.local.model import LocalModel


class LoadingMethods(ManagerBase):
    """What a manager does with models."""

    @property
    def loaded_models(self) -> list[str]:
        """The ids of the loaded models; the last one is the current one."""
        return self._models.names

    @property
    def current_model(self) -> str | None:
        """The id of the model that was loaded last: it answers if none is named."""
        names = self._models.names
        return names[-1] if names else None

    def load_model(
        self,
        name: str,
        config: Mapping[str, Any] | None = None,
        *,
        progress: bool = True,
    ) -> ModelObject:
        """Load a model; it is the current one then. Returns it as ``model_info`` does.

        Other models stay loaded. A model that is loaded already in this way stays; in
        another way, it is loaded again.

        Args:
            name: Its id or file name, as in ``list_models()``.
            config: How to load it: ``n_ctx``, ``n_gpu_layers``, ``n_seq_max`` and every
                other load setting of a model's page in the admin, by name, and its
                defaults for requests, as ``temperature``.
            progress: Show a progress bar on a terminal or in a notebook.

        Raises:
            ModelNotFound: There is no such model; the message lists those that are.
            InvalidLoadSetting: A setting is unknown, wrong, or does not fit.
            ModelLoadFailed: There is not enough memory, or llama.cpp cannot load it.
            WorkerCrashed: llama.cpp crashed.
        """
        with loading_bar(name, is_shown=progress) as on_progress:
            return self._thread.run(self._load(name, config, on_progress))

    async def load_model_async(
        self,
        name: str,
        config: Mapping[str, Any] | None = None,
        *,
        progress: bool = False,
    ) -> ModelObject:
        """Load a model, as ``load_model`` does."""
        with loading_bar(name, is_shown=progress) as on_progress:
            return await self._thread.awaited(self._load(name, config, on_progress))

    def unload_model(self, name: str | None = None) -> None:
        """Unload a model, or the current one; its memory is free afterwards.

        Does nothing if no model is loaded. Unfinished requests end with ModelUnloaded.

        Raises:
            ModelNotFound: The named model is not loaded.
        """
        self._thread.run(self._models.unload(name))

    async def unload_model_async(self, name: str | None = None) -> None:
        """Unload a model, as ``unload_model`` does."""
        await self._thread.awaited(self._models.unload(name))

    def switch_model(
        self,
        name: str,
        config: Mapping[str, Any] | None = None,
        *,
        progress: bool = True,
    ) -> ModelObject:
        """Unload the current model, then load another, as ``load_model`` does.

        A model or settings that do not exist unload nothing.
        """
        with loading_bar(name, is_shown=progress) as on_progress:
            return self._thread.run(self._switch(name, config, on_progress))

    async def switch_model_async(
        self,
        name: str,
        config: Mapping[str, Any] | None = None,
        *,
        progress: bool = False,
    ) -> ModelObject:
        """Switch to another model, as ``switch_model`` does."""
        with loading_bar(name, is_shown=progress) as on_progress:
            return await self._thread.awaited(self._switch(name, config, on_progress))

    def list_models(self) -> list[ModelObject]:
        """Return the models in the folder as they are now, as GET /v1/models does."""
        return self._thread.run(self._list())

    async def list_models_async(self) -> list[ModelObject]:
        """Return the models in the folder, as ``list_models`` does."""
        return await self._thread.awaited(self._list())

    def model_info(self, name: str | None = None) -> ModelObject:
        """Return a model, or the current one, as GET /v1/models/{id} does.

        Raises:
            ModelNotFound: There is no such model, or none is named and none loaded.
        """
        return self._thread.run(self._info(name))

    async def model_info_async(self, name: str | None = None) -> ModelObject:
        """Return a model, as ``model_info`` does."""
        return await self._thread.awaited(self._info(name))

    async def _load(
        self,
        name: str,
        config: Mapping[str, Any] | None,
        on_progress: Callable[[float], None],
    ) -> ModelObject:
        return self._object(await self._models.load(name, config, on_progress))

    async def _switch(
        self,
        name: str,
        config: Mapping[str, Any] | None,
        on_progress: Callable[[float], None],
    ) -> ModelObject:
        return self._object(await self._models.switch(name, config, on_progress))

    async def _list(self) -> list[ModelObject]:
        models = await self._models.all()
        return [self._object(each) for each in models]

    async def _info(self, name: str | None) -> ModelObject:
        return self._object(await self._models.info(name))

    def _object(self, found: LoadedModel | LocalModel) -> ModelObject:
        return model_object(found, self._config)
