"""Keys are cached for one second, and changes here take effect at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.test import RequestFactory
from rest_framework.request import Request

from accounts.errors import InvalidApiKey
from accounts.keys.authentication import BearerAuthentication
from accounts.keys.key_access import allowed_model_ids
from accounts.keys.key_cache import cached_key
from accounts.models import ApiKey
from tests.factories import make_api_key, make_model

if TYPE_CHECKING:
    from pytest_django import DjangoAssertNumQueries

pytestmark = pytest.mark.django_db


def authenticate(secret: str) -> ApiKey:
    """Return the key that authenticates a request with this secret."""
    headers = {"authorization": f"Bearer {secret}"}
    found = BearerAuthentication().authenticate(
        Request(RequestFactory().get("/", headers=headers))
    )
    assert found is not None
    assert isinstance(found[1], ApiKey)
    return found[1]


def test_a_revoked_key_is_refused_at_once() -> None:
    key, secret = make_api_key()
    assert authenticate(secret) == key

    ApiKey.objects.get(pk=key.pk).revoke()

    with pytest.raises(InvalidApiKey):
        authenticate(secret)


def test_a_key_of_an_owner_who_left_is_refused_at_once() -> None:
    key, secret = make_api_key()
    authenticate(secret)

    key.owner.is_active = False
    key.owner.save()

    with pytest.raises(InvalidApiKey):
        authenticate(secret)


def test_a_deleted_key_is_refused_at_once() -> None:
    key, secret = make_api_key()
    authenticate(secret)

    key.delete()

    with pytest.raises(InvalidApiKey):
        authenticate(secret)


def test_the_models_of_a_key_are_cached_with_it_and_change_at_once(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    key, secret = make_api_key(models=[])
    first, second = make_model("first"), make_model("second")
    assert allowed_model_ids(authenticate(secret)) == frozenset()

    key.allowed_models.add(first)
    with django_assert_num_queries(2):
        assert allowed_model_ids(authenticate(secret)) == frozenset({first.pk})
    with django_assert_num_queries(0):
        assert allowed_model_ids(authenticate(secret)) == frozenset({first.pk})

    key.allowed_models.set([second])
    assert allowed_model_ids(authenticate(secret)) == frozenset({second.pk})
    assert cached_key(key.prefix).owner == key.owner
