"""What a model's page shows, in which order, and when a change of it holds."""

from __future__ import annotations

from typing import Any

_AT_ONCE = "lm-at-once"
_AFTER_RELOAD = "lm-after-reload"
_COLLAPSE = "collapse"


def _settings(title: str, when: str, says: str, *fields: Any, folded: bool) -> Any:
    classes = (when, _COLLAPSE) if folded else (when,)
    return (title, {"classes": classes, "description": says, "fields": fields})


#: Read for every request: a change holds as soon as it is saved.
_HOLDS_AT_ONCE = (
    _settings(
        "Serving",
        _AT_ONCE,
        "Holds as soon as it is saved.",
        "is_enabled",
        ("replicas", "replicas_max"),
        ("is_pinned", "is_preloaded"),
        "keep_alive",
        ("placement", "node_labels"),
        folded=False,
    ),
    _settings(
        "Sampling defaults",
        _AT_ONCE,
        "For requests that set no value. Hold as soon as they are saved.",
        ("temperature", "max_tokens"),
        ("top_p", "top_k"),
        ("min_p", "repeat_penalty"),
        folded=False,
    ),
    _settings(
        "Prices",
        _AT_ONCE,
        "For a million tokens. Budgets of money and the costs of requests count them.",
        ("input_price", "cached_price", "output_price"),
        folded=True,
    ),
    _settings(
        "Chat template, instead of the one in the file",
        _AT_ONCE,
        "Holds as soon as it is saved.",
        "template_override",
        "output_parser_override",
        folded=True,
    ),
)
#: Given to llama.cpp with the file: a loaded model keeps what it was loaded with.
_HOLDS_AFTER_RELOAD = (
    _settings(
        "Load settings",
        _AFTER_RELOAD,
        "A loaded model keeps what it was loaded with until it is loaded again.",
        ("n_ctx", "n_seq_max"),
        ("draft", "draft_model"),
        "itl_target_ms",
        ("shares_prefixes", "deterministic"),
        "pooling_type",
        folded=False,
    ),
    _settings(
        "Load settings: KV cache",
        _AFTER_RELOAD,
        "",
        ("cache_type_k", "cache_type_v"),
        ("flash_attention", "kv_layout"),
        "swa_full",
        folded=False,
    ),
    _settings(
        "Load settings: processor and memory",
        _AFTER_RELOAD,
        "",
        ("n_threads", "n_threads_batch"),
        ("n_batch", "n_ubatch"),
        ("use_mmap", "use_mlock"),
        "numa",
        folded=True,
    ),
    _settings(
        "Load settings: GPUs and other machines",
        _AFTER_RELOAD,
        "",
        ("n_gpu_layers", "split_mode"),
        ("tensor_split", "main_gpu"),
        "rpc_servers",
        folded=True,
    ),
)
#: What scans have found: read-only, in tabs.
_FOUND = (
    (
        "Identity",
        {
            "classes": ("tab",),
            "fields": (
                "name",
                "title",
                "kind",
                "capabilities",
                "license",
                "projector",
            ),
        },
    ),
    (
        "Architecture",
        {
            "classes": ("tab",),
            "fields": (
                ("architecture", "size_label"),
                ("parameters", "quantization"),
                ("context_length", "sliding_window"),
                "n_ctx_seen",
                ("block_count", "embedding_length"),
                ("head_count", "head_count_kv"),
                ("kv_elements_per_token", "expert_count"),
                ("lora_rank", "lora_alpha"),
            ),
        },
    ),
    (
        "Tokenizer & template",
        {
            "classes": ("tab",),
            "fields": (
                ("tokenizer", "vocab_size"),
                ("pooling", "supports_tools"),
                "template",
            ),
        },
    ),
    (
        "File & fingerprint",
        {
            "classes": ("tab",),
            "fields": (
                "file",
                "path",
                "shard_paths",
                "bytes_on_disk",
                "fingerprint",
                ("found_at", "checked_at"),
            ),
        },
    ),
    ("All metadata", {"classes": ("tab",), "fields": ("metadata_table",)}),
)
FIELDSETS: Any = (*_HOLDS_AT_ONCE, *_HOLDS_AFTER_RELOAD, *_FOUND)
