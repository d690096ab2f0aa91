"""The load settings of models, declared once. Knows no Django.

The configuration's sections, a model's columns and its form take the names, types,
bounds and defaults from the two sections in ``sections``.
"""

from registry.load_settings.conflicts import conflicts
from registry.load_settings.in_force import (
    LIVE_SETTINGS,
    SETTINGS,
    bounds_of,
    choices_of,
    config_key,
    default_of,
    listed,
    setting_in_force,
    settings_in_force,
)
from registry.load_settings.sections import (
    QUANTIZED_CACHE_TYPES,
    GpuSection,
    LoadSettings,
    ModelEngineSection,
)
from registry.load_settings.values import (
    MAX_DEVICES,
    NodeLabels,
    RpcServers,
    labels_in,
    parse_servers,
    parse_split,
)

__all__ = [
    "LIVE_SETTINGS",
    "MAX_DEVICES",
    "QUANTIZED_CACHE_TYPES",
    "SETTINGS",
    "GpuSection",
    "LoadSettings",
    "ModelEngineSection",
    "NodeLabels",
    "RpcServers",
    "bounds_of",
    "choices_of",
    "config_key",
    "conflicts",
    "default_of",
    "labels_in",
    "listed",
    "parse_servers",
    "parse_split",
    "setting_in_force",
    "settings_in_force",
]
