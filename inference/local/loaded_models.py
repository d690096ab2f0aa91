"""The models that a program has loaded, by name. All runs in one event loop."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import psutil

from inference.capacity.eviction import LoadedWorker
from inference.capacity.machine import remote_gpus
from inference.capacity.model_rows import InvalidSettings, load_spec, memory_limit
from inference.capacity.placement import NodeCapacity, place_worker
from inference.errors import ModelLoadFailed
from inference.local.workers import ProcessWorker, ThreadWorker
from inference.node.machine_probe import machine_probe
from inference.rpc.errors import RpcError
from inference.rpc.tunnel import rpc_status
from inference.worker.node_pipe import WorkerSpec
from llm_manager.config.in_force import using
from llm_manager.lib.quoting import quote
from registry.errors import InvalidLoadSetting, ModelNotFound
from registry.model_facts import attached_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from inference.api.preparing.abilities import Ability
    from inference.capacity.eviction import Memory
    from inference.capacity.load_plan import LoadPlan
    from inference.capacity.machine import Gpu, Machine
    from inference.local.folder import ModelFolder
    from inference.local.model import LocalModel
    from inference.local.workers import LocalWorker
    from llm_manager.config.schema import Config


def _nobody_looks(_share: float) -> None:
    """Take how much of a model is loaded."""


@dataclass(slots=True, eq=False)
class LoadedModel:
    """A model, how it is loaded, and what serves it."""

    model: LocalModel
    plan: LoadPlan
    worker: LocalWorker

    @property
    def names(self) -> list[str]:
        """The names that requests may use: its own, and with each adapter."""
        name = self.model.name
        adapters = self.model.adapters()
        return [name, *(attached_name(name, adapter.name) for adapter in adapters)]


class LoadedModels:
    """Loads and unloads models, and finds the one that a request is for."""

    def __init__(
        self, folder: ModelFolder, config: Config, *, use_subprocess: bool
    ) -> None:
        self._folder = folder
        self._config = config
        self._worker_type = ProcessWorker if use_subprocess else ThreadWorker
        #: In the order in which they were loaded: the last one is the current one.
        self._loaded: dict[str, LoadedModel] = {}
        self._changing = asyncio.Lock()
        self._machine: Machine | None = None

    @property
    def names(self) -> list[str]:
        """The ids of the loaded models, in the order in which they were loaded."""
        return list(self._loaded)

    @property
    def current(self) -> LoadedModel | None:
        """The model that was loaded last."""
        return next(reversed(self._loaded.values()), None)

    def get(self, name: str) -> LoadedModel | None:
        """Return a loaded model by its id, or its id with an adapter's."""
        return next(
            (each for each in self._loaded.values() if name in each.names), None
        )

    async def load(
        self,
        name: str,
        given: Mapping[str, Any] | None,
        on_progress: Callable[[float], None] = _nobody_looks,
    ) -> LoadedModel:
        """Load a model, or load it again in another way; it is the current one then.

        ``on_progress`` gets how much of it is loaded, 0 to 1. Raises ModelNotFound,
        InvalidLoadSetting, ModelLoadFailed, WorkerCrashed.
        """
        model = await asyncio.to_thread(self._folder.find, name, given)
        async with self._changing:
            before = self._loaded.pop(model.name, None)
            if before is not None:
                if before.model == model and before.worker.is_alive:
                    self._loaded[model.name] = before
                    return before
                await before.worker.aclose()
            return await self._start(model, on_progress)

    async def switch(
        self,
        name: str,
        given: Mapping[str, Any] | None,
        on_progress: Callable[[float], None] = _nobody_looks,
    ) -> LoadedModel:
        """Unload the current model, then load another. Raises what ``load`` raises.

        A model or settings that do not exist unload nothing.
        """
        model = await asyncio.to_thread(self._folder.find, name, given)
        if self.current is not None and self.current.model != model:
            await self.unload(None)
        return await self.load(name, given, on_progress)

    async def all(self) -> list[LoadedModel | LocalModel]:
        """Return every model in the folder, and how it is loaded if it is."""
        models = await asyncio.to_thread(self._folder.models)
        return [self._loaded.get(model.name, model) for model in models]

    async def info(self, name: str | None) -> LoadedModel | LocalModel:
        """Return a model, or the current one. Raises ModelNotFound."""
        loaded = self.current if name is None else self._find(name)
        if loaded is not None:
            return loaded
        wanted = await self._wanted(name, None)
        return await asyncio.to_thread(self._folder.find, wanted)

    async def unload(self, name: str | None) -> None:
        """Unload a model, or the current one. Raises ModelNotFound if it is not there.

        Its unfinished requests end with ModelUnloaded.
        """
        async with self._changing:
            loaded = self.current if name is None else self._named(name)
            if loaded is not None:
                del self._loaded[loaded.model.name]
                await loaded.worker.aclose()

    async def aclose(self) -> None:
        """Unload all."""
        async with self._changing:
            workers = [each.worker for each in self._loaded.values()]
            self._loaded.clear()
            await asyncio.gather(*(worker.aclose() for worker in workers))

    async def choose(self, name: str | None, ability: Ability | None) -> LoadedModel:
        """Return the model for a request, loaded.

        It is the one that is named, else the one that was loaded last of those that
        have the ability, else the only such one in the folder. Raises ModelNotFound,
        and what ``load`` raises.
        """
        loaded = self._loaded_for(name, ability)
        if loaded is not None and loaded.worker.is_alive:
            return loaded
        async with self._changing:
            # What was being loaded meanwhile keeps the settings that it was given.
            here = self._loaded_for(name, ability)
            if here is not None:
                return await self._restart(here)
            if loaded is not None:
                return await self._start(loaded.model)
            wanted = await self._wanted(name, ability)
            model = await asyncio.to_thread(self._folder.find, wanted)
            here = self._loaded.get(model.name)
            return await (self._restart(here) if here else self._start(model))

    async def _restart(self, loaded: LoadedModel) -> LoadedModel:
        """Start the worker of a model again, if no other request has done it."""
        if loaded.worker.is_alive:
            return loaded
        await loaded.worker.aclose()
        spec = replace(loaded.worker.spec, incarnation=uuid.uuid4().hex)
        loaded.worker = self._worker_type(spec)
        await self._ready(loaded.worker)
        return loaded

    async def _start(
        self,
        model: LocalModel,
        on_progress: Callable[[float], None] = _nobody_looks,
    ) -> LoadedModel:
        plan = await self._plan(model)
        spec = WorkerSpec(
            queue="",
            incarnation=uuid.uuid4().hex,
            model_name=model.name,
            max_waiting=self._config.engine.max_waiting,
            engine=plan.engine,
            rpc_secret=self._config.rpc.secret if plan.engine.rpc_servers else "",
        )
        loaded = LoadedModel(model, plan, self._worker_type(spec))
        await self._ready(loaded.worker, on_progress)
        self._loaded[model.name] = loaded
        return loaded

    async def _ready(
        self,
        worker: LocalWorker,
        on_progress: Callable[[float], None] = _nobody_looks,
    ) -> None:
        timeout_s = self._config.engine.load_timeout
        try:
            async with asyncio.timeout(timeout_s):
                await worker.start(on_progress)
        except TimeoutError:
            await worker.aclose()
            raise ModelLoadFailed(
                f"Loading took longer than {timeout_s} s (engine.load_timeout)."
            ) from None
        except BaseException:
            # Also a request that was cancelled: nobody else knows this worker.
            await worker.aclose()
            raise

    async def _plan(self, model: LocalModel) -> LoadPlan:
        """Return how to load a model beside the others. Raises ModelLoadFailed."""
        if self._machine is None:
            self._machine = await machine_probe()
        try:
            with using(self._config):
                spec = load_spec(model)
        except InvalidSettings as error:
            raise InvalidLoadSetting(str(error), param="config") from None
        if servers := spec.settings.rpc_servers:
            spec = replace(spec, remote=await self._lent(servers))
        numbers = {name: number for number, name in enumerate(self._loaded)}
        capacity = NodeCapacity(
            machine=self._machine,
            limits=self._limits(self._machine),
            max_models=self._config.engine.max_models,
            loaded=[
                # Nothing is unloaded but what the program unloads.
                LoadedWorker(
                    key=numbers[name],
                    model=numbers[name],
                    memory=each.plan.needs(),
                    last_used=0,
                    running=0,
                    is_pinned=True,
                    servers=frozenset(each.plan.engine.rpc_servers),
                )
                for name, each in self._loaded.items()
            ],
            names={number: name for name, number in numbers.items()},
        )
        placement = place_worker(spec, model=-1, is_extra=False, capacity=capacity)
        if placement.plan is None:
            raise ModelLoadFailed(placement.reason)
        return placement.plan

    async def _lent(self, servers: tuple[str, ...]) -> tuple[Gpu, ...]:
        """Return the devices of RPC servers. Raises ModelLoadFailed."""
        secret = self._config.rpc.secret
        try:
            offers = [await rpc_status(each, secret) for each in servers]
        except RpcError as error:
            raise ModelLoadFailed(str(error)) from None
        return tuple(
            gpu
            for server, offer in zip(servers, offers, strict=True)
            for gpu in remote_gpus(server, offer.devices)
        )

    def _limits(self, machine: Machine) -> Memory:
        with using(self._config):
            host = memory_limit(psutil.virtual_memory().total)
        return (host, *(gpu.limit for gpu in machine.gpus))

    def _find(self, name: str) -> LoadedModel | None:
        """Return a loaded model by any of its names."""
        found = self.get(name)
        if found is None:
            matches = [
                each
                for each in self._loaded.values()
                if name in {path.name for path in each.model.paths[:1]}
            ]
            found = matches[0] if len(matches) == 1 else None
        return found

    def _named(self, name: str) -> LoadedModel:
        found = self._find(name)
        if found is None:
            raise ModelNotFound(
                f"The model '{quote(name)}' is not loaded. Loaded: "
                f"{_listed(self._loaded)}."
            )
        return found

    def _loaded_for(
        self, name: str | None, ability: Ability | None
    ) -> LoadedModel | None:
        """Return the loaded model that a request is for."""
        return self._able(ability) if name is None else self._find(name)

    def _able(self, ability: Ability | None) -> LoadedModel | None:
        """Return the model that was loaded last of those that have an ability."""
        able = [
            each
            for each in self._loaded.values()
            if ability is None or each.model.kind in ability.kinds
        ]
        return able[-1] if able else None

    async def _wanted(self, name: str | None, ability: Ability | None) -> str:
        """Return the name of the model to load. Raises ModelNotFound."""
        if name is not None:
            return name
        return await asyncio.to_thread(self._only, ability)

    def _only(self, ability: Ability | None) -> str:
        """Return the only model in the folder with an ability. Raises ModelNotFound."""
        able = [
            each.name
            for each in self._folder.models()
            if ability is None or each.kind in ability.kinds
        ]
        if len(able) == 1:
            return able[0]
        what = "No model is loaded" if not self._loaded else "No loaded model can do it"
        raise ModelNotFound(
            f"{what}, and none is named. {self._folder.what_there_is()} Use "
            "load_model(), or name one with 'model'."
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
