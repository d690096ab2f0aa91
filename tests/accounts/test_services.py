"""Changes that touch several rows."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from accounts.models import ApiKey
from accounts.services import api_key_create
from tests.factories import make_model, make_user

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
        api_key_create(name="laptop", owner=make_user(), scopes=scopes)

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
