"""What a model is for, and whether its file is there."""

from __future__ import annotations

from django.db import models


class Kind(models.TextChoices):
    """What a model's file is for; the last two have no file."""

    CHAT = "chat", "Chat"
    COMPLETION = "completion", "Completion"
    EMBEDDING = "embedding", "Embedding"
    RERANKER = "reranker", "Reranker"
    PROJECTOR = "projector", "Vision projector"
    LORA = "lora", "LoRA adapter"
    DRAFT_HEAD = "draft_head", "Draft head"
    VOICE = "voice", "Voice part"
    UNSUPPORTED = "unsupported", "Unsupported"
    UPSTREAM = "upstream", "Upstream"
    ROUTE = "route", "Route"


GENERATIVE = (Kind.CHAT, Kind.COMPLETION)
#: What requests may name. The rest is loaded with another model, or not at all.
SERVED = (*GENERATIVE, Kind.EMBEDDING, Kind.RERANKER, Kind.UPSTREAM, Kind.ROUTE)
#: What another server computes, and names that stand for models: neither has a file.
WITHOUT_FILE = (Kind.UPSTREAM, Kind.ROUTE)


class FileState(models.TextChoices):
    """The state of the file, as of the last scan."""

    FOUND = "found", "Found"
    MISSING = "missing", "Missing"
    UNREADABLE = "unreadable", "Unreadable"
