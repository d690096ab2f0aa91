"""Which models hear: what their projectors' headers say."""

from __future__ import annotations

import pytest

from registry.model_facts import hears
from registry.models import Kind
from tests.factories import make_model

pytestmark = pytest.mark.django_db

STACKED = "clip.audio.projector.stack_factor"


def hears_with(**header: object) -> bool:
    metadata = {"clip.has_audio_encoder": True, **header}
    projector = make_model("ears", kind=Kind.PROJECTOR, metadata=metadata)
    return hears(make_model("tiny", projector=projector))


@pytest.mark.parametrize("stacked", [1, 2, 4, 30])
def test_a_projector_of_stacked_frames_makes_a_model_hear(stacked: int) -> None:
    assert hears_with(**{STACKED: stacked})


# llama.cpp would end the worker at the first sound.
@pytest.mark.parametrize("stacked", [8, 0, -1, 2**40, "4", True, None])
def test_a_projector_whose_tokens_llama_cpp_miscounts_does_not(stacked: object) -> None:
    assert not hears_with(**{STACKED: stacked})
