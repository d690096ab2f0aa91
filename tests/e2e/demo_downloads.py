"""Downloads and a repository to look at, for the pictures."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.utils import timezone

from registry.models import Download, Model

if TYPE_CHECKING:
    from tests.registry.hub.hub_server import FakeHub

GIB = 1024**3
REPO = "qwen/qwen3-8b-gguf"


def demo_repository(hub: FakeHub) -> None:
    """Give a hub a repository; its files are as large as it says, and empty."""

    class Sized(bytes):
        size = 0

        def __len__(self) -> int:
            return self.size

    files: dict[str, bytes] = {}
    for name, gib in (
        ("qwen3-8b-q4_k_m.gguf", 4.68),
        ("qwen3-8b-q5_k_m.gguf", 5.45),
        ("qwen3-8b-q6_k.gguf", 6.26),
        ("qwen3-8b-q8_0.gguf", 8.11),
        ("qwen3-8b-f16-00001-of-00002.gguf", 9.2),
        ("qwen3-8b-f16-00002-of-00002.gguf", 6.1),
        ("../qwen3-8b.gguf", 1.0),
    ):
        data = Sized(name.encode())
        data.size = int(gib * GIB)
        files[name] = data
    hub.repos[REPO] = files


def demo_downloads() -> None:
    """Save downloads in every state."""
    now = timezone.now()
    model = Model.objects.order_by("pk")[0]
    for minutes, source, columns in (
        (
            1,
            f"{REPO}:qwen3-8b-q8_0.gguf",
            {
                "state": Download.State.RUNNING,
                "bytes_done": int(3.4 * GIB),
                "bytes_total": int(8.11 * GIB),
                "speed": 48.5 * 1024**2,
                # It goes on saying so while the pictures are taken.
                "seen_at": now + timedelta(hours=1),
            },
        ),
        (
            4,
            "google/gemma-3-27b-it-qat-q4_0-gguf:gemma-3-27b-it-q4_0.gguf",
            {"bytes_total": int(17.2 * GIB)},
        ),
        (
            55,
            "meta-llama/llama-3.3-70b-gguf:llama-3.3-70b-q4_k_m.gguf",
            {
                "state": Download.State.FAILED,
                "bytes_done": 12 * GIB,
                "bytes_total": int(39.6 * GIB),
                "error": "The disk has no room: 27.6 GiB more are needed, 9.1 GiB are "
                "free, and 1.0 GiB have to stay free (downloads.keep_free_mb).",
            },
        ),
        (
            1500,
            f"lmstudio-community/models:{model.file_name}",
            {
                "state": Download.State.DONE,
                "bytes_done": model.file_size,
                "bytes_total": model.file_size,
                "became": [model.name],
            },
        ),
    ):
        Download.objects.create(
            source=source,
            repo=source.partition(":")[0],
            requested_by="admin",
            requested_at=now - timedelta(minutes=minutes),
            **columns,
        )
