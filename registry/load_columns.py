"""The columns for a model's own load settings, made from their declarations.

An empty column means the configuration's default.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from registry.load_settings import LoadSettings, bounds_of, choices_of, labels_in


def validate_labels(text: str) -> None:
    """Raise ValidationError if a text has no labels of nodes."""
    try:
        labels_in(text)
    except ValueError as error:
        raise ValidationError(str(error)) from None


def _help(setting: str) -> str:
    return LoadSettings.model_fields[setting].description or ""


def _validators(setting: str) -> list[Any]:
    least, largest = bounds_of(setting)
    validators: list[Any] = []
    if least is not None:
        validators.append(MinValueValidator(least))
    if largest is not None:
        validators.append(MaxValueValidator(largest))
    return validators


def _number(
    setting: str, label: str, help_text: str = ""
) -> models.PositiveIntegerField[int | None, int | None]:
    return models.PositiveIntegerField(
        label,
        null=True,
        blank=True,
        validators=_validators(setting),
        help_text=help_text or _help(setting),
    )


def _switch(setting: str, label: str) -> models.BooleanField[bool | None, bool | None]:
    return models.BooleanField(label, null=True, blank=True, help_text=_help(setting))


def _choice(setting: str, label: str) -> models.CharField[str, str]:
    return models.CharField(
        label,
        max_length=16,
        blank=True,
        choices=[(choice, choice) for choice in choices_of(setting)],
        help_text=_help(setting),
    )


#: What a process of an older version writes, which does not know a column of text.
_IF_UNKNOWN = ""


class LoadColumns(models.Model):
    """How an administrator wants a model loaded."""

    n_seq_max = _number(
        "n_seq_max", "sequences", "Sequences that run at once. Empty: as many as fit."
    )
    kv_layout = _choice("kv_layout", "KV layout")
    cache_type_k = _choice("cache_type_k", "K type")
    cache_type_v = _choice("cache_type_v", "V type")
    flash_attention = _choice("flash_attention", "flash attention")
    swa_full = _switch("swa_full", "whole context in sliding windows")
    n_batch = _number("n_batch", "batch")
    n_ubatch = _number("n_ubatch", "micro-batch")
    itl_target_ms = _number("itl_target_ms", "ITL target")
    n_threads = _number("n_threads", "threads")
    n_threads_batch = _number("n_threads_batch", "threads for prompts")
    numa = _choice("numa", "NUMA")
    use_mmap = _switch("use_mmap", "map the file")
    use_mlock = _switch("use_mlock", "lock in memory")
    n_gpu_layers = models.IntegerField(
        "GPU layers",
        null=True,
        blank=True,
        validators=_validators("n_gpu_layers"),
        help_text=_help("n_gpu_layers"),
    )
    split_mode = _choice("split_mode", "split mode")
    tensor_split = models.CharField(
        "shares of the GPUs",
        max_length=255,
        blank=True,
        help_text=_help("tensor_split"),
    )
    main_gpu = _number("main_gpu", "main GPU")
    rpc_servers = models.CharField(
        "RPC servers",
        max_length=1024,
        blank=True,
        default="",
        db_default=_IF_UNKNOWN,
        help_text=_help("rpc_servers"),
    )
    replicas = _number("replicas", "replicas")
    replicas_max = _number("replicas_max", "replicas at most")
    placement = models.CharField(
        "placement",
        max_length=16,
        blank=True,
        default="",
        db_default=_IF_UNKNOWN,
        choices=[(choice, choice) for choice in choices_of("placement")],
        help_text=_help("placement"),
    )
    node_labels = models.CharField(
        "machines",
        max_length=255,
        blank=True,
        default="",
        db_default=_IF_UNKNOWN,
        validators=[validate_labels],
        help_text=_help("node_labels"),
    )
    keep_alive = _number("keep_alive", "keep alive")
    is_pinned = _switch("is_pinned", "pinned")
    is_preloaded = _switch("is_preloaded", "preload")
    shares_prefixes = _switch("shares_prefixes", "share cached prefixes")
    pooling_type = _choice("pooling_type", "pooling in force")
    deterministic = _switch("deterministic", "deterministic")
    draft = _choice("draft", "speculative decoding")

    class Meta:
        abstract = True
