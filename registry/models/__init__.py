"""Rows of this app: models and what belongs to them, scans, tests, downloads."""

from registry.models.context_test import (
    SEQUENCES,
    ContextMeasurement,
    ContextTest,
    context_at_load,
    kv_type_name,
    measured_settings,
    result_in_force,
)
from registry.models.download import Download
from registry.models.kinds import GENERATIVE, SERVED, FileState, Kind
from registry.models.model import (
    Alias,
    Attachment,
    Model,
    ModelQuerySet,
)
from registry.models.scan_run import ScanRun

__all__ = [
    "GENERATIVE",
    "SEQUENCES",
    "SERVED",
    "Alias",
    "Attachment",
    "ContextMeasurement",
    "ContextTest",
    "Download",
    "FileState",
    "Kind",
    "Model",
    "ModelQuerySet",
    "ScanRun",
    "context_at_load",
    "kv_type_name",
    "measured_settings",
    "result_in_force",
]
