"""Which keys may keep their running requests."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.db.models import F
from django.utils import timezone

from accounts.keys.live_keys import LiveKeys
from accounts.models import ApiKey, Scope
from tests.factories import make_api_key, make_model, make_team, make_user

if TYPE_CHECKING:
    from pytest_django import DjangoAssertNumQueries

pytestmark = pytest.mark.django_db


class Watch:
    """Looks at one key's request again and again, as a web process does.

    A key is in order when it is looked at first: its request was let in.
    """

    def __init__(self, key: ApiKey, model_id: int = 1) -> None:
        self._live = LiveKeys()
        self._use = (key.prefix, model_id)
        assert not self._live.ended({self._use})

    def said(self) -> tuple[str, str]:
        """Return the code and the sentence that end the request, or two empty ones."""
        error = self._live.ended({self._use}).get(self._use)
        return (str(error.get_codes()), str(error.detail)) if error else ("", "")

    @property
    def code(self) -> str:
        return self.said()[0]


def test_a_key_in_order_keeps_its_requests() -> None:
    model = make_model()
    key, _ = make_api_key(
        models=[model], expires_at=timezone.now() + timedelta(minutes=1)
    )
    assert Watch(key, model.pk).code == ""


def test_a_revoked_key_says_who_revoked_it() -> None:
    key, _ = make_api_key(name="laptop")
    watch = Watch(key)
    key.revoke(by=make_user("alice"))
    assert watch.said() == (
        "key_revoked",
        f"The API key 'laptop' ({key.prefix}…) was revoked by the administrator alice, "
        "which ended this request.",
    )


def test_a_key_that_was_revoked_before_the_first_look_ends_its_requests() -> None:
    key, _ = make_api_key()
    key.revoke()
    assert set(LiveKeys().ended({(key.prefix, 1)})) == {(key.prefix, 1)}


def test_a_request_that_an_ended_key_still_has_ends_at_every_look() -> None:
    key, _ = make_api_key()
    watch = Watch(key)
    key.revoke()
    assert watch.code == watch.code == "key_revoked"


def test_an_expired_key_says_when() -> None:
    key, _ = make_api_key(name="laptop")
    watch = Watch(key)
    ApiKey.objects.update(expires_at="2026-01-02T03:04:05Z")
    code, sentence = watch.said()
    assert code == "key_expired"
    assert "expired at 2026-01-02 03:04:05 UTC, which ended this request" in sentence


def test_a_key_that_expires_without_a_change_ends_its_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = timezone.now()
    key, _ = make_api_key(expires_at=now + timedelta(minutes=1))
    watch = Watch(key)
    monkeypatch.setattr(timezone, "now", lambda: now + timedelta(minutes=1, seconds=1))
    assert watch.code == "key_expired"


def test_a_deleted_key_ends_its_requests() -> None:
    key, _ = make_api_key()
    watch = Watch(key)
    key.delete()
    assert watch.code == "key_deleted"


def test_a_key_whose_owner_is_deactivated_ends_its_requests() -> None:
    owner = make_user()
    key, _ = make_api_key(owner)
    watch = Watch(key)
    owner.is_active = False
    owner.save()
    assert watch.code == "key_owner_inactive"


def test_a_key_that_loses_the_model_or_the_scope_ends_its_requests() -> None:
    used, other = make_model(), make_model()
    key, _ = make_api_key(models=[used, other])
    watch, watch_other = Watch(key, used.pk), Watch(key, other.pk)
    key.allowed_models.remove(used)
    assert watch.code == "key_restricted"
    assert watch_other.code == ""
    ApiKey.objects.update(scopes=[Scope.MODELS])
    assert watch_other.code == "key_restricted"


def test_a_key_whose_model_is_put_in_the_place_of_another_is_noticed() -> None:
    used, other = make_model(), make_model()
    key, _ = make_api_key(models=[used])
    watch = Watch(key, used.pk)
    key.allowed_models.set([other])
    assert watch.code == "key_restricted"


def test_a_key_that_loses_the_right_to_all_models_ends_its_requests() -> None:
    key, _ = make_api_key()
    watch = Watch(key)
    ApiKey.objects.update(all_models=False)
    assert watch.code == "key_restricted"


def test_many_keys_are_looked_up_at_once(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    live, keys = LiveKeys(), [make_api_key()[0] for _ in range(20)]
    uses = {(key.prefix, 1) for key in keys}
    with django_assert_num_queries(3):
        assert not live.ended(uses)
    # Nothing has changed, as at most looks.
    with django_assert_num_queries(1):
        assert not live.ended(uses)
    ApiKey.objects.update(notes=F("name"), last_used_at=timezone.now())
    with django_assert_num_queries(1):
        assert not live.ended(uses)
    keys[3].revoke()
    with django_assert_num_queries(3):
        assert set(live.ended(uses)) == {(keys[3].prefix, 1)}


def test_a_key_of_an_owner_who_left_its_team_ends_its_requests() -> None:
    owner = make_user()
    team = make_team("red", owner)
    key, _ = make_api_key(owner, team=team)
    watch = Watch(key)
    team.group.user_set.remove(owner)
    assert watch.code == "key_owner_left_team"


def test_a_model_that_a_team_may_no_longer_use_ends_its_requests() -> None:
    owner, model = make_user(), make_model()
    team = make_team("red", owner, all_models=False)
    team.allowed_models.add(model)
    key, _ = make_api_key(owner, team=team)
    watch = Watch(key, model.pk)
    team.allowed_models.clear()
    assert watch.code == "key_restricted"


def test_a_key_that_is_moved_to_a_team_with_fewer_models_ends_its_requests() -> None:
    owner, model = make_user(), make_model()
    team = make_team("red", owner, all_models=False)
    key, _ = make_api_key(owner)
    watch = Watch(key, model.pk)
    ApiKey.objects.update(team=team)
    assert watch.code == "key_restricted"


def test_a_team_that_loses_the_right_to_all_models_ends_its_requests() -> None:
    owner, model = make_user(), make_model()
    team = make_team("red", owner)
    key, _ = make_api_key(owner, team=team)
    watch = Watch(key, model.pk)
    type(team).objects.update(all_models=False)
    assert watch.code == "key_restricted"
