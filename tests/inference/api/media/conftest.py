"""A model that sees, or hears."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registry.models import Kind
from tests.factories import make_model
from tests.inference.api.conftest import CHATML

if TYPE_CHECKING:
    from registry.models import Model


@pytest.fixture
def seeing(model: Model) -> Model:
    """The model ``tiny``, which sees."""
    model.projector = make_model(
        kind=Kind.PROJECTOR, metadata={"clip.has_vision_encoder": True}
    )
    model.chat_template = CHATML
    model.save()
    return model


@pytest.fixture
def hearing(model: Model) -> Model:
    """The model ``tiny``, which hears and does not see."""
    model.projector = make_model(
        kind=Kind.PROJECTOR, metadata={"clip.has_audio_encoder": True}
    )
    model.chat_template = CHATML
    model.save()
    return model
