"""Whether and how to send traces, by the variables of the OpenTelemetry specification.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Exporter = Literal["", "http", "grpc", "console"]

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
#: The module that an exporter is in.
_MODULES: dict[Exporter, str] = {
    "http": "opentelemetry.exporter.otlp.proto.http",
    "grpc": "opentelemetry.exporter.otlp.proto.grpc",
    "console": "opentelemetry.sdk",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """The exporter, "" for none; ``fault`` says why the variables cannot be obeyed."""

    exporter: Exporter = ""
    fault: str = ""


def choose(
    environment: Mapping[str, str], *, is_installed: Callable[[str], bool]
) -> Choice:
    """Return what the variables ask for."""

    def read(name: str) -> str:
        return environment.get(name, "").strip().lower()

    if read("OTEL_SDK_DISABLED") == "true":
        return Choice()
    asked = read("OTEL_TRACES_EXPORTER")
    if not asked:
        asked = "otlp" if any(read(name) for name in _ENDPOINTS) else "none"
    if asked == "none":
        return Choice()
    exporter: Exporter = "console"
    if asked == "otlp":
        protocol = next(filter(None, map(read, _PROTOCOLS)), "http/protobuf")
        if protocol not in ("http/protobuf", "grpc"):
            return Choice(
                fault=f"OTEL_EXPORTER_OTLP_PROTOCOL is '{protocol}'; known are "
                "'http/protobuf' and 'grpc'."
            )
        exporter = "grpc" if protocol == "grpc" else "http"
    elif asked != "console":
        return Choice(
            fault=f"OTEL_TRACES_EXPORTER is '{asked}'; known are 'otlp', 'console' "
            "and 'none'."
        )
    if not is_installed(_MODULES[exporter]):
        package = "opentelemetry-exporter-otlp-proto-grpc"
        wanted = package if exporter == "grpc" else "'llm-manager[otel]'"
        return Choice(
            fault="The OTEL_… variables ask for traces, and OpenTelemetry is not "
            f"installed: pip install {wanted}"
        )
    return Choice(exporter)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@lru_cache(maxsize=1)
def choice() -> Choice:
    """Return what this process's environment asks for."""
    return choose(os.environ, is_installed=_is_installed)


def is_on() -> bool:
    """Whether this process sends traces."""
    return bool(choice().exporter)
