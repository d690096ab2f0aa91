"""Upstreams: other inference servers, and the models that they serve for this one."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

from registry.models.kinds import Kind
from registry.models.named_model import NamedModel
from registry.upstreams.addresses import base_url_fault, origin_of
from registry.upstreams.sealing import seal, unseal

if TYPE_CHECKING:
    from datetime import datetime

#: A key of more characters is none.
_KEY_LENGTH = 4096


class Api(models.TextChoices):
    """What requests an upstream's model takes, by the route below its address."""

    CHAT = "chat", "/chat/completions"
    COMPLETIONS = "completions", "/completions"
    EMBEDDINGS = "embeddings", "/embeddings"
    RESPONSES = "responses", "/responses"
    MESSAGES = "messages", "/messages"
    RERANK = "rerank", "/rerank"


class Dialect(models.TextChoices):
    """Whose API an upstream has: what it takes beyond OpenAI's members."""

    OPENAI = "openai", "OpenAI's members only"
    VLLM = "vllm", "vLLM"
    SGLANG = "sglang", "SGLang"
    TENSORRT_LLM = "tensorrt-llm", "TensorRT-LLM"
    LLAMA_SERVER = "llama-server", "llama-server"
    OLLAMA = "ollama", "Ollama"
    ANTHROPIC = "anthropic", "Anthropic"
    LLM_MANAGER = "llm-manager", "LLM Manager"


def _seconds(
    default: int, most: int, help_text: str
) -> models.PositiveIntegerField[int, int]:
    return models.PositiveIntegerField(
        default=default,
        validators=[MinValueValidator(1), MaxValueValidator(most)],
        help_text=help_text,
    )


class Upstream(models.Model):
    """Another inference server, with what it takes to send requests to it."""

    name = models.CharField(
        max_length=100,
        unique=True,
        help_text="What pages, metrics and errors call it.",
    )
    base_url = models.CharField(
        "address",
        max_length=500,
        help_text="What comes before /chat/completions, as in "
        "https://api.example.org/v1. Hosts with private addresses, and http, must be "
        "in upstreams.private_hosts of the configuration.",
    )
    sealed_key = models.TextField(blank=True, editable=False)
    dialect = models.CharField(
        max_length=16,
        choices=Dialect,
        default=Dialect.OPENAI,
        help_text="Whose parameters it takes. Others are refused by name.",
    )
    is_enabled = models.BooleanField(
        "enabled", default=True, help_text="Requests are sent to it."
    )
    connect_timeout_s = _seconds(5, 120, "Seconds in which a connection must be made.")
    read_timeout_s = _seconds(
        120, 3600, "The longest silence of an answer, in seconds."
    )
    total_timeout_s = _seconds(
        600,
        86_400,
        "Seconds that an answer may take, if server.request_timeout is not less.",
    )
    checked_at = models.DateTimeField(null=True, blank=True, editable=False)
    fault = models.TextField(
        blank=True,
        editable=False,
        help_text="What its last check found wrong.",
    )
    paused_until = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="Until then a web process that has seen it fail again and again "
        "sends it no requests.",
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def key(self) -> str:
        """What it is sent as its key; "" is none.

        Raises ``registry.upstreams.sealing.KeyUnreadable``.
        """
        return unseal(self.sealed_key)

    @key.setter
    def key(self, key: str) -> None:
        self.sealed_key = seal(key)

    @property
    def state(self) -> str:
        """What its last requests and its last check say, in a word."""
        if not self.is_enabled:
            return "disabled"
        if self.pause is not None:
            return "paused"
        if self.checked_at is None:
            return "not checked"
        return "failing" if self.fault else "healthy"

    @property
    def pause(self) -> datetime | None:
        """When a web process that sends it no requests tries again; None: all do."""
        until = self.paused_until
        return until if until is not None and until > timezone.now() else None

    def url(self, path: str) -> str:
        """Return the address of a route below its own, such as ``/models``."""
        return self.base_url.rstrip("/") + path

    def clean(self) -> None:
        """Check the address. Raises ValidationError.

        The key stays with the server that it was entered for.
        """
        fault = base_url_fault(self.base_url, settings.CONFIG.upstreams.private_hosts)
        if fault:
            raise ValidationError({"base_url": fault})
        former = type(self).objects.filter(pk=self.pk).first() if self.pk else None
        if former is None or not self.sealed_key:
            return
        # The same key that is entered again is sealed otherwise.
        is_kept = former.sealed_key == self.sealed_key
        if is_kept and origin_of(former.base_url) != origin_of(self.base_url):
            raise ValidationError(
                {"base_url": "Enter the key again, or none: it is another server's."}
            )


def key_fault(key: str) -> str:
    """Return why an upstream cannot have this key, as a sentence; "" if it can."""
    if len(key) > _KEY_LENGTH or not key.isascii() or not key.isprintable():
        return "A key is a line of at most 4,096 ASCII characters."
    return ""


def _only_chat() -> list[str]:
    return [Api.CHAT.value]


class UpstreamModel(NamedModel):
    """A model that an upstream serves."""

    own_kind: ClassVar[Kind] = Kind.UPSTREAM

    upstream = models.ForeignKey(
        Upstream, on_delete=models.PROTECT, related_name="served_models"
    )
    remote_name = models.CharField(
        "name there", max_length=255, help_text="What the upstream calls the model."
    )
    apis = models.JSONField(
        "APIs", default=_only_chat, help_text="What requests it takes."
    )
    refused_parameters = models.JSONField(
        default=list,
        blank=True,
        help_text="Parameters that it cannot take, beside those that the dialect "
        "lacks: requests that have them are refused.",
    )

    class Meta:
        verbose_name = "upstream model"

    def clean(self) -> None:
        """Check what no form's field checks. Raises ValidationError."""
        super().clean()
        known = set(Api.values)
        if not isinstance(self.apis, list) or not self.apis or set(self.apis) - known:
            names = ", ".join(Api.values)
            raise ValidationError({"apis": f"Give one or more of {names}."})
        refused = self.refused_parameters
        if not isinstance(refused, list) or not all(
            isinstance(each, str) and each for each in refused
        ):
            raise ValidationError({"refused_parameters": "Give a list of names."})
