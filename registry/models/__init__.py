"""Rows of this app: models with their aliases and adapters, and scans."""

from registry.models.kinds import GENERATIVE, SERVED, FileState, Kind
from registry.models.model import (
    TOOL_TEMPLATE,
    Alias,
    Attachment,
    Model,
    ModelQuerySet,
    attached_name,
)
from registry.models.scan_run import ScanRun

__all__ = [
    "GENERATIVE",
    "SERVED",
    "TOOL_TEMPLATE",
    "Alias",
    "Attachment",
    "FileState",
    "Kind",
    "Model",
    "ModelQuerySet",
    "ScanRun",
    "attached_name",
]
