"""Changes that touch several rows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from accounts.models import ApiKey
from accounts.models.allowed_networks import parse_networks
from accounts.services import api_key_create, api_key_rotate
from tests.factories import make_api_key, make_model, make_team, make_user

pytestmark = pytest.mark.django_db


def test_a_key_comes_with_its_models() -> None:
    models = [make_model(), make_model()]

    key, secret = api_key_create(
        name="laptop", owner=make_user(), scopes=["inference"], models=models
    )

    assert secret.startswith(key.prefix)
    assert set(key.allowed_models.all()) == set(models)


@pytest.mark.parametrize("scopes", [[], ["root"], ["inference", "root"]])
def test_unknown_scopes_make_no_key(scopes: list[str]) -> None:
    with pytest.raises(ValidationError):
        api_key_create(name="laptop", owner=make_user(), scopes=scopes, models=None)

    assert not ApiKey.objects.exists()


def test_unknown_models_make_no_key() -> None:
    class Broken:
        def __iter__(self) -> Any:
            raise RuntimeError("no models")

    with pytest.raises(RuntimeError):
        api_key_create(
            name="laptop", owner=make_user(), scopes=["inference"], models=Broken()
        )

    assert not ApiKey.objects.exists()


# Rotation -----------------------------------------------------------------------


def test_a_rotated_key_has_all_of_the_old_one_and_both_work() -> None:
    owner, model = make_user(), make_model()
    team = make_team("red", owner)
    old, _ = make_api_key(
        owner,
        name="laptop",
        models=[model],
        team=team,
        weight=2.0,
        rate_limit=7,
        allowed_networks=["10.0.0.0/8"],
        notes="for anna",
    )

    new, secret = api_key_rotate(key=old, grace=timedelta(days=1), by=owner)

    old.refresh_from_db()
    assert secret.startswith(new.prefix)
    assert new.prefix != old.prefix
    assert (new.rotated_from, new.created_by) == (old, owner)
    for name in ("name", "owner", "team", "weight", "rate_limit", "notes"):
        assert getattr(new, name) == getattr(old, name)
    assert new.allowed_networks == ["10.0.0.0/8"]
    assert list(new.allowed_models.all()) == [model]
    assert new.expires_at is None
    assert old.is_usable
    assert old.expires_at is not None
    assert timedelta(hours=23) < old.expires_at - timezone.now() <= timedelta(days=1)


def test_without_a_grace_period_the_old_key_is_revoked() -> None:
    old, _ = make_api_key()
    new, _ = api_key_rotate(key=old, grace=timedelta(0))
    old.refresh_from_db()
    assert (old.is_active, new.is_active) == (False, True)


def test_a_grace_period_does_not_prolong_a_key() -> None:
    end = timezone.now() + timedelta(hours=1)
    old, _ = make_api_key(expires_at=end)
    new, _ = api_key_rotate(key=old, grace=timedelta(days=1))
    old.refresh_from_db()
    assert (old.expires_at, new.expires_at) == (end, end)


def test_limits_count_the_old_and_the_new_key_as_one() -> None:
    first, _ = make_api_key()
    second, _ = api_key_rotate(key=first, grace=timedelta(days=1))
    third, _ = api_key_rotate(key=second, grace=timedelta(days=1))
    assert first.lineage == second.lineage == third.lineage == first.prefix


def test_a_key_that_has_ended_is_not_rotated() -> None:
    revoked, _ = make_api_key()
    revoked.revoke()
    with pytest.raises(ValidationError, match="create a key instead"):
        api_key_rotate(key=revoked, grace=timedelta(days=1))
    usable, _ = make_api_key()
    with pytest.raises(ValidationError, match="at most 90 days"):
        api_key_rotate(key=usable, grace=timedelta(days=91))
    assert ApiKey.objects.count() == 2


# Teams and networks ---------------------------------------------------------------


def test_the_owner_of_a_teams_key_must_be_a_member() -> None:
    team = make_team("red")
    with pytest.raises(ValidationError, match="not a member of the team 'red'"):
        api_key_create(
            name="x", owner=make_user(), team=team, scopes=["inference"], models=None
        )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("10.0.0.1/8", "in the network 10.0.0.0/8"),
        ("home", "is no network"),
        ("10.0.0.0/33", "is no network"),
    ],
)
def test_what_is_no_network_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        parse_networks(text)


def test_networks_may_be_written_in_several_ways() -> None:
    assert parse_networks("10.0.0.0/8, 192.0.2.1\n2001:DB8::/32") == [
        "10.0.0.0/8",
        "192.0.2.1/32",
        "2001:db8::/32",
    ]
    with pytest.raises(ValidationError, match=r"as 192\.0\.2\.1/32"):
        make_api_key(allowed_networks=["192.0.2.1"])
