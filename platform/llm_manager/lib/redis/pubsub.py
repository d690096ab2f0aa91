"""A channel layer that waits for Redis's messages instead of asking for them.

``channels_redis`` reads with a timeout of 0.1 s, which wakes each process ten times a
second for nothing. A message ends the wait in any case.
"""

from __future__ import annotations

from typing import Any

from channels_redis.pubsub import RedisPubSubChannelLayer, RedisSingleShardConnection

#: How long a process waits for a message before it waits again.
PATIENCE_S = 30.0


class PatientPubSubLayer(RedisPubSubChannelLayer):  # type: ignore[misc]
    """``RedisPubSubChannelLayer`` with patient connections."""

    def _get_layer(self) -> Any:
        layer = super()._get_layer()
        if not isinstance(layer._shards[0], _PatientConnection):
            layer._shards = [
                _PatientConnection(shard.host, layer) for shard in layer._shards
            ]
        return layer


class _PatientConnection(RedisSingleShardConnection):  # type: ignore[misc]
    def _ensure_redis(self) -> None:
        is_new = self._redis is None
        super()._ensure_redis()
        if not is_new:
            return
        get_message = self._pubsub.get_message

        async def get_patiently(**options: Any) -> Any:
            return await get_message(**{**options, "timeout": PATIENCE_S})

        self._pubsub.get_message = get_patiently
