"""Which parser a model speaks: told by its chat template, by data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.output_parsers.families.command_r import COMMAND_R
from inference.output_parsers.families.deepseek import DEEPSEEK_V3, DEEPSEEK_V31
from inference.output_parsers.families.functionary_v31 import (
    FUNCTIONARY_V31,
    FUNCTIONARY_V32,
)
from inference.output_parsers.families.glm45 import GLM45
from inference.output_parsers.families.granite import GRANITE
from inference.output_parsers.families.harmony import HARMONY
from inference.output_parsers.families.hermes import HERMES
from inference.output_parsers.families.kimi_k2 import KIMI_K2
from inference.output_parsers.families.llama3 import LLAMA3
from inference.output_parsers.families.mistral import MISTRAL, MISTRAL_V11
from inference.output_parsers.families.plain_json import PLAIN_JSON
from inference.output_parsers.families.qwen3_coder import QWEN3_CODER, SEED_OSS

if TYPE_CHECKING:
    from inference.output_parsers.output_parser import OutputParser

#: What templates contain that are written in a parser: all of it. The first that
#: fits counts, so the more telling stand before those that others contain too.
_TELL_TALES: tuple[tuple[tuple[str, ...], OutputParser], ...] = (
    (("<|channel|>", "<|message|>"), HARMONY),
    (("<seed:tool_call>",), SEED_OSS),
    ((DEEPSEEK_V3.framing.begin, "```json"), DEEPSEEK_V3),
    ((DEEPSEEK_V31.framing.begin,), DEEPSEEK_V31),
    (("<|tool_calls_section_begin|>",), KIMI_K2),
    (("[TOOL_CALLS]", "[ARGS]"), MISTRAL_V11),
    (("[TOOL_CALLS]",), MISTRAL),
    (("<|START_ACTION|>",), COMMAND_R),
    (("<|START_RESPONSE|>",), COMMAND_R),
    ((">>>all",), FUNCTIONARY_V32),
    (("<function=", "<|python_tag|>"), FUNCTIONARY_V31),
    (("<arg_key>",), GLM45),
    (("<function=", "<parameter="), QWEN3_CODER),
    (("<|tool_call|>",), GRANITE),
    # MiniMax M3 has the tag too, and a format of its own.
    (("]<]minimax[>[",), PLAIN_JSON),
    (("<tool_call>",), HERMES),
    (("<tool_calls>",), HERMES),
    (("<|python_tag|>",), LLAMA3),
    (("<|start_header_id|>", '"parameters": '), LLAMA3),
)

#: Models that speak a parser whatever their template says, by GGUF architecture.
_ARCHITECTURES = {"gpt-oss": HARMONY}

OUTPUT_PARSERS: dict[str, OutputParser] = {
    parser.name: parser
    for parser in (
        HERMES,
        QWEN3_CODER,
        SEED_OSS,
        LLAMA3,
        MISTRAL,
        MISTRAL_V11,
        FUNCTIONARY_V31,
        FUNCTIONARY_V32,
        COMMAND_R,
        DEEPSEEK_V3,
        DEEPSEEK_V31,
        GLM45,
        KIMI_K2,
        HARMONY,
        GRANITE,
        PLAIN_JSON,
    )
}


def detect(chat_template: str, architecture: str = "") -> OutputParser:
    """Return the parser of a template.

    PLAIN_JSON if it knows no tools, or writes them in a way that is not known
    here: then the template is not to be given any, and the system message gets
    ``plain_json.instructions`` instead.
    """
    for fragments, parser in _TELL_TALES:
        if all(fragment in chat_template for fragment in fragments):
            return parser
    return _ARCHITECTURES.get(architecture, PLAIN_JSON)
