"""What a key may do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.cache import cache
from django.test import RequestFactory
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.errors import (
    ApiKeyMissing,
    InvalidApiKey,
    RateLimited,
    RouteClosed,
    ScopeMissing,
)
from accounts.keys.key_access import allowed_model_ids
from accounts.keys.permissions import HasScope
from accounts.models import ApiKey, Scope
from tests.configuration import changed
from tests.factories import make_api_key, make_model, make_team, make_user

if TYPE_CHECKING:
    from pytest_django import DjangoAssertNumQueries

pytestmark = pytest.mark.django_db


def may(key: ApiKey | None, scope: str | None, **headers: str) -> bool:
    """Return whether a request with this key may use a view of this scope."""
    request = Request(RequestFactory().get("/", headers=headers), authenticators=[])
    request.auth = key
    view = type("View", (APIView,), {"required_scope": scope} if scope else {})()
    return HasScope().has_permission(request, view)


@pytest.mark.parametrize("scope", Scope.values)
def test_a_key_with_the_scope_is_let_in_and_one_without_is_not(scope: str) -> None:
    others = [other for other in Scope.values if other != scope]

    assert may(make_api_key(scopes=[scope])[0], scope)
    with pytest.raises(ScopeMissing, match=scope):
        may(make_api_key(scopes=others)[0], scope)


@pytest.mark.parametrize("is_required", [True, False])
def test_a_view_that_declares_no_scope_is_closed(
    settings: Any, is_required: bool
) -> None:
    settings.AUTH_REQUIRED = is_required
    key, _ = make_api_key(scopes=list(Scope.values))

    for caller in (key, None):
        with pytest.raises(RouteClosed):
            may(caller, None)


def test_without_a_key_only_inference_is_open_and_only_if_configured(
    settings: Any,
) -> None:
    settings.AUTH_REQUIRED = False
    assert may(None, Scope.INFERENCE)
    for scope in (Scope.MODELS, Scope.ADMIN):
        with pytest.raises(ApiKeyMissing):
            may(None, scope)

    settings.AUTH_REQUIRED = True
    with pytest.raises(ApiKeyMissing):
        may(None, Scope.INFERENCE)


def test_a_wrong_key_opens_nothing_but_inference_and_counts_as_a_failure(
    settings: Any,
) -> None:
    cache.clear()
    settings.AUTH_REQUIRED = False
    settings.CONFIG = changed(settings.CONFIG, server__rate_limit=1)

    for _ in range(3):
        assert may(None, Scope.INFERENCE, authorization="Bearer not-needed")
    with pytest.raises(InvalidApiKey):
        may(None, Scope.ADMIN, authorization="Bearer not-needed")
    with pytest.raises(RateLimited):
        may(None, Scope.ADMIN, authorization="Bearer not-needed")


def test_a_key_that_is_restricted_names_its_models_in_one_query(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    model: Any = make_model()
    restricted, _ = make_api_key(models=[model])
    free, _ = make_api_key()

    with django_assert_num_queries(1):
        assert allowed_model_ids(restricted) == frozenset({model.pk})
    assert allowed_model_ids(free) is None
    with django_assert_num_queries(0):
        assert allowed_model_ids(None) is None


def test_a_key_of_a_team_may_use_what_both_allow() -> None:
    ours, theirs, both = (make_model(name) for name in ("ours", "theirs", "both"))
    owner = make_user()
    team = make_team("red", owner, all_models=False)
    team.allowed_models.set([theirs, both])
    some, _ = make_api_key(owner, team=team, models=[ours, both])
    free, _ = make_api_key(owner, team=team)

    assert allowed_model_ids(some) == frozenset({both.pk})
    assert allowed_model_ids(free) == frozenset({theirs.pk, both.pk})


def test_a_key_without_any_model_may_use_none() -> None:
    key, _ = make_api_key(models=[make_model()])
    key.allowed_models.get().delete()
    key.refresh_from_db()
    assert allowed_model_ids(key) == frozenset()
