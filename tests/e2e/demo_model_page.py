"""What a model's page shows of a lived-in installation: its loads, its speed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone


def demo_model_page() -> None:
    """Save loads of a model, one of which failed, and how fast it was measured."""
    from inference.models import Benchmark, ModelLoad
    from registry.models import Model

    model = Model.objects.get(name="llama-3.1-8b-instruct")
    now = timezone.now()
    common: dict[str, Any] = {
        "model": model,
        "node_name": "gpu-01",
        "n_seq_max": 16,
        "settings": {"cache_type_k": "q8_0", "cache_type_v": "q8_0"},
    }
    failure = (
        "ggml_aligned_malloc: insufficient memory (attempted to allocate 17179.87 MB)\n"
        "llama_init_from_model: failed to initialize the context"
    )
    for hours, columns in (
        (52, {"requested_by": "the engine's start", "n_ctx": 4096, "seconds": 7.1}),
        (27, {"requested_by": "ada", "n_ctx": 131_072, "error": failure}),
        (26, {"requested_by": "ada", "n_ctx": 8192, "seconds": 6.8}),
        (
            3,
            {
                "requested_by": "a request of sk-llmm-4d1f",
                "n_ctx": 4096,
                "seconds": 6.4,
            },
        ),
    ):
        at = now - timedelta(hours=hours)
        result = ModelLoad.Result.FAILED if "error" in columns else "loaded"
        times = {"requested_at": at, "started_at": at, "ended_at": at}
        ModelLoad.objects.create(**{**common, "result": result, **times, **columns})
    for hours, n_ctx, rates in ((26, 8192, (39.8, 221.0, 318.5)), (2, 4096, None)):
        measured = rates or (41.2, 246.4, 362.0)
        streams = [
            {
                "streams": number,
                "tokens": 128 * number,
                "tokens_per_second": rate,
                "tokens_per_second_each": rate / number * 1.04,
                "first_token_median": 0.2,
                "first_token_worst": 0.4,
            }
            for number, rate in zip((1, 8, 16), measured, strict=True)
        ]
        prompt = {
            "prompt_tokens": 1024,
            "first_token_median": 0.61,
            "prompt_tokens_per_second": 1678.0,
        }
        at = now - timedelta(hours=hours)
        Benchmark.objects.create(
            model=model,
            requested_by="ada",
            requested_at=at,
            started_at=at,
            finished_at=at,
            state=Benchmark.State.DONE,
            progress=1,
            node="gpu-01",
            settings=common["settings"],
            n_ctx=n_ctx,
            n_seq_max=16,
            results={
                "model": model.name,
                "streams": streams,
                "long_prompt": prompt,
            },
        )
