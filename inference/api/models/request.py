"""The bodies of POST /v1/models/{id}/load and /unload, the query of DELETE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, Tag, create_model

from inference.api.body.request_body import Body
from inference.api.parameters.value_types import (
    MAX_TOKENS,
    Between,
    ModelName,
    by_json_type,
)
from registry.load_config import LOAD_CONFIG
from registry.load_settings import MAX_DEVICES, LoadSettings, bounds_of, choices_of

_Shares = Annotated[
    Annotated[str, Field(max_length=255), Tag("string")]
    | Annotated[
        list[Annotated[float, Between(0, 1e9)]],
        Field(max_length=MAX_DEVICES),
        Tag("array"),
    ],
    by_json_type("a string or an array of numbers"),
]
_Servers = Annotated[
    Annotated[str, Field(max_length=1024), Tag("string")]
    | Annotated[
        list[Annotated[str, Field(max_length=260)]],
        Field(max_length=MAX_DEVICES),
        Tag("array"),
    ],
    by_json_type("a string or an array of strings"),
]
_LISTS = {"tensor_split": _Shares, "rpc_servers": _Servers}


def _member(setting: str) -> tuple[Any, Any]:
    """Return the type and the default of a setting's member."""
    about = LoadSettings.model_fields[setting].description
    kind: Any
    if setting in _LISTS:
        kind = _LISTS[setting]
    elif choices := choices_of(setting):
        kind = Literal[choices]
    elif LoadSettings.model_fields[setting].annotation is bool:
        kind = bool
    else:
        least, largest = bounds_of(setting)
        most = MAX_TOKENS if largest is None else largest
        kind = Annotated[int, Between(least or 0, most)]
    return kind | None, Field(default=None, description=about)


class _ContextAndDrafts(Body):
    """Settings for this load."""

    n_ctx: Annotated[int, Between(64, MAX_TOKENS)] | None = None
    """Tokens of one sequence. Without it: as many as requests need and fit."""
    draft_model: ModelName | None = None
    """The id of a smaller model with the same vocabulary, for `draft` "model"."""

    def given(self) -> dict[str, Any]:
        """Return the settings that are given, by name."""
        return self.model_dump(exclude_none=True)


_members: dict[str, Any] = {
    name: _member(name) for name in LOAD_CONFIG if name in LoadSettings.model_fields
}
if TYPE_CHECKING:
    LoadConfig = _ContextAndDrafts
else:
    LoadConfig = create_model(
        "LoadConfig",
        __base__=_ContextAndDrafts,
        __module__=__name__,
        __doc__="Settings for one load, in the place of the model's own. They hold "
        "until the model is unloaded, or reloaded by an administrator.",
        **_members,
    )


class LoadRequest(Body):
    """How to load the model."""

    wait: bool = True
    """Answer only when the model is ready."""
    config: LoadConfig | None = None
    """Settings for this load. A model that is loaded with others is loaded again,
    after its running requests."""


class UnloadRequest(Body):
    """How to unload the model."""

    now: bool = False
    """End running requests with an error instead of finishing them first."""


class DeletionQuery(Body):
    """The query of DELETE /v1/models/{id}."""

    confirm: Literal["true", "false"] = "false"
    """Delete the model although that breaks something."""
