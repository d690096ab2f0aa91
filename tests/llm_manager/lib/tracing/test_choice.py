"""Whether traces are sent, by OpenTelemetry's own variables."""

from __future__ import annotations

import subprocess
import sys

import pytest

from llm_manager.lib.tracing.choice import Choice, choose

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
URL = "http://collector:4318"


@pytest.mark.parametrize(
    ("variables", "exporter"),
    [
        ({}, ""),
        ({"OTEL_SERVICE_NAME": "models"}, ""),
        ({ENDPOINT: ""}, ""),
        ({ENDPOINT: URL}, "http"),
        ({TRACES_ENDPOINT: URL}, "http"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "http"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "console"),
        ({ENDPOINT: URL, "OTEL_TRACES_EXPORTER": "none"}, ""),
        ({ENDPOINT: URL, "OTEL_SDK_DISABLED": "TRUE"}, ""),
        ({ENDPOINT: URL, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "grpc"),
    ],
)
def test_the_variables_choose_the_exporter(
    variables: dict[str, str], exporter: str
) -> None:
    chosen = choose(variables, is_installed=lambda module: True)
    assert chosen == Choice(exporter)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("variables", "word"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "'zipkin'"),
        ({ENDPOINT: URL, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "'http/json'"),
    ],
)
def test_what_cannot_be_obeyed_is_said(variables: dict[str, str], word: str) -> None:
    chosen = choose(variables, is_installed=lambda module: True)
    assert not chosen.exporter
    assert word in chosen.fault


def test_a_missing_package_is_named() -> None:
    chosen = choose({ENDPOINT: URL}, is_installed=lambda module: False)
    assert not chosen.exporter
    assert "pip install 'llm-manager[otel]'" in chosen.fault


def test_off_nothing_of_opentelemetry_is_imported() -> None:
    code = (
        "import llm_manager.web.asgi, llm_manager.web.process\n"
        "import llm_manager.urls, inference.worker.main, sys\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
