"""Model files as rows: what a scan found and how an administrator wants it run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from registry.errors import ModelNotFound


class Kind(models.TextChoices):
    """What a model file is for."""

    CHAT = "chat", "Chat"
    COMPLETION = "completion", "Completion"
    EMBEDDING = "embedding", "Embedding"
    RERANKER = "reranker", "Reranker"
    PROJECTOR = "projector", "Vision projector"
    LORA = "lora", "LoRA adapter"


GENERATIVE = (Kind.CHAT, Kind.COMPLETION)


class FileState(models.TextChoices):
    """How the file on disk compares with the row."""

    FOUND = "found", "Found"
    MISSING = "missing", "Missing"
    UNREADABLE = "unreadable", "Unreadable"


class KVType(models.TextChoices):
    """Types that llama.cpp stores KV cells in."""

    F32 = "f32"
    F16 = "f16"
    BF16 = "bf16"
    Q8_0 = "q8_0"
    Q5_1 = "q5_1"
    Q5_0 = "q5_0"
    Q4_1 = "q4_1"
    Q4_0 = "q4_0"


class FlashAttention(models.TextChoices):
    """When llama.cpp uses flash attention."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class ModelQuerySet(models.QuerySet["Model"]):
    def servable(self) -> ModelQuerySet:
        """Return the models that a request may name."""
        return self.filter(is_enabled=True, state=FileState.FOUND).exclude(
            kind__in=(Kind.PROJECTOR, Kind.LORA)
        )

    def resolve(self, name: str) -> Model:
        """Return the model with this id, alias or file name.

        Raises ModelNotFound: a name is never completed, corrected or replaced.
        """
        matches = list(
            self.filter(
                models.Q(name=name)
                | models.Q(aliases__name=name)
                | models.Q(file_name=name)
            ).distinct()[:3]
        )
        # An id or an alias is unique; a file name may lie in two folders.
        exact = [model for model in matches if model.name == name]
        if exact:
            return exact[0]
        if len(matches) == 1:
            return matches[0]
        if matches:
            ids = ", ".join(sorted(model.name for model in matches))
            raise ModelNotFound(
                f"The name '{name}' fits several models; use an id: {ids}."
            )
        raise ModelNotFound(
            f"The model '{name}' does not exist. GET /v1/models lists the models."
        )


class Model(models.Model):
    """One model file, or one set of shards."""

    # Identity: written by the scan.
    name = models.CharField(
        "id", max_length=255, unique=True, help_text="What a request names."
    )
    kind = models.CharField(max_length=16, choices=Kind.choices, db_index=True)
    state = models.CharField(
        max_length=16, choices=FileState.choices, default=FileState.FOUND
    )
    path = models.CharField(
        max_length=1024, unique=True, help_text="The file, or the first shard."
    )
    file_name = models.CharField(max_length=255, db_index=True)
    shards = models.JSONField(
        default=list, blank=True, help_text="Paths of all shards, in order."
    )
    projector = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="language_models",
        help_text="The vision projector (mmproj) paired with this model.",
    )
    file_size = models.BigIntegerField("size", help_text="Bytes, all shards.")
    mtime_ns = models.BigIntegerField(help_text="Modification time of the file, ns.")
    fingerprint = models.CharField(max_length=64, db_index=True)
    found_at = models.DateTimeField(auto_now_add=True)
    checked_at = models.DateTimeField(auto_now=True)

    # From the header.
    architecture = models.CharField(max_length=64, db_index=True)
    title = models.CharField(max_length=255, blank=True)
    size_label = models.CharField(max_length=64, blank=True)
    parameter_count = models.BigIntegerField(null=True, blank=True)
    quantization = models.CharField(max_length=32, blank=True, db_index=True)
    context_length = models.PositiveIntegerField(
        "trained context", null=True, blank=True, help_text="Tokens."
    )
    block_count = models.PositiveIntegerField("layers", null=True, blank=True)
    embedding_length = models.PositiveIntegerField(
        "embedding width", null=True, blank=True
    )
    head_count = models.PositiveIntegerField("heads", null=True, blank=True)
    head_count_kv = models.PositiveIntegerField("KV heads", null=True, blank=True)
    kv_elements_per_token = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Elements of K and V that one token takes over all layers.",
    )
    vocab_size = models.PositiveIntegerField(null=True, blank=True)
    tokenizer = models.CharField(max_length=64, blank=True)
    pooling = models.CharField(max_length=16, blank=True)
    sliding_window = models.PositiveIntegerField(null=True, blank=True)
    expert_count = models.PositiveIntegerField(null=True, blank=True)
    license = models.CharField(max_length=255, blank=True)
    supports_tools = models.BooleanField(default=False)
    chat_template = models.TextField(blank=True)
    metadata = models.JSONField(
        default=dict, blank=True, help_text="Every other scalar of the header."
    )

    # Settings: edited by an administrator. Empty means the configuration's default.
    is_enabled = models.BooleanField(
        "enabled", default=True, help_text="Requests may use it."
    )
    n_ctx = models.PositiveIntegerField(
        "context",
        null=True,
        blank=True,
        validators=[MinValueValidator(64)],
        help_text="Tokens of one sequence, at most the trained context.",
    )
    n_seq_max = models.PositiveIntegerField(
        "sequences",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(256)],
        help_text="Requests that run at once.",
    )
    n_gpu_layers = models.IntegerField(
        "GPU layers",
        null=True,
        blank=True,
        validators=[MinValueValidator(-1)],
        help_text="-1 is all layers, 0 is none.",
    )
    kv_cache_type = models.CharField(
        "KV type", max_length=8, choices=KVType.choices, blank=True
    )
    flash_attention = models.CharField(
        max_length=8, choices=FlashAttention.choices, blank=True
    )
    n_threads = models.PositiveIntegerField(
        "threads", null=True, blank=True, validators=[MinValueValidator(1)]
    )
    keep_alive = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Seconds after the last request until it is unloaded; 0 is never.",
    )
    max_tokens = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)]
    )
    temperature = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(2)],
    )
    top_p = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
    )
    top_k = models.PositiveIntegerField(null=True, blank=True)
    min_p = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
    )
    repeat_penalty = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(10)],
    )

    objects = ModelQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse settings that this model cannot have. Raises ValidationError."""
        if self.n_ctx and self.context_length and self.n_ctx > self.context_length:
            raise ValidationError(
                {
                    "n_ctx": f"The model was trained on {self.context_length} tokens; "
                    "a longer context gives nonsense."
                }
            )
        if Alias.objects.filter(name=self.name).exists():
            raise ValidationError({"name": "An alias has this name."})

    @property
    def is_generative(self) -> bool:
        """Whether it answers chat and completion requests."""
        return self.kind in GENERATIVE

    @property
    def paths(self) -> list[Path]:
        """Every file of the model, first shard first."""
        return [Path(shard) for shard in self.shards] or [Path(self.path)]

    def context_in_force(self, default: int) -> int:
        """Return the tokens of one sequence, given the configuration's default."""
        wanted = self.n_ctx or default
        return min(wanted, self.context_length) if self.context_length else wanted


class Alias(models.Model):
    """A further name by which requests may call a model."""

    name = models.CharField(max_length=255, unique=True)
    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="aliases")

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "aliases"

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse a name that a model has as its id. Raises ValidationError."""
        if Model.objects.filter(name=self.name).exists():
            raise ValidationError({"name": "A model has this id."})


class ScanRun(models.Model):
    """One scan and what it found."""

    started_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    roots = models.JSONField(default=list)
    new = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0)
    missing = models.PositiveIntegerField(default=0)
    unreadable = models.PositiveIntegerField(default=0)
    entries = models.JSONField(
        default=list,
        blank=True,
        help_text="What was new, changed, missing or unreadable, and why.",
    )

    class Meta:
        ordering = ["-started_at"]
        get_latest_by = "started_at"

    def __str__(self) -> str:
        return f"Scan of {self.started_at:%Y-%m-%d %H:%M:%S}"

    def counts(self) -> dict[str, Any]:
        """Return the number of files by outcome."""
        return {
            "new": self.new,
            "changed": self.changed,
            "unchanged": self.unchanged,
            "missing": self.missing,
            "unreadable": self.unreadable,
        }
