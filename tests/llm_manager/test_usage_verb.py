"""``llm-manager usage``."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from accounts.models import UsageDay
from accounts.usage.summary import today
from llm_manager.command_line.verbs.usage import command

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(command, arguments)
    return result.exit_code, result.output


@pytest.fixture
def _used() -> None:
    for key in (1, 2):
        UsageDay.objects.create(
            day=today(),
            key_id=key,
            key_prefix=f"sk-{key}",
            key_name=f"[b]key {key}",
            requests=key,
            completion_tokens=1000 * key,
        )


@pytest.mark.usefixtures("_used")
def test_usage_by_key_is_a_table_with_the_most_used_first() -> None:
    status, output = run("--by", "key", "--since", "7d")
    assert status == 0
    heading, first, second = output.splitlines()
    assert "key name" in heading
    assert "sk-2" in first
    assert "[b]key 2" in first
    assert "2,000" in first
    assert "sk-1" in second


@pytest.mark.usefixtures("_used")
def test_usage_is_json_for_programs() -> None:
    status, output = run("--by", "day,key", "--key", "sk-1", "--json")
    assert status == 0
    (group,) = json.loads(output)
    assert (group["day"], group["requests"]) == (today().isoformat(), 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--by", "colour"], "'colour' is none of day, key"),
        (["--since", "soon"], "'soon' is no day"),
    ],
)
def test_a_bad_option_is_refused(arguments: list[str], message: str) -> None:
    status, output = run(*arguments)
    assert status == 2
    assert message in output


def test_no_usage_is_said() -> None:
    assert run("--by", "key") == (0, "Nothing was used on these days.\n")
