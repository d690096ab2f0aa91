"""Settings that one load asks for, in the place of those of the model's row."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from registry.load_settings import LIVE_SETTINGS, SETTINGS, listed
from registry.models import Model

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What a load may ask for. Those that hold while a model is loaded belong to its row;
#: whether owners share prefixes is decided by an administrator.
LOAD_CONFIG = (
    "n_ctx",
    "draft_model",
    *(name for name in SETTINGS if name not in {*LIVE_SETTINGS, "shares_prefixes"}),
)


def apply_load_config(model: Model, config: Mapping[str, Any]) -> None:
    """Put a load's settings in the place of the model's own, in memory only.

    ``draft_model`` is a model's id. One that no model has any more leaves the model
    without a draft model.
    """
    for name, value in config.items():
        if name == "draft_model":
            model.draft_model = Model.objects.filter(name=value).first()
        elif isinstance(value, list):
            setattr(model, name, ",".join(map(listed, value)))
        else:
            setattr(model, name, value)


def check_load_config(model: Model, config: Mapping[str, Any]) -> None:
    """Check a load's settings as the admin checks a model's.

    Raises ValidationError, by setting, and ModelNotFound for an unknown draft model.
    """
    if "draft_model" in config:
        Model.objects.resolve(config["draft_model"])
    asked = copy.copy(model)
    apply_load_config(asked, config)
    others = {field.name for field in Model._meta.fields} - config.keys()
    asked.clean_fields(exclude=others)
    asked.clean()
