"""The changes of a model's replicas on its page, and why each was made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inference.placing.scaling import rules_of

if TYPE_CHECKING:
    from registry.models import Model

_SHOWN = 10


def scaling_panel(model: Model) -> dict[str, Any]:
    """Return the last changes for the template, if the model is scaled. One query."""
    rules = rules_of(model)
    if rules.most == rules.least:
        return {}
    events = list(model.scaling_events.all()[:_SHOWN])
    return {"scaling": {"least": rules.least, "most": rules.most, "events": events}}
