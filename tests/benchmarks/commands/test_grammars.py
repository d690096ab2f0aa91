"""The grammars that engines are compared by."""

from __future__ import annotations

import pytest

from benchmarks.commands.grammars import GRAMMARS
from inference.engine.structured_output import grammars
from tests.inference.engine.structured_output.recogniser import allows


@pytest.mark.parametrize("name", GRAMMARS)
def test_each_text_matches_its_grammar(name: str) -> None:
    source, text = GRAMMARS[name]
    assert allows(grammars.gbnf(source), text)
