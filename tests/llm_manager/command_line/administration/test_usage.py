"""``llm-manager usage``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from accounts.models import Scope, UsageDay
from accounts.usage.summary import today
from tests.factories import make_api_key
from tests.llm_manager.command_line.administration.conftest import BOTH

if TYPE_CHECKING:
    from tests.llm_manager.command_line.administration.conftest import Verbs

pytestmark = pytest.mark.django_db


def use() -> None:
    """Save what two keys have used today."""
    for key in (1, 2):
        UsageDay.objects.create(
            day=today(),
            key_id=key,
            key_prefix=f"sk-{key}",
            key_name=f"[b]key {key}",
            requests=key,
            completion_tokens=1000 * key,
        )


@BOTH
def test_usage_by_key_is_a_table_with_the_most_used_first(door: Verbs) -> None:
    use()
    status, output, _ = door("usage", "--by", "key", "--since", "7d")
    assert status == 0
    heading, first, second = output.splitlines()
    assert "KEY NAME" in heading
    assert first.startswith("sk-2")
    assert "[b]key 2" in first
    assert "2,000" in first
    assert second.startswith("sk-1")


@BOTH
def test_usage_is_json_for_programs(door: Verbs) -> None:
    use()
    usage = door.json("usage", "--by", "day,key", "--prefix", "sk-1")
    (group,) = usage["data"]
    assert (group["day"], group["requests"]) == (today().isoformat(), 1)
    assert usage["total"]["completion_tokens"] == 1000


@BOTH
def test_a_bad_option_is_refused(door: Verbs) -> None:
    for option, value, message in (
        ("--by", "colour", "'by' cannot be 'colour'"),
        ("--since", "soon", "'soon' is no day"),
    ):
        status, _, said = door("usage", option, value)
        assert status == 1
        assert message in said


def test_no_usage_is_said(verbs: Verbs) -> None:
    status, output, _ = verbs("usage", "--by", "key")
    assert (status, output) == (0, "Nothing was used on these days.\n")


def test_another_key_sees_its_own_usage(
    server: Verbs, monkeypatch: pytest.MonkeyPatch
) -> None:
    use()
    _, secret = make_api_key(scopes=[Scope.INFERENCE])
    monkeypatch.setenv("LLM_MANAGER_KEY", secret)
    assert server.json("usage")["total"]["requests"] == 0
    assert server("usage", "--by", "owner")[0] == 4
