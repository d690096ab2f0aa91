"""Whether a node could load a model, whatever it has loaded now."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from inference.capacity.load_plan import plan_within
from inference.placing.labels import takes
from registry.load_config import apply_load_config

if TYPE_CHECKING:
    from inference.capacity.load_plan import LoadSpec
    from inference.models import EngineNode
    from registry.models import Model


def may_load(node: EngineNode, model: Model, spec: LoadSpec) -> bool:
    """Return whether a node may load a model, after evictions if need be.

    What pinned models hold there stays. Reads the node's workers and RPC servers.
    """
    if not takes(node, model):
        return False
    left = list(node.limits)
    models = {model.pk}
    for worker in node.workers.select_related("model").exclude(model=model):
        apply_load_config(worker.model, worker.load_config)
        if worker.model.setting_in_force("is_pinned"):
            models.add(worker.model_id)
            for device, held in enumerate(worker.device_memory[: len(left)]):
                left[device] -= held
    remote = replace(spec, remote=node.lent_by(spec.settings.rpc_servers))
    fits = plan_within(remote, node.machine, tuple(left)) is not None
    return fits and len(models) <= node.max_models
