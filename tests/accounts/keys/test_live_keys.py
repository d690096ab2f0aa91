"""Which keys may keep their running requests."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from accounts.keys.live_keys import ended_key_uses
from accounts.models import Scope
from tests.factories import make_api_key, make_model, make_team, make_user

if TYPE_CHECKING:
    from pytest_django import DjangoAssertNumQueries

    from accounts.models import ApiKey

pytestmark = pytest.mark.django_db


def said(key: ApiKey, model_id: int = 1) -> tuple[str, str] | None:
    """Return the code and the sentence for a request of this key, if it has to end."""
    error = ended_key_uses({(key.prefix, model_id)}).get((key.prefix, model_id))
    return None if error is None else (str(error.get_codes()), str(error.detail))


def test_a_key_in_order_keeps_its_requests() -> None:
    model = make_model()
    key, _ = make_api_key(
        models=[model], expires_at=timezone.now() + timedelta(minutes=1)
    )
    assert said(key, model.pk) is None


def test_a_revoked_key_says_who_revoked_it() -> None:
    key, _ = make_api_key(name="laptop")
    key.revoke(by=make_user("alice"))
    assert said(key) == (
        "key_revoked",
        f"The API key 'laptop' ({key.prefix}…) was revoked by the administrator alice, "
        "which ended this request.",
    )


def test_an_expired_key_says_when() -> None:
    key, _ = make_api_key(name="laptop")
    type(key).objects.update(expires_at="2026-01-02T03:04:05Z")
    code, sentence = said(key) or ("", "")
    assert code == "key_expired"
    assert "expired at 2026-01-02 03:04:05 UTC, which ended this request" in sentence


def test_a_deleted_key_ends_its_requests() -> None:
    key, _ = make_api_key()
    key.delete()
    assert (said(key) or ("",))[0] == "key_deleted"


def test_a_key_whose_owner_is_deactivated_ends_its_requests() -> None:
    owner = make_user()
    key, _ = make_api_key(owner)
    owner.is_active = False
    owner.save()
    assert (said(key) or ("",))[0] == "key_owner_inactive"


def test_a_key_that_loses_the_model_or_the_scope_ends_its_requests() -> None:
    used, other = make_model(), make_model()
    key, _ = make_api_key(models=[other])
    assert (said(key, used.pk) or ("",))[0] == "key_restricted"
    assert said(key, other.pk) is None
    type(key).objects.update(scopes=[Scope.MODELS])
    assert (said(key, other.pk) or ("",))[0] == "key_restricted"


def test_many_keys_are_looked_up_at_once(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    keys = [make_api_key()[0] for _ in range(20)]
    keys[3].revoke()
    with django_assert_num_queries(2):
        ended = ended_key_uses({(key.prefix, 1) for key in keys})
    assert set(ended) == {(keys[3].prefix, 1)}


def test_a_key_of_an_owner_who_left_its_team_ends_its_requests() -> None:
    owner = make_user()
    team = make_team("red", owner)
    key, _ = make_api_key(owner, team=team)
    assert said(key) is None
    team.group.user_set.remove(owner)
    assert (said(key) or ("",))[0] == "key_owner_left_team"


def test_a_model_that_a_team_may_no_longer_use_ends_its_requests() -> None:
    owner, model = make_user(), make_model()
    team = make_team("red", owner, all_models=False)
    team.allowed_models.add(model)
    key, _ = make_api_key(owner, team=team)
    assert said(key, model.pk) is None
    team.allowed_models.clear()
    assert (said(key, model.pk) or ("",))[0] == "key_restricted"
