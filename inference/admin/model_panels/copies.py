"""Which nodes have a model's file, on its page, where there are several nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inference.placing.files import copies_of
from registry.models import Download

if TYPE_CHECKING:
    from registry.models import Model


def copies_panel(model: Model) -> dict[str, Any]:
    """Return the nodes, their copies and pulls; nothing of a single node."""
    copies = copies_of(model)
    if len(copies) < 2:
        return {}
    pulls = Download.objects.open().filter(fingerprint=model.fingerprint)
    coming = {pull.node: pull for pull in pulls}
    return {"copies": [(each, coming.get(each.node.name)) for each in copies]}
