"""A key is at hand if its check asks neither the database nor Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from accounts.keys.at_hand import is_key_at_hand
from accounts.keys.key_cache import cached_key
from accounts.keys.unknown_keys import unknown_keys
from accounts.limits.limit_rows import limit_rows, rules_of
from accounts.models import ApiKey
from tests.factories import make_api_key

if TYPE_CHECKING:
    from pytest_django import DjangoAssertNumQueries

pytestmark = pytest.mark.django_db


async def checked(text: str) -> None:
    async with unknown_keys.checking(text, "10.0.0.1"):
        """It was right."""


async def test_a_key_is_at_hand_once_it_was_right_and_its_rows_were_read() -> None:
    text = "sk-llmm-0123456789ab-never"
    assert not is_key_at_hand(None)
    await checked(text)
    assert not is_key_at_hand(text)


def test_nothing_is_read_to_find_out(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    key, secret = make_api_key()
    assert not is_key_at_hand(secret)
    unknown_keys._remember(secret)
    assert not is_key_at_hand(secret)
    rules_of(cached_key(key.prefix), None)
    with django_assert_num_queries(0):
        assert is_key_at_hand(secret)
    limit_rows.clear()
    assert not is_key_at_hand(secret)


def test_a_key_that_was_revoked_is_not_at_hand() -> None:
    key, secret = make_api_key()
    unknown_keys._remember(secret)
    ApiKey.objects.get(pk=key.pk).revoke()
    rules_of(cached_key(key.prefix), None)
    assert not is_key_at_hand(secret)
