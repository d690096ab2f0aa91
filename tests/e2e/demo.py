"""A lived-in installation, for pictures of the admin."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.utils import timezone

from accounts.limits.counting.periods import period_of
from accounts.limits.counting.rules import shared_rule
from accounts.limits.counting.store import Counter
from accounts.limits.soft_limits import write_notice
from accounts.limits.spending import budget_zone
from accounts.models import ApiKey, Limit, LimitKind, Scope
from accounts.record_id import new_id
from accounts.usage.ingestion import store
from inference.load_differences import load_time_settings
from inference.models import EvictionRecord, WorkerState
from llm_manager.lib.machine.disks import DiskSpace
from llm_manager.lib.machine.programs import product_version, program_versions
from registry.models import Alias, FileState, Kind, Model, ScanRun
from tests.factories import (
    GIB,
    make_api_key,
    make_model,
    make_node,
    make_team,
    make_worker,
)

_LLAMA_TEMPLATE = """\
{{- bos_token }}
{%- if tools is not none %}
    {{- "<|start_header_id|>system<|end_header_id|>\\n\\nEnvironment: ipython\\n" }}
{%- endif %}
{%- for message in messages %}
    {{- "<|start_header_id|>" + message.role + "<|end_header_id|>\\n\\n" }}
    {{- message.content | trim + "<|eot_id|>" }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- "<|start_header_id|>assistant<|end_header_id|>\\n\\n" }}
{%- endif %}
"""


def populate(admin: User) -> None:
    """Save models, machines, workers, keys, a scan and a history."""
    models = _models()
    _engine(models)
    _keys(admin, models)
    _history(admin, models)
    _usage(models)


def _models() -> dict[str, Model]:
    vision = make_model(
        "mmproj-qwen2.5-vl-7b-f16",
        kind=Kind.PROJECTOR,
        title="Qwen2.5 VL 7B projector",
        architecture="clip",
        quantization="F16",
        file_size=int(1.26 * GIB),
        context_length=None,
        kv_elements_per_token=None,
    )
    rows = [
        make_model(
            "llama-3.1-8b-instruct",
            title="Llama 3.1 8B Instruct",
            size_label="8B",
            parameter_count=8_030_261_312,
            file_size=int(4.58 * GIB),
            block_count=32,
            head_count=32,
            head_count_kv=8,
            supports_tools=True,
            tokenizer="gpt2 (llama-bpe)",
            license="llama3.1",
            chat_template=_LLAMA_TEMPLATE,
            n_ctx=8192,
            metadata={
                "general.basename": "Meta-Llama-3.1",
                "general.finetune": "Instruct",
                "general.file_type": 15,
                "llama.rope.dimension_count": 128,
                "llama.rope.freq_base": 500000.0,
                "tokenizer.ggml.bos_token_id": 128000,
                "tokenizer.ggml.eos_token_id": 128009,
            },
        ),
        make_model(
            "qwen2.5-vl-7b-instruct",
            title="Qwen2.5 VL 7B Instruct",
            architecture="qwen2vl",
            size_label="7.6B",
            parameter_count=7_615_616_512,
            quantization="Q5_K_M",
            file_size=int(5.07 * GIB),
            context_length=128_000,
            supports_tools=True,
            projector=vision,
        ),
        make_model(
            "mistral-small-24b-instruct",
            title="Mistral Small 24B Instruct 2501",
            size_label="24B",
            quantization="Q6_K",
            file_size=int(18.02 * GIB),
            context_length=32_768,
            supports_tools=True,
            kv_elements_per_token=81_920,
        ),
        make_model(
            "llama-3.3-70b-instruct",
            title="Llama 3.3 70B Instruct",
            size_label="70B",
            file_size=int(39.6 * GIB),
            supports_tools=True,
            kv_elements_per_token=163_840,
        ),
        make_model(
            "smollm2-135m-instruct",
            title="SmolLM2 135M Instruct",
            size_label="135M",
            quantization="Q4_0",
            file_size=int(0.085 * GIB),
            context_length=8192,
            kv_elements_per_token=11_520,
            embedding_length=576,
            vocab_size=49_152,
        ),
        make_model(
            "nomic-embed-text-v1.5",
            title="Nomic Embed Text v1.5",
            kind=Kind.EMBEDDING,
            architecture="nomic-bert",
            size_label="137M",
            quantization="Q8_0",
            file_size=int(0.136 * GIB),
            context_length=2048,
            embedding_length=768,
            vocab_size=30_522,
            kv_elements_per_token=None,
            pooling="mean",
        ),
        make_model(
            "phi-4-mini-instruct",
            title="Phi 4 Mini Instruct",
            architecture="phi3",
            size_label="3.8B",
            file_size=int(2.32 * GIB),
            state=FileState.MISSING,
        ),
        vision,
    ]
    by_name = {model.name: model for model in rows}
    for alias in ("gpt-4o", "llama-3.1-8b"):
        Alias.objects.create(name=alias, model=by_name["llama-3.1-8b-instruct"])
    return by_name


_FACTS: dict[str, Any] = {
    "version": product_version(),
    "programs": program_versions(),
}


def _disks(free: int) -> list[DiskSpace]:
    return [
        DiskSpace(name=name, path=path, total=960 * GIB, free=free, error="")
        for name, path in (("data", "/var/lib/llm-manager"), ("models", "/srv/models"))
    ]


def _engine(models: dict[str, Model]) -> None:
    now = timezone.now()
    big = make_node(
        "gpu-01",
        pid=2210,
        cpu_count=16,
        memory_total=64 * GIB,
        memory_available=int(41.2 * GIB),
        memory_limit=int(28 * GIB),
        started_at=now - timedelta(days=3, hours=4),
        heartbeat_at=now + timedelta(days=1),
        **_FACTS,
        disks=_disks(int(612 * GIB)),
    )
    make_node(
        "cpu-02",
        pid=901,
        memory_available=int(27.9 * GIB),
        started_at=now - timedelta(hours=20),
        heartbeat_at=now + timedelta(days=1),
        **_FACTS,
        disks=_disks(int(18.2 * GIB)),
        clock_offset_s=3.4,
    )
    make_worker(
        models["llama-3.1-8b-instruct"],
        big,
        pid=2314,
        # Saved is another context than the one it was loaded with.
        loaded_settings=load_time_settings(models["llama-3.1-8b-instruct"])
        | {"n_ctx": 4096},
        load_seconds=6.4,
        n_ctx=4096,
        n_seq_max=16,
        memory_bytes=int(6.71 * GIB),
        running=5,
        waiting=2,
        kv_cells_used=21_480,
        kv_cells_total=131_072,
        requests_total=18_204,
        prompt_tokens_total=24_918_211,
        output_tokens_total=6_204_118,
        last_used_at=now,
    )
    make_worker(
        models["nomic-embed-text-v1.5"],
        big,
        pid=2377,
        load_seconds=0.3,
        n_ctx=2048,
        n_seq_max=32,
        memory_bytes=int(0.31 * GIB),
        kv_cells_total=0,
        requests_total=90_412,
        prompt_tokens_total=11_380_022,
        last_used_at=now - timedelta(minutes=3),
    )
    make_worker(
        models["mistral-small-24b-instruct"],
        big,
        state=WorkerState.LOADING,
        progress=0.42,
        pid=2590,
        memory_estimate=int(19.4 * GIB),
        last_used_at=None,
    )
    make_worker(
        models["llama-3.3-70b-instruct"],
        big,
        state=WorkerState.FAILED,
        progress=0,
        restarts=3,
        failed_at=now - timedelta(minutes=7),
        error=(
            "ggml_aligned_malloc: insufficient memory (attempted to allocate "
            "40567.50 MB)\nllama_model_load: error loading model: unable to allocate "
            "CPU buffer\nllama_model_load_from_file_impl: failed to load model"
        ),
    )


def _keys(admin: User, models: dict[str, Model]) -> None:
    now = timezone.now()
    anna = User.objects.create_user("anna", "anna@example.org")
    make_api_key(
        anna,
        name="Support chat",
        scopes=[Scope.INFERENCE],
        last_used_at=now - timedelta(seconds=40),
        rate_limit=600,
        created_by=admin,
        models=[models["llama-3.1-8b-instruct"], models["nomic-embed-text-v1.5"]],
    )
    make_api_key(
        admin,
        name="Operations",
        scopes=[Scope.INFERENCE, Scope.MODELS, Scope.ADMIN],
        last_used_at=now - timedelta(hours=2),
        expires_at=now + timedelta(days=90),
    )
    make_api_key(
        anna,
        name="Notebook",
        last_used_at=now - timedelta(days=12),
        expires_at=now + timedelta(days=3),
    )
    old, _ = make_api_key(
        anna, name="Old prototype", last_used_at=now - timedelta(days=140)
    )
    old.revoke()
    ended, _ = make_api_key(anna, name="Workshop May")
    ApiKey.objects.filter(pk=ended.pk).update(expires_at=now - timedelta(days=20))


def _history(admin: User, models: dict[str, Model]) -> None:
    run = ScanRun.objects.create(
        roots=["/srv/models", "/mnt/archive/gguf"],
        new=2,
        unchanged=5,
        missing=1,
        unreadable=1,
        entries=[
            {
                "outcome": "new",
                "name": "qwen2.5-vl-7b-instruct",
                "path": "/srv/models/qwen2.5-vl-7b-instruct-q5_k_m.gguf",
                "summary": "chat qwen2vl, 7.62 B, Q5_K_M",
            },
            {
                "outcome": "new",
                "name": "smollm2-135m-instruct",
                "path": "/srv/models/smollm2-135m-instruct-q4_0.gguf",
                "summary": "chat llama, 135 M, Q4_0",
            },
            {
                "outcome": "missing",
                "name": "phi-4-mini-instruct",
                "path": "/mnt/archive/gguf/phi-4-mini-instruct-q4_k_m.gguf",
            },
            {
                "outcome": "unreadable",
                "path": "/srv/models/broken.gguf",
                "reason": "The header ends after 4,096 of 6,291,456 bytes.",
            },
        ],
    )
    run.finished_at = run.started_at + timedelta(seconds=1.9)
    run.save()
    for name, message in (
        ("llama-3.1-8b-instruct", "Changed Context and Temperature."),
        ("llama-3.1-8b-instruct", "Asked the engine to load it."),
        ("mistral-small-24b-instruct", "Asked the engine to load it."),
    ):
        LogEntry.objects.log_actions(
            admin.pk, [models[name]], CHANGE, message, single_object=True
        )


#: Of each model: how many requests a day, its tokens a second, its first token in ms.
_LOADS = {
    "llama-3.1-8b-instruct": (60, 41.0, 240),
    "nomic-embed-text-v1.5": (35, 0.0, 0),
    "mistral-small-24b-instruct": (18, 17.0, 900),
    "smollm2-135m-instruct": (9, 150.0, 60),
}


def _usage(models: dict[str, Model]) -> None:
    """Save requests of thirty days, more by day than by night."""
    chance = Random(7)
    now = timezone.now()
    support, notebook = ApiKey.objects.filter(name__in=("Support chat", "Notebook"))
    team = make_team("Research")
    entries: list[dict[str, Any]] = []
    for name, (a_day, speed, first_ms) in _LOADS.items():
        for _ in range(a_day * 30):
            ago = timedelta(days=chance.triangular(0, 30, 4))
            if chance.random() < 0.5:
                # The working day has more.
                ago = timedelta(days=ago.days, hours=chance.gauss(5, 2) % 24)
            time = now - ago
            key = chance.choice((support, support, notebook))
            is_bad = chance.random() < 0.03
            answer = chance.randint(20, 400)
            entries.append(
                {
                    "id": str(new_id(time.timestamp())),
                    "time": time.timestamp(),
                    "request_id": f"req-{len(entries)}",
                    "endpoint": "chat-completions",
                    "status": 503 if is_bad else 200,
                    "key_id": key.pk,
                    "key_prefix": key.prefix,
                    "key_name": key.name,
                    "owner_name": "anna",
                    "team_id": team.pk if key == notebook else 0,
                    "team_name": "Research" if key == notebook else "",
                    "model_id": models[name].pk,
                    "model_name": name,
                    "prompt_tokens": chance.randint(50, 900),
                    "completion_tokens": answer if speed and not is_bad else 0,
                    "first_token_ms": int(first_ms * chance.lognormvariate(0, 0.5))
                    if speed and not is_bad
                    else None,
                    "tokens_per_second": speed * chance.gauss(1, 0.15)
                    if speed and not is_bad
                    else None,
                }
            )
    store(entries)
    EvictionRecord.objects.bulk_create(
        EvictionRecord(
            model_name="smollm2-135m-instruct",
            for_name="mistral-small-24b-instruct",
            node_name="gpu-01",
            at=now - timedelta(hours=hours),
        )
        for hours in (1, 3, 8)
    )
    limit = Limit.objects.create(team=team, kind=LimitKind.TOKENS_MONTH, amount=700_000)
    period = period_of(LimitKind.TOKENS_MONTH, now, budget_zone())
    write_notice(Counter(shared_rule(limit), 0, period, None), 600_000)
