"""The objects of the routes below /v1/models, from a model's facts and its state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast

from inference.api.parameters.effective_sampling import sampling_defaults
from inference.capacity.model_rows import context_spec
from llm_manager.config.in_force import config
from registry.model_facts import attached_name, hears, reads_images

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.model_facts import ModelFacts

ModelState = Literal["unloaded", "requested", "loading", "ready", "draining", "failed"]
Capability = Literal[
    "chat", "completion", "infill", "vision", "audio", "embedding", "reranking"
]


class Context(TypedDict):
    """The largest context of one sequence in tokens: now, after growing, by training.

    ``tested`` is the largest that passed a context test with the settings in force.
    """

    in_force: int
    max: int
    trained: int | None
    tested: int | None


class Defaults(TypedDict):
    """The parameters of a request that says nothing of them."""

    temperature: float
    top_p: float
    top_k: int
    min_p: float
    repeat_penalty: float
    max_tokens: int


class ModelObject(TypedDict):
    """A model: OpenAI's members first, then what it is and its state.

    As in vLLM, a model with a LoRA adapter is listed as a model of its own, whose
    ``parent`` is the one without. ``adapters`` are those that a request may name.
    ``progress`` is the share of a load that is done; ``seconds_left`` is null unless it
    is being loaded and its speed is known.
    """

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    parent: str | None
    adapters: list[str]
    state: ModelState
    progress: float
    seconds_left: int | None
    error: str | None
    context: Context
    capabilities: list[Capability]
    defaults: Defaults | None
    aliases: list[str]
    size_bytes: int
    quantization: str
    architecture: str


class ModelList(TypedDict):
    """The models that the key may use."""

    object: Literal["list"]
    data: list[ModelObject]


class DeletedModel(TypedDict):
    """A model that was deleted: its files, and what that breaks.

    Machines of ``kept_on`` have files of their own, which are still there.
    """

    id: str
    object: Literal["model"]
    deleted: bool
    files: list[str]
    size_bytes: int
    breaks: list[str]
    kept_on: list[str]


def with_adapters(model: ModelObject) -> Iterator[ModelObject]:
    """Yield a model's object, and one for it with each of its adapters."""
    yield model
    for adapter in model["adapters"]:
        name = attached_name(model["id"], adapter)
        yield {
            **model,
            "id": name,
            "parent": model["id"],
            "adapters": [],
            "aliases": [],
        }


def context_of(
    model: ModelFacts, n_ctx: int | None = None, n_ctx_max: int | None = None
) -> Context:
    """Return a model's context.

    ``n_ctx`` and ``n_ctx_max`` are of the worker that serves it, if one does.
    """
    spec, result = context_spec(model), model.tested_context()
    in_force = n_ctx or spec.at_load
    return {
        "in_force": in_force,
        "max": max((n_ctx_max if n_ctx else spec.ceiling) or 0, in_force),
        "trained": model.context_length,
        "tested": result.tested_ctx if result else None,
    }


def defaults_of(model: ModelFacts) -> Defaults | None:
    """Return the parameters of requests that say nothing; None if it writes no text."""
    if model.kind in ("embedding", "reranker"):
        return None
    defaults: dict[str, Any] = {
        **sampling_defaults(model),
        "max_tokens": model.max_tokens or config().generation.max_tokens,
    }
    return cast("Defaults", defaults)


def capabilities_of(model: ModelFacts) -> list[Capability]:
    """Return what the API can do with the model."""
    match model.kind:
        case "embedding":
            return ["embedding"]
        case "reranker":
            return ["reranking"]
    able: dict[Capability, bool] = {
        "chat": bool(model.template_in_force()),
        "completion": True,
        "infill": model.supports_infill,
        "vision": reads_images(model),
        "audio": hears(model),
    }
    return [name for name, is_able in able.items() if is_able]
