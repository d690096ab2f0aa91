"""How a caller wants a model loaded: the settings of the model's page, by name.

For whoever loads a model without a row, or once in another way than its row says.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import Field, ValidationError

from llm_manager.lib.config_sections import FromList
from llm_manager.lib.quoting import quote
from registry.draft_models import draft_conflicts
from registry.errors import InvalidLoadSetting
from registry.load_settings import LoadSettings, conflicts
from registry.model_facts import context_misfit, pooling_misfit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

    from registry.model_facts import ModelFacts

_Name = Annotated[str, Field(min_length=1, max_length=255)]


class OwnSettings(LoadSettings):
    """The load settings, and what else a model may have of its own."""

    n_ctx: int = Field(default=0, ge=64)
    draft_model: _Name = ""
    adapters: Annotated[tuple[_Name, ...], FromList] = ()
    template_override: str = ""
    output_parser_override: str = ""
    max_tokens: int = Field(default=0, ge=1)
    temperature: float = Field(default=0, ge=0, le=2)
    top_p: float = Field(default=0, ge=0, le=1)
    top_k: int = Field(default=0, ge=0)
    min_p: float = Field(default=0, ge=0, le=1)
    repeat_penalty: float = Field(default=0, ge=0, le=10)


#: The names that the configuration and the pages have for some settings.
_ALIASES = {
    field.validation_alias: name
    for name, field in OwnSettings.model_fields.items()
    if isinstance(field.validation_alias, str)
} | {
    "chat_template": "template_override",
    "output_parser": "output_parser_override",
    "context": "n_ctx",
}


def own_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that are given, by the names of ``OwnSettings``.

    None counts as not given. Raises InvalidLoadSetting for the first name that there is
    not, and the first value that is wrong.
    """
    values: dict[str, Any] = {}
    for name, value in given.items():
        setting = _ALIASES.get(name, name)
        if setting not in OwnSettings.model_fields:
            raise InvalidLoadSetting(
                f"There is no load setting '{quote(name)}'{_nearest(name)}",
                param=f"config.{quote(name)}",
                code="unknown_load_setting",
            )
        if value is None:
            continue
        if setting in values:
            raise InvalidLoadSetting(
                f"'{name}' is another name of a setting that is given already.",
                param=f"config.{name}",
            )
        values[setting] = value
    try:
        checked = OwnSettings.model_validate(values, strict=True)
    except ValidationError as error:
        raise _invalid(error.errors()[0]) from None
    return {name: getattr(checked, name) for name in values}


def setting_faults(model: ModelFacts) -> dict[str, str]:
    """Return each setting of a model that conflicts with another or with it, and why.

    The one check of what a model's page, a load of the API and a program ask for. Reads
    the headers of the model and of its draft model. Raises ValueError if
    ``tensor_split`` cannot be read.
    """
    in_force = model.settings_in_force()
    found = dict(conflicts(in_force, model.shape))
    # A default of the configuration is for the models that it fits.
    found["pooling_type"] = pooling_misfit(model.kind, model.pooling_type)
    found["n_ctx"] = context_misfit(model.n_ctx, model.context_length)
    found |= dict(draft_conflicts(model, in_force.draft))
    return {name: reason for name, reason in found.items() if reason}


def _nearest(name: str) -> str:
    known = [*OwnSettings.model_fields, *_ALIASES]
    match = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean '{match[0]}'?" if match else "."


def _invalid(details: ErrorDetails) -> InvalidLoadSetting:
    name = str(details["loc"][0])
    context = details.get("ctx", {})
    match details["type"]:
        case "greater_than_equal":
            rule = f"must be at least {context['ge']:g}"
        case "less_than_equal":
            rule = f"must be at most {context['le']:g}"
        case "literal_error":
            choices = get_args(OwnSettings.model_fields[name].annotation)
            rule = f"must be one of {', '.join(map(str, _flat(choices)))}"
        case "value_error":
            return InvalidLoadSetting(
                f"'{name}': {context['error']}", param=f"config.{name}"
            )
        case _:
            message = details["msg"].removeprefix("Input should be ")
            rule = f"must be {message[0].lower()}{message[1:]}"
    return InvalidLoadSetting(
        f"'{name}' {rule}, not {quote(repr(details['input']))}.", param=f"config.{name}"
    )


def _flat(choices: tuple[Any, ...]) -> list[Any]:
    """Return the values of a Literal, nested ones too."""
    flat: list[Any] = []
    for choice in choices:
        flat += _flat(get_args(choice)) if get_args(choice) else [choice]
    return flat
