"""Models with their aliases and adapters: what scans found, and their settings."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Concat
from django_prometheus.models import ExportModelOperationsMixin

from registry.errors import AmbiguousName, InvalidGGUF, ModelNotFound
from registry.gguf.architectures import why_not_alone
from registry.gguf.lora import reason_unfit
from registry.gguf.memory_shape import MemoryShape
from registry.load_columns import LoadColumns
from registry.load_settings import (
    LoadSettings,
    parse_split,
    setting_in_force,
    settings_in_force,
)
from registry.model_facts import (
    attached_name,
    pooling_for,
    template_for,
)
from registry.models.context_test import ContextTest, result_in_force
from registry.models.kinds import (
    GENERATIVE,
    SERVED,
    WITHOUT_FILE,
    FileState,
    Kind,
)
from registry.own_settings import setting_faults
from registry.prices import Prices
from registry.scan.files import read_headers

if TYPE_CHECKING:

    class _CountedModel: ...

else:
    # Without types: a base of type Any would hide wrong names of attributes.
    _CountedModel = ExportModelOperationsMixin("model")


class ModelQuerySet(models.QuerySet["Model"]):
    def servable(self) -> ModelQuerySet:
        """Return the models that a request may name."""
        return self.filter(is_enabled=True, state=FileState.FOUND, kind__in=SERVED)

    def files(self) -> ModelQuerySet:
        """Return those of files on this installation's disks."""
        return self.exclude(kind__in=WITHOUT_FILE)

    def resolve(self, name: str) -> Model:
        """Return the model with this id, alias or file name.

        An adapter's id may follow, as in ``model:adapter``. Raises ModelNotFound: a
        name is never completed or corrected. Names that look the same and differ only
        in their Unicode normal form are the same: some systems store "é" as two
        characters.
        """
        for model in self.filter(name=name):
            return model
        forms = {name, normalize("NFC", name), normalize("NFD", name)}
        # An alias is unique; two folders may have a file of the same name.
        others = models.Q(aliases__name__in=forms) | models.Q(file_name__in=forms)
        others |= models.Q(name__in=forms)
        matches = list(self.filter(others).distinct()[:3])
        if len(matches) == 1:
            return matches[0]
        if matches:
            ids = ", ".join(sorted(model.name for model in matches))
            raise AmbiguousName(
                f"Several models have the name '{name}'; use an id: {ids}."
            )
        for attachment in Attachment.objects.named(name):
            for model in self.filter(pk=attachment.model_id):
                return model
        raise ModelNotFound(
            f"The model '{name}' does not exist. GET /v1/models lists the models."
        )

    def by_wildcard(self, name: str) -> Model:
        """Return the model that has an alias with wildcards for this name.

        Of several such aliases the one with the most other characters counts. Raises
        ModelNotFound.
        """
        aliases = Alias.objects.filter(name__contains=WILDCARD, model__in=self)
        found = [alias for alias in aliases if alias.matches(name)]
        if not found:
            raise ModelNotFound(
                f"The model '{name}' does not exist. GET /v1/models lists the models."
            )
        best = max(found, key=lambda each: (each.num_letters, each.name))
        return self.get(pk=best.model_id)


def _price(help_text: str) -> models.DecimalField[Any, Any]:
    return models.DecimalField(
        max_digits=10,
        decimal_places=3,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text=help_text,
    )


class Model(_CountedModel, LoadColumns):
    """A model: one GGUF file, or one set of shards.

    ``NamedModel`` has those without a file.
    """

    # Identity: written by the scan.
    name = models.CharField(
        "id", max_length=255, unique=True, help_text="The name that requests use."
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
        default=1, help_text="Version of the code that read the header."
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
        help_text="Elements of K and V per token, over all layers.",
    )
    vocab_size = models.PositiveIntegerField(null=True, blank=True)
    tokenizer = models.CharField(max_length=64, blank=True)
    pooling = models.CharField(max_length=16, blank=True)
    sliding_window = models.PositiveIntegerField(null=True, blank=True)
    expert_count = models.PositiveIntegerField(null=True, blank=True)
    license = models.CharField(max_length=255, blank=True)
    supports_tools = models.BooleanField(default=False)
    supports_infill = models.BooleanField(
        default=False, help_text="Its vocabulary has tokens for fill-in-the-middle."
    )
    chat_template = models.TextField(blank=True)
    metadata = models.JSONField(
        default=dict, blank=True, help_text="All other keys of the header."
    )
    lora_rank = models.PositiveIntegerField("LoRA rank", null=True, blank=True)
    lora_alpha = models.FloatField("LoRA alpha", null=True, blank=True)
    memory_shape = models.JSONField(
        null=True,
        blank=True,
        help_text="The facts that its memory depends on, layer by layer.",
    )

    # Observed: written by the engine.
    n_ctx_seen = models.PositiveIntegerField(
        "context needed",
        null=True,
        blank=True,
        help_text="The largest context that a request has needed so far, in tokens.",
    )

    # Settings: edited by an administrator. Empty means the configuration's default.
    # Those for loading are in LoadColumns.
    is_enabled = models.BooleanField(
        "enabled", default=True, help_text="Requests may use the model."
    )
    n_ctx = models.PositiveIntegerField(
        "context",
        null=True,
        blank=True,
        validators=[MinValueValidator(64)],
        help_text="A fixed number of tokens per sequence. Empty: what requests need, "
        "limited by memory and by the trained context.",
    )
    draft_model = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="drafts_for",
        limit_choices_to={"kind__in": GENERATIVE},
        help_text="A smaller model with the same vocabulary, loaded with this one.",
    )
    template_override = models.TextField(
        "chat template", blank=True, help_text="Jinja. Empty: the template in the file."
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
    input_price = _price(
        "Money for a million prompt tokens, in the currency of limits.currency. "
        "Budgets and costs count it. Empty: free."
    )
    cached_price = _price(
        "For a million prompt tokens that the cache had. Empty: as the other ones."
    )
    output_price = _price("For a million tokens of answers. Empty: free.")

    objects = ModelQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Check the settings against this model. Raises ValidationError."""
        try:
            found = setting_faults(self)
        except ValueError as error:
            raise ValidationError({self._unreadable: str(error)}) from None
        if strange := [
            server
            for server in self.settings_in_force().rpc_servers
            if server not in settings.CONFIG.rpc.servers
        ]:
            found["rpc_servers"] = (
                f"{', '.join(strange)} is none of rpc.servers in the configuration."
            )
        if found:
            raise ValidationError(found)
        if Alias.objects.filter(name=self.name).exists():
            raise ValidationError({"name": "This name is an alias of a model."})

    @property
    def _unreadable(self) -> str:
        """The first setting that is a list and cannot be read."""
        try:
            parse_split(self.tensor_split)
        except ValueError:
            return "tensor_split"
        return "rpc_servers"

    def setting_in_force(self, name: str) -> Any:
        """Return the model's own setting, or the configuration's if that is empty."""
        return setting_in_force(name, settings.CONFIG, self)

    def settings_in_force(self) -> LoadSettings:
        """Return its own settings, with the configuration's for empty ones.

        Raises ValueError if ``tensor_split`` cannot be read.
        """
        return settings_in_force(settings.CONFIG, self)

    @property
    def shape(self) -> MemoryShape | None:
        """The facts that its memory depends on; None if its header lacks them."""
        return MemoryShape.from_json(self.memory_shape) if self.memory_shape else None

    @property
    def prices(self) -> Prices:
        """What its tokens cost; a price that is not set is 0."""
        by_default = self.input_price or Decimal(0)
        cached = by_default if self.cached_price is None else self.cached_price
        return Prices(by_default, cached, self.output_price or Decimal(0))

    @property
    def is_found(self) -> bool:
        """Whether the last scan found its file."""
        return self.state == FileState.FOUND

    def tested_context(
        self, hardware: dict[str, Any] | None = None
    ) -> ContextTest | None:
        """Return the newest test of its context as it would be loaded now, if any."""
        return result_in_force(self, hardware)

    @property
    def has_file(self) -> bool:
        """Whether workers of this installation load it from a file."""
        return self.kind not in WITHOUT_FILE

    @property
    def is_generative(self) -> bool:
        """Whether it answers chat and completion requests."""
        return self.kind in GENERATIVE

    @property
    def why_not_served(self) -> str:
        """Why requests can never name it, as a sentence; "" if they can."""
        return why_not_alone(self.kind, self.architecture)

    def template_in_force(self, *, is_for_tools: bool = False) -> str:
        """Return the chat template: its own setting, else the file's, else "".

        Some files have a separate template for conversations with tools.
        """
        return template_for(
            self.template_override,
            self.chat_template,
            self.metadata,
            is_for_tools=is_for_tools,
        )

    @property
    def pooling_in_force(self) -> str:
        """The pooling that a setting chooses, or "" if the file decides."""
        return pooling_for(self.kind, self.setting_in_force("pooling_type"))

    def adapters(self) -> list[Model]:
        """Return the adapters that it is loaded with, sorted by name."""
        adapters = [attachment.adapter for attachment in self.attachments.all()]
        return [
            adapter for adapter in adapters if adapter.is_enabled and adapter.is_found
        ]

    @property
    def paths(self) -> list[Path]:
        """Every file of the model, first shard first."""
        return [Path(shard) for shard in self.shards] or [Path(self.path)]


#: What stands for any characters in an alias.
WILDCARD = "*"


class Alias(models.Model):
    """Another name that requests may use for a model, or many at once."""

    name = models.CharField(
        max_length=255,
        unique=True,
        help_text="An * stands for any characters: claude-* is every name that begins "
        "so. Ids, and aliases without *, go before.",
    )
    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="aliases")

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "aliases"

    def __str__(self) -> str:
        return self.name

    @property
    def num_letters(self) -> int:
        """How many characters are no wildcards."""
        return len(self.name.replace(WILDCARD, ""))

    def matches(self, name: str) -> bool:
        """Return whether it stands for a name."""
        first, *rest = self.name.split(WILDCARD)
        if not rest:
            return name == self.name
        *middle, last = rest
        if not name.startswith(first) or len(name) < len(first) + len(last):
            return False
        at, end = len(first), len(name) - len(last)
        if not name.endswith(last):
            return False
        # Each part at its first place: what is left is as long as can be.
        for part in middle:
            at = name.find(part, at, end)
            if at < 0:
                return False
            at += len(part)
        return True

    def clean(self) -> None:
        """Check that the name is no model's id. Raises ValidationError."""
        if Model.objects.filter(name=self.name).exists():
            raise ValidationError({"name": "This name is the id of a model."})


class AttachmentQuerySet(models.QuerySet["Attachment"]):
    def named(self, name: str) -> AttachmentQuerySet:
        """Return the attachment that a request names, as in ``model:adapter``."""
        full_name = Concat("model__name", models.Value(":"), "adapter__name")
        return self.annotate(full_name=full_name).filter(
            full_name=name, adapter__is_enabled=True, adapter__state=FileState.FOUND
        )


class Attachment(models.Model):
    """A LoRA adapter that is loaded with a model."""

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
        """Check that the adapter fits the model. Raises ValidationError.

        Reads the headers of both.
        """
        if not (self.adapter_id and self.model_id):
            # The missing field has its own error.
            return
        if not self.model.is_generative:
            raise ValidationError("Only models that generate text can have adapters.")
        try:
            headers = read_headers(self.adapter.paths)
            reason = reason_unfit(headers, read_headers(self.model.paths))
        except (InvalidGGUF, OSError) as error:
            reason = f"It cannot be read: {error}."
        if reason:
            raise ValidationError({"adapter": reason})
