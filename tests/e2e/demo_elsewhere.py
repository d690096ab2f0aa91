"""Other machines and other servers: files of nodes, a drain, upstreams and a route."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from inference.models import EngineNode, NodeDrain
from registry.models import Download, Model, ModelCopy, Upstream
from tests.factories import (
    make_node,
    make_route,
    make_upstream,
    make_upstream_model,
)


def demo_elsewhere() -> None:
    """Save what a node has and pulls, one that is drained, upstreams and a route."""
    model = Model.objects.get(name="llama-3.1-8b-instruct")
    gpu = EngineNode.objects.get(name="gpu-01")
    now = timezone.now()
    for known in (model, Model.objects.get(name="nomic-embed-text-v1.5")):
        _copy(gpu, known.file_name, known.fingerprint, known.file_size)
    _copy(gpu, "drafts/never-registered.Q8_0.gguf", "f" * 64, 1_700_000_000)
    EngineNode.objects.filter(pk=gpu.pk).update(
        files_seen_at=now, files_address="gpu-01:50060"
    )
    EngineNode.objects.filter(name="cpu-02").update(
        files_seen_at=now, pulls_from="nodes"
    )
    make_node("cpu-03", heartbeat_at=now + timedelta(days=1), memory_total=0)
    NodeDrain.objects.create(node_name="cpu-03", by="ada")
    Download.objects.create(
        source="llama-3.1-8b-instruct to cpu-02",
        state=Download.State.RUNNING,
        bytes_done=model.file_size // 3,
        bytes_total=model.file_size,
        speed=96.2 * 1024**2,
        seen_at=now + timedelta(hours=1),
        node="cpu-02",
        fingerprint=model.fingerprint,
        requested_by="ada",
    )
    fast = make_upstream("vllm-01", base_url="https://vllm.example/v1", checked_at=now)
    large = make_upstream_model("qwen3-235b", fast, remote_name="Qwen/Qwen3-235B-A22B")
    down = make_upstream("hosted", base_url="https://api.example/v1", checked_at=now)
    Upstream.objects.filter(pk=down.pk).update(
        fault="It answered 503 to GET /models: the service is being restarted."
    )
    make_upstream_model("claude", down, remote_name="claude-sonnet")
    make_route("assistant", (model, 95), (large, 5), falls_back=True)


def _copy(node: EngineNode, place: str, fingerprint: str, size: int) -> None:
    ModelCopy.objects.create(
        node=node,
        path=f"/srv/models/{place}",
        place=place,
        size=size,
        mtime_ns=1,
        fingerprint=fingerprint,
    )
