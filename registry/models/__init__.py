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
from registry.models.copy import ModelCopy
from registry.models.download import Download
from registry.models.kinds import (
    GENERATIVE,
    SERVED,
    WITHOUT_FILE,
    FileState,
    Kind,
)
from registry.models.model import (
    Alias,
    Attachment,
    Model,
    ModelQuerySet,
)
from registry.models.named_model import NamedModel
from registry.models.route import Route, RouteTarget
from registry.models.scan_run import ScanRun
from registry.models.upstream import Api, Dialect, Upstream, UpstreamModel

__all__ = [
    "GENERATIVE",
    "SEQUENCES",
    "SERVED",
    "WITHOUT_FILE",
    "Alias",
    "Api",
    "Attachment",
    "ContextMeasurement",
    "ContextTest",
    "Dialect",
    "Download",
    "FileState",
    "Kind",
    "Model",
    "ModelCopy",
    "ModelQuerySet",
    "NamedModel",
    "Route",
    "RouteTarget",
    "ScanRun",
    "Upstream",
    "UpstreamModel",
    "context_at_load",
    "kv_type_name",
    "measured_settings",
    "result_in_force",
]
