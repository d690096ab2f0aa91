"""System checks: each mistake has an id and a hint, and a good set-up has none."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from django.core.checks import CheckMessage, run_checks
from django.core.management import call_command

from llm_manager.config.schema import Config
from llm_manager.lib.tracing.choice import choice
from tests.checkout import ROOT
from tests.configuration import changed
from tests.llm_manager.conftest import clean_environment

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_django.fixtures import Settings


def found(settings: Settings, **values: Any) -> list[CheckMessage]:
    """Return our messages for a configuration that differs from the default so."""
    settings.CONFIG = changed(Config(), **values)
    return [
        message for message in run_checks() if str(message.id).startswith("llm_manager")
    ]


def ids(settings: Settings, **values: Any) -> list[str]:
    return [str(message.id) for message in found(settings, **values)]


def test_project_passes_its_checks() -> None:
    call_command("check")


def test_default_configuration_has_no_message(settings: Settings) -> None:
    assert ids(settings) == []


def test_missing_models_directory(settings: Settings, tmp_path: Path) -> None:
    missing = str(tmp_path / "nowhere")
    assert ids(settings, models__dir=missing) == ["llm_manager.W001"]
    assert ids(settings, models__extra_dirs=(missing,)) == ["llm_manager.W001"]


def test_models_directory_that_is_a_file(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.touch()
    assert ids(settings, models__dir=str(file)) == ["llm_manager.E001"]


def test_unreadable_models_directory(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not by mode: root reads everything.
    monkeypatch.setattr("llm_manager.checks.os.access", lambda *_: False)
    assert ids(settings, models__dir=str(tmp_path)) == ["llm_manager.E002"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_may_be_open(settings: Settings, host: str) -> None:
    assert ids(settings, server__host=host, auth__required=False) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])  # noqa: S104
def test_reachable_server_should_not_be_open(settings: Settings, host: str) -> None:
    assert ids(settings, server__host=host) == ["llm_manager.W002"]
    assert ids(settings, server__host=host, auth__required=False) == [
        "llm_manager.W002",
        "llm_manager.W003",
    ]
    closed = ("example.org",)
    assert ids(settings, server__host=host, server__allowed_hosts=closed) == []


def test_https_without_a_proxy_is_refused(settings: Settings) -> None:
    for wanted in ({"https__redirect": True}, {"https__hsts_seconds": 60}):
        assert ids(settings, **wanted) == ["llm_manager.E003"]
        assert ids(settings, **wanted, server__trusted_proxies=1) == []


@pytest.mark.parametrize("is_documented", [True, False])
def test_the_documented_configuration_passes_the_checks_for_deployment(
    tmp_path: Path, is_documented: bool
) -> None:
    site = (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    comment = site[site.index("#   server:") : site.index("# `llm-manager check")]
    lines = [line.removeprefix("#   ") for line in comment.splitlines()]
    (tmp_path / "llm_manager.yaml").write_text(
        "\n".join(lines) if is_documented else "", encoding="utf-8"
    )
    done = subprocess.run(
        [
            *(sys.executable, "-P", "-m", "llm_manager", "--data-dir", str(tmp_path)),
            *("check", "--deploy", "--fail-level", "WARNING"),
        ],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == (0 if is_documented else 1), done.stderr
    assert ("no issues" in done.stdout) is is_documented


def test_variable_with_a_typing_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_MANAGER_SERVER_PROT", "1")
    (message,) = found(settings)
    assert message.id == "llm_manager.W004"
    assert message.hint == "Did you mean LLM_MANAGER_SERVER_PORT?"


def test_a_login_that_nobody_can_pass_is_an_error(settings: Any) -> None:
    assert ids(settings, auth__passwords=False) == ["llm_manager.E004"]
    known = {"oidc__client_id": "x", "oidc__client_secret": "y"}
    away = {"oidc__issuer": "https://id.example.org", **known}
    assert ids(settings, auth__passwords=False, **away) == []
    assert ids(settings, **away | {"oidc__client_secret": ""}) == ["llm_manager.E005"]


def test_a_provider_that_is_asked_in_the_clear_is_a_warning(settings: Any) -> None:
    known = {"oidc__client_id": "x", "oidc__client_secret": "y"}
    far = {"oidc__issuer": "http://id.example.org", **known}
    assert ids(settings, **far) == ["llm_manager.W005"]
    assert ids(settings, oidc__issuer="http://localhost:9400", **known) == []


def test_a_webhook_without_a_secret_is_refused(settings: Any) -> None:
    url = {"notices__webhook_url": "https://example.org/hook"}
    for secret in ("", "short", "whsec_not base64 at all!"):
        assert ids(settings, **url, notices__webhook_secret=secret) == [
            "llm_manager.E006"
        ]
    for secret in ("a secret of sixteen", "whsec_c2VjcmV0IG9mIHNpeHRlZW4="):
        assert ids(settings, **url, notices__webhook_secret=secret) == []


def test_rpc_servers_need_a_secret_that_nobody_guesses(settings: Any) -> None:
    servers = {"rpc__servers": ("b:1",)}
    assert ids(settings, **servers, rpc__secret="short") == ["llm_manager.E007"]
    assert ids(settings, **servers, rpc__secret="x" * 32) == []


def test_variables_for_traces_that_cannot_be_obeyed_are_a_warning(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")
    choice.cache_clear()
    try:
        (message,) = found(settings)
    finally:
        choice.cache_clear()
    assert message.id == "llm_manager.W006"
    assert "'zipkin'" in message.msg
