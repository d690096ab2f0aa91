"""Keys that may change models, and a hub."""

from __future__ import annotations

import pytest

from accounts.models import Scope
from tests.factories import make_api_key, make_user
from tests.hub_fixtures import hub as hub
from tests.hub_fixtures import models_dir as models_dir
from tests.hub_fixtures import tiny_repo as tiny_repo
from tests.inference.api.conftest import Api


@pytest.fixture
def models_api() -> Api:
    """The API with a key that may change models."""
    scopes = [Scope.INFERENCE, Scope.MODELS]
    return Api(make_api_key(make_user("ada"), scopes=scopes)[1])
