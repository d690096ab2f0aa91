"""What the launcher asks of the database."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import CommandError
from django.utils import timezone

from llm_manager.launcher import project
from llm_manager.lib.clocks.database_clock import HEARTBEAT_EXPIRES
from registry.models import FileState, Kind
from tests.factories import make_model, make_node

pytestmark = pytest.mark.django_db


def test_engine_is_ready_when_its_own_process_has_reported() -> None:
    make_node(pid=42)
    assert project.is_engine_ready(42)
    assert not project.is_engine_ready(43)


def test_engine_that_ran_before_does_not_count() -> None:
    past = timezone.now() - HEARTBEAT_EXPIRES - timedelta(seconds=1)
    make_node(pid=42, heartbeat_at=past)
    assert not project.is_engine_ready(42)


def test_only_a_chat_model_that_can_be_served_is_shown() -> None:
    make_model("embedder", kind=Kind.EMBEDDING)
    make_model("disabled", kind=Kind.CHAT, is_enabled=False)
    make_model("gone", kind=Kind.CHAT, state=FileState.MISSING)
    assert project.chat_model_name() is None
    make_model("talker", kind=Kind.CHAT)
    assert project.chat_model_name() == "talker"


def test_a_failed_scan_is_reported_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise CommandError("no such folder.")

    monkeypatch.setattr("django.core.management.call_command", fail)
    project.models_scan()
    assert capsys.readouterr().err == (
        "llm-manager: The scan of the models directory failed: no such folder.\n"
    )
