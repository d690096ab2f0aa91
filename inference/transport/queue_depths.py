"""Reports how many requests wait in the models' queues."""

from __future__ import annotations

from channels.layers import channel_layers

from inference.transport.queue import depth, queue_name
from llm_manager.lib.threads import in_thread
from registry.models import Model


async def queue_depth(model_id: int) -> int:
    """Return how many requests wait in a model's queue.

    Raises OSError or redis.exceptions.RedisError.
    """
    return await depth(channel_layers["queue"], queue_name(model_id))


async def queue_depths() -> dict[str, int]:
    """Return how many requests wait for each enabled model, by its name.

    Raises OSError or redis.exceptions.RedisError.
    """
    rows = await in_thread(
        lambda: list(Model.objects.servable().values_list("pk", "name"))
    )
    return {name: await queue_depth(pk) for pk, name in rows}
