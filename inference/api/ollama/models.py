"""Models as Ollama's API lists and describes them, made from database rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from inference.api.models.objects import capabilities_of, defaults_of
from inference.api.ollama.format import time_text
from inference.errors import RequestRejected
from inference.idle_unloading import keep_alive_of
from inference.prompts.chat import prompt_render
from inference.prompts.messages import Message
from llm_manager.lib.units import human_count
from registry.model_facts import attached_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from inference.api.models.objects import Capability
    from inference.api.ollama.objects import (
        OllamaCapability,
        OllamaDescription,
        OllamaDetails,
        OllamaLoadedModel,
        OllamaModel,
    )
    from inference.models import Worker
    from registry.models import Model

#: When a model is unloaded that stays for good.
_NEVER = "9999-12-31T00:00:00Z"
_CAPABILITIES: dict[Capability, OllamaCapability] = {
    "completion": "completion",
    "infill": "insert",
    "vision": "vision",
    "audio": "audio",
    "embedding": "embedding",
}
#: What a file's header has for people and programs that load it.
_HIDDEN = "tokenizer.chat_template"


def listed(models: Iterable[Model]) -> Iterator[OllamaModel]:
    """Yield models, each with its adapters."""
    for model in models:
        yield _model(model, model.name)
        for adapter in model.adapters():
            yield _model(model, attached_name(model.name, adapter.name))


def description(model: Model) -> OllamaDescription:
    """Return a model and what its file says of it."""
    defaults: dict[str, Any] = {**(defaults_of(model) or {})}
    # Ollama's name of it.
    defaults["num_predict"] = defaults.pop("max_tokens", None)
    return {
        "license": model.license,
        "parameters": "\n".join(
            f"{name} {value}" for name, value in defaults.items() if value is not None
        ),
        "template": model.template_in_force(),
        "details": _details(model),
        "model_info": _header(model),
        "capabilities": _capabilities(model),
        "modified_at": _modified(model),
    }


def loaded(workers: Iterable[Worker]) -> Iterator[OllamaLoadedModel]:
    """Yield the models of workers that are loaded; replicas count as one."""
    by_model: dict[int, list[Worker]] = {}
    for worker in workers:
        by_model.setdefault(worker.model_id, []).append(worker)
    for replicas in by_model.values():
        model = replicas[0].model
        yield {
            "name": model.name,
            "model": model.name,
            "size": sum(max(each.memory_estimate, 0) for each in replicas)
            or model.file_size,
            "digest": model.fingerprint,
            "details": _details(model),
            "expires_at": _expires(model, replicas),
            # The first number is the host's.
            "size_vram": sum(sum(each.device_memory[1:]) for each in replicas),
            "context_length": max(each.n_ctx or 0 for each in replicas),
        }


def _header(model: Model) -> dict[str, Any]:
    """Return what the header of a model's file says, under its keys in GGUF."""
    kind = model.architecture
    columns = {
        "general.architecture": kind,
        "general.parameter_count": model.parameter_count,
        f"{kind}.context_length": model.context_length,
        f"{kind}.embedding_length": model.embedding_length,
        f"{kind}.block_count": model.block_count,
        f"{kind}.attention.head_count": model.head_count,
        f"{kind}.attention.head_count_kv": model.head_count_kv,
        f"{kind}.vocab_size": model.vocab_size,
    }
    known = {name: value for name, value in columns.items() if value is not None}
    others = {
        name: value
        for name, value in model.metadata.items()
        if not name.startswith(_HIDDEN)
    }
    return {**known, **others}


def _model(model: Model, name: str) -> OllamaModel:
    return {
        "name": name,
        "model": name,
        "modified_at": _modified(model),
        "size": model.file_size,
        "digest": model.fingerprint,
        "details": _details(model, "" if name == model.name else model.name),
    }


def _details(model: Model, parent: str = "") -> OllamaDetails:
    return {
        "parent_model": parent,
        "format": "gguf",
        "family": model.architecture,
        "families": [model.architecture],
        "parameter_size": human_count(model.parameter_count).replace(" ", ""),
        "quantization_level": model.quantization,
    }


def _capabilities(model: Model) -> list[OllamaCapability]:
    able = capabilities_of(model)
    found = [_CAPABILITIES[name] for name in able if name in _CAPABILITIES]
    if "chat" in able:
        # A template that knows no tools gets them as text.
        found.append("tools")
        if _thinks(model):
            found.append("thinking")
    return found


def _thinks(model: Model) -> bool:
    """Return whether the model's chat template has thoughts, as far as is known."""
    try:
        return prompt_render(model, [Message("user", "Hi")]).reasons
    except RequestRejected:
        return False


def _modified(model: Model) -> str:
    return time_text(datetime.fromtimestamp(model.mtime_ns / 1e9, UTC))


def _expires(model: Model, replicas: Iterable[Worker]) -> str:
    keep_alive = keep_alive_of(model)
    if keep_alive is None:
        return _NEVER
    now = timezone.now()
    used = [
        now if each.running or each.waiting else each.last_used_at or now
        for each in replicas
    ]
    return time_text(max(used) + timedelta(seconds=keep_alive))
