"""Tools whose input is a text with a grammar, in the formats of model families."""

from __future__ import annotations

import json

import pytest

from inference.api.chat.strict_tools import strict_grammar
from inference.api.chat.tool_grammar import answer_grammar
from inference.api.chat.tool_use import ToolUse
from inference.api.errors import BadRequest
from inference.engine.structured_output import grammars
from inference.engine.structured_output.control_tokens import resolve_control_tokens
from inference.output_parsers.families import OUTPUT_PARSERS
from inference.prompts.chat import Prompt
from inference.prompts.messages import Tool
from tests.inference.engine.structured_output.recogniser import allows
from tests.inference.engine.structured_output.test_quoting import GOOD_PATCH, PATCH

PATCHES = Tool(
    "apply_patch",
    parameters={
        "type": "object",
        "properties": {"input": {"type": "string"}},
        "required": ["input"],
        "additionalProperties": False,
    },
    strict=True,
    input_grammar=grammars.text_in_json(PATCH).source,
)
SHELL = Tool("shell", parameters={"type": "object", "properties": {}})
#: Families whose calls have their arguments as JSON.
IN_JSON = [
    name
    for name, parser in OUTPUT_PARSERS.items()
    if parser.framing.notation is None and parser.framing.parameter is None
]


def grammar_of(family: str, *, must_call: bool) -> str:
    """Return the grammar of an answer that may or must call one of the tools."""
    prompt = Prompt("", has_bos=False, output_parser=OUTPUT_PARSERS[family])
    tools = (PATCHES, SHELL)
    use = ToolUse(tools, tools, must_call=must_call)
    grammar = (
        answer_grammar(prompt, use, None).grammar
        if must_call
        else strict_grammar(prompt, use)
    )
    assert grammar is not None
    return resolve_control_tokens(grammar, {})


def call(family: str, name: str, **arguments: str) -> str:
    return OUTPUT_PARSERS[family].framing.write([(name, arguments)])


@pytest.mark.parametrize("must_call", [True, False])
@pytest.mark.parametrize("family", IN_JSON)
def test_the_text_of_a_call_matches_its_grammar(family: str, must_call: bool) -> None:
    grammar = grammar_of(family, must_call=must_call)

    good = call(family, "apply_patch", input=GOOD_PATCH)
    assert json.dumps(GOOD_PATCH, ensure_ascii=False) in good
    assert allows(grammar, good), good
    assert not allows(grammar, call(family, "apply_patch", input="rm -rf"))
    assert not allows(grammar, call(family, "apply_patch", input=GOOD_PATCH[:-1]))
    assert allows(grammar, call(family, "shell"))


@pytest.mark.parametrize("family", sorted(set(OUTPUT_PARSERS) - set(IN_JSON)))
def test_a_format_without_json_refuses_it_by_name(family: str) -> None:
    with pytest.raises(BadRequest, match=r"'apply_patch' cannot be made to match"):
        grammar_of(family, must_call=True)
