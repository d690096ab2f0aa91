"""Model files as rows: what a scan found and how an administrator wants it run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Concat
from django_prometheus.models import ExportModelOperationsMixin

from registry.draft_models import can_go_back, vocabulary_difference
from registry.errors import InvalidGGUF, ModelNotFound
from registry.gguf.lora import misfit
from registry.gguf.memory_shape import MemoryShape
from registry.load_columns import LoadColumns
from registry.load_settings import (
    LoadSettings,
    conflicts,
    setting_in_force,
    settings_in_force,
)
from registry.scan.files import read_headers

if TYPE_CHECKING:
    from collections.abc import Iterator

    class _CountedModel: ...

    class _CountedScanRun: ...

else:
    # Without types: a base of type Any would hide wrong names of attributes.
    _CountedModel = ExportModelOperationsMixin("model")
    _CountedScanRun = ExportModelOperationsMixin("scan_run")


class Kind(models.TextChoices):
    """What a model file is for."""

    CHAT = "chat", "Chat"
    COMPLETION = "completion", "Completion"
    EMBEDDING = "embedding", "Embedding"
    RERANKER = "reranker", "Reranker"
    PROJECTOR = "projector", "Vision projector"
    LORA = "lora", "LoRA adapter"


GENERATIVE = (Kind.CHAT, Kind.COMPLETION)
#: Among the metadata: the template of conversations with tools, where there is one.
TOOL_TEMPLATE = "tokenizer.chat_template.tool_use"


#: The poolings that models of these kinds can have.
_POOLINGS: dict[str, tuple[str, ...]] = {
    Kind.EMBEDDING: ("mean", "cls", "last"),
    Kind.RERANKER: ("rank",),
}


class FileState(models.TextChoices):
    """How the file on disk compares with the row."""

    FOUND = "found", "Found"
    MISSING = "missing", "Missing"
    UNREADABLE = "unreadable", "Unreadable"


class ModelQuerySet(models.QuerySet["Model"]):
    def servable(self) -> ModelQuerySet:
        """Return the models that a request may name."""
        return self.filter(is_enabled=True, state=FileState.FOUND).exclude(
            kind__in=(Kind.PROJECTOR, Kind.LORA)
        )

    def resolve(self, name: str) -> Model:
        """Return the model with this id, alias or file name.

        An id may be followed by an adapter's, as in ``model:adapter``. Raises
        ModelNotFound: a name is never completed, corrected or replaced.
        """
        for model in self.filter(name=name):
            return model
        # An alias is unique; a file name may lie in two folders.
        others = models.Q(aliases__name=name) | models.Q(file_name=name)
        matches = list(self.filter(others).distinct()[:3])
        if len(matches) == 1:
            return matches[0]
        if matches:
            ids = ", ".join(sorted(model.name for model in matches))
            raise ModelNotFound(
                f"The name '{name}' fits several models; use an id: {ids}."
            )
        for attachment in Attachment.objects.named(name):
            for model in self.filter(pk=attachment.model_id):
                return model
        raise ModelNotFound(
            f"The model '{name}' does not exist. GET /v1/models lists the models."
        )


class Model(_CountedModel, LoadColumns):
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
    description_version = models.PositiveIntegerField(
        default=1, help_text="Of the release that has read the header."
    )
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
    supports_infill = models.BooleanField(
        default=False, help_text="Its vocabulary has tokens to fill in a middle."
    )
    chat_template = models.TextField(blank=True)
    metadata = models.JSONField(
        default=dict, blank=True, help_text="Every other scalar of the header."
    )
    lora_rank = models.PositiveIntegerField("LoRA rank", null=True, blank=True)
    lora_alpha = models.FloatField("LoRA alpha", null=True, blank=True)
    memory_shape = models.JSONField(
        null=True, blank=True, help_text="What decides its memory, layer by layer."
    )

    # From experience: written by the engine.
    tested_ctx = models.PositiveIntegerField(
        "tested context",
        null=True,
        blank=True,
        help_text="The longest context that a test found good.",
    )
    n_ctx_seen = models.PositiveIntegerField(
        "context needed",
        null=True,
        blank=True,
        help_text="The largest need of a request so far, in tokens.",
    )

    # Settings: edited by an administrator. Empty means the configuration's default.
    # Those for loading are in LoadColumns.
    is_enabled = models.BooleanField(
        "enabled", default=True, help_text="Requests may use it."
    )
    n_ctx = models.PositiveIntegerField(
        "context",
        null=True,
        blank=True,
        validators=[MinValueValidator(64)],
        help_text="Tokens of one sequence, fixed. Empty: as much as requests need, "
        "memory allows and the model was trained on.",
    )
    draft_model = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="drafts_for",
        limit_choices_to={"kind__in": GENERATIVE},
        help_text="A smaller model of the same vocabulary, loaded beside this one.",
    )
    template_override = models.TextField(
        "chat template", blank=True, help_text="Jinja. Empty: the file's own."
    )
    output_parser_override = models.CharField(
        "output parser",
        max_length=32,
        blank=True,
        help_text="How the model's reasoning and tool calls are read. Empty: detected "
        "from its chat template.",
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
        try:
            in_force = self.settings_in_force()
        except ValueError as error:
            raise ValidationError({"tensor_split": str(error)}) from None
        found = dict(conflicts(in_force, self.shape))
        if self.pooling_type not in ("", "auto", *_POOLINGS.get(self.kind, ())):
            found["pooling_type"] = (
                f"A {self.get_kind_display().lower()} model cannot have the pooling "
                f"{self.pooling_type}."
            )
        found |= dict(self._draft_conflicts(in_force.draft))
        if found:
            raise ValidationError(found)
        if Alias.objects.filter(name=self.name).exists():
            raise ValidationError({"name": "An alias has this name."})

    def _draft_conflicts(self, draft: str) -> Iterator[tuple[str, str]]:
        """Yield why a draft model cannot be had. Reads the headers of both."""
        other = self.draft_model
        if other is None:
            if draft == "model":
                yield "draft", "Choose the draft model that is to guess."
            return
        if draft == "model" and not can_go_back(self.shape):
            yield (
                "draft",
                "This model has a recurrent state or a sliding window: it cannot take "
                "back guesses that were wrong.",
            )
        if reason := self._draft_misfit(other):
            yield "draft_model", reason

    def _draft_misfit(self, other: Model) -> str:
        if other.pk == self.pk:
            return "A model cannot guess for itself."
        if not other.is_generative:
            return "It writes no text."
        if not can_go_back(other.shape):
            return (
                "It has a recurrent state or a sliding window: it cannot take back "
                "guesses that were wrong."
            )
        if _weight(other) >= _weight(self):
            return "It is not smaller than this model, so its guesses cost too much."
        try:
            difference = vocabulary_difference(self.paths[0], other.paths[0])
        except (InvalidGGUF, OSError) as error:
            return f"Its vocabulary cannot be read: {error}."
        return f"It has another vocabulary: {difference}." if difference else ""

    def setting_in_force(self, name: str) -> Any:
        """Return one setting, the configuration's if it is empty here."""
        return setting_in_force(name, settings.CONFIG, self)

    def settings_in_force(self) -> LoadSettings:
        """Return its settings, and the configuration's for those that are empty.

        Raises ValueError for shares of GPUs that are none.
        """
        return settings_in_force(settings.CONFIG, self)

    @property
    def shape(self) -> MemoryShape | None:
        """What decides its memory; None if its header does not say."""
        return MemoryShape.from_json(self.memory_shape) if self.memory_shape else None

    @property
    def is_generative(self) -> bool:
        """Whether it answers chat and completion requests."""
        return self.kind in GENERATIVE

    def template_in_force(self, *, is_for_tools: bool = False) -> str:
        """Return the chat template: its own setting, else the file's; "" is none.

        Some files have another template for conversations with tools.
        """
        if self.template_override:
            return self.template_override
        for_tools = self.metadata.get(TOOL_TEMPLATE) if is_for_tools else None
        if isinstance(for_tools, str) and for_tools:
            return for_tools
        return self.chat_template

    @property
    def pooling_in_force(self) -> str:
        """Its pooling where the file is not to decide, else ""."""
        wanted = self.setting_in_force("pooling_type")
        return wanted if wanted in _POOLINGS.get(self.kind, ()) else ""

    def adapters(self) -> list[Model]:
        """Return the adapters that it is loaded with, by name."""
        adapters = [attachment.adapter for attachment in self.attachments.all()]
        return [
            adapter
            for adapter in adapters
            if adapter.is_enabled and adapter.state == FileState.FOUND
        ]

    @property
    def paths(self) -> list[Path]:
        """Every file of the model, first shard first."""
        return [Path(shard) for shard in self.shards] or [Path(self.path)]

    def context_in_force(self, default: int) -> int:
        """Return the tokens of one sequence at load, given the configuration's default.

        As far as memory allows; its own setting holds whatever was seen or tested.
        """
        wanted = max(default, self.n_ctx_seen or 0)
        bounds = [bound for bound in (self.context_length, self.tested_ctx) if bound]
        return self.n_ctx or min([wanted, *bounds])


def _weight(model: Model) -> tuple[int, int]:
    """Return what makes a model slow: its parameters, else its bytes."""
    return model.parameter_count or 0, model.file_size


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


class AttachmentQuerySet(models.QuerySet["Attachment"]):
    def named(self, name: str) -> AttachmentQuerySet:
        """Return those that a request names, as in ``model:adapter``."""
        full_name = Concat("model__name", models.Value(":"), "adapter__name")
        return self.annotate(full_name=full_name).filter(
            full_name=name, adapter__is_enabled=True, adapter__state=FileState.FOUND
        )


class Attachment(models.Model):
    """A LoRA adapter that is loaded with a model, for requests that name it."""

    model = models.ForeignKey(
        Model, on_delete=models.CASCADE, related_name="attachments"
    )
    adapter = models.ForeignKey(
        Model,
        on_delete=models.CASCADE,
        related_name="attached_to",
        limit_choices_to={"kind": Kind.LORA},
    )

    objects = AttachmentQuerySet.as_manager()

    class Meta:
        ordering = ["adapter__name"]
        constraints = [
            models.UniqueConstraint(
                fields=["model", "adapter"], name="registry_attached_once"
            )
        ]

    def __str__(self) -> str:
        return attached_name(self.model.name, self.adapter.name)

    def clean(self) -> None:
        """Refuse an adapter that does not fit the model. Raises ValidationError.

        Reads the headers of both.
        """
        if not (self.adapter_id and self.model_id):
            # Another field's error says so.
            return
        if not self.model.is_generative:
            raise ValidationError("Adapters are for models that write text.")
        try:
            headers = read_headers(self.adapter.paths)
            reason = misfit(headers, read_headers(self.model.paths))
        except (InvalidGGUF, OSError) as error:
            reason = f"Its fit cannot be told: {error}."
        if reason:
            raise ValidationError({"adapter": reason})


def attached_name(model: str, adapter: str) -> str:
    """Return the name by which a request asks for a model with an adapter of it."""
    return f"{model}:{adapter}"


class ScanRun(_CountedScanRun, models.Model):
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
