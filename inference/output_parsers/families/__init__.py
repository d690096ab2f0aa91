"""Model families: one module a family, and the list by which they are detected.

To add a family, copy the module that is most like it, say in it which models it is
for, how they write a call and where that is known from, and add one line to
``_BY_TEMPLATE``. Add what the model writes to
tests/inference/output_parsers/transcripts.py; the tests that hold for every output
parser find the new one by themselves.

The modules name the function of llama.cpp's common/chat.cpp that handles the same
format. Later releases derive many of these formats from the chat template
instead (common/chat-auto-parser.h); then look at an older release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.output_parsers.families.apertus import APERTUS
from inference.output_parsers.families.apriel import APRIEL
from inference.output_parsers.families.command_r import COMMAND_R
from inference.output_parsers.families.deepseek import DEEPSEEK_V3, DEEPSEEK_V31
from inference.output_parsers.families.deepseek_v32 import (
    DEEPSEEK_V4,
    DEEPSEEK_V32,
    DSML,
)
from inference.output_parsers.families.functionary_v31 import FUNCTIONARY_V31
from inference.output_parsers.families.functionary_v32 import FUNCTIONARY_V32
from inference.output_parsers.families.gemma4 import GEMMA4
from inference.output_parsers.families.gigachat import GIGACHAT3, GIGACHAT31
from inference.output_parsers.families.glm45 import GLM45
from inference.output_parsers.families.granite import GRANITE
from inference.output_parsers.families.harmony import HARMONY
from inference.output_parsers.families.hermes import HERMES
from inference.output_parsers.families.hunyuan3 import HUNYUAN3
from inference.output_parsers.families.kimi_k2 import KIMI_K2
from inference.output_parsers.families.kimi_k3 import KIMI_K3
from inference.output_parsers.families.lfm2 import LFM2
from inference.output_parsers.families.llama3 import LLAMA3
from inference.output_parsers.families.llama4 import LLAMA4
from inference.output_parsers.families.minicpm5 import MINICPM5
from inference.output_parsers.families.minimax_m2 import MINIMAX_M2
from inference.output_parsers.families.minimax_m3 import MINIMAX_M3
from inference.output_parsers.families.mistral import MISTRAL, MISTRAL_V11
from inference.output_parsers.families.muse_glimmer import MUSE_GLIMMER
from inference.output_parsers.families.nemotron_v2 import NEMOTRON_V2
from inference.output_parsers.families.plain_json import PLAIN_JSON
from inference.output_parsers.families.qwen3_coder import QWEN3_CODER
from inference.output_parsers.families.seed_oss import SEED_OSS
from inference.output_parsers.families.solar_open import SOLAR_OPEN

if TYPE_CHECKING:
    from inference.output_parsers.output_parser import OutputParser

#: Every family, by the texts that its chat template contains. All texts of a line must
#: be there. The first match counts, so a line whose texts other templates also contain
#: comes after those.
_BY_TEMPLATE: tuple[tuple[tuple[str, ...], OutputParser], ...] = (
    (("<|channel|>", "<|message|>"), HARMONY),
    (("<atem:function_calls>", "<|message|>"), MUSE_GLIMMER),
    (("<|tool_call:begin|>", "<|tool_call:args|>"), SOLAR_OPEN),
    (("<|open|>", "<|close|>", "<|end_of_msg|>"), KIMI_K3),
    (("<|role_sep|>", "<|function_call|>"), GIGACHAT31),
    (("<|role_sep|>", "function call"), GIGACHAT3),
    (("<tool_sep", "<arg_key", ":opensource"), HUNYUAN3),
    (('<function name="', '<param name="'), MINICPM5),
    (("[BEGIN FINAL RESPONSE]", "<tool_calls>"), APRIEL),
    (("<seed:tool_call>",), SEED_OSS),
    ((DEEPSEEK_V3.framing.begin, "```json"), DEEPSEEK_V3),
    ((DEEPSEEK_V31.framing.begin,), DEEPSEEK_V31),
    ((DSML, "function_calls>"), DEEPSEEK_V32),
    ((DSML, "tool_calls>"), DEEPSEEK_V4),
    (("<|tool_calls_section_begin|>",), KIMI_K2),
    (("<|tool_call>call:",), GEMMA4),
    (("<|channel>thought",), GEMMA4),
    (("<|tool_call_start|>",), LFM2),
    (("<|tool_list_start|>",), LFM2),
    (("List of tools: [",), LFM2),
    (("<TOOLCALL>",), NEMOTRON_V2),
    (("<|tools_prefix|>",), APERTUS),
    (("<minimax:tool_call>",), MINIMAX_M2),
    (("[TOOL_CALLS]", "[ARGS]"), MISTRAL_V11),
    (("[TOOL_CALLS]",), MISTRAL),
    (("<|START_ACTION|>",), COMMAND_R),
    (("<|START_RESPONSE|>",), COMMAND_R),
    ((">>>all",), FUNCTIONARY_V32),
    (("<function=", "<|python_tag|>"), FUNCTIONARY_V31),
    (("<arg_key>",), GLM45),
    (("<function=", "<parameter="), QWEN3_CODER),
    (("<|tool_call|>",), GRANITE),
    # MiniMax M3 has Hermes' tag too.
    (("]<]minimax[>[",), MINIMAX_M3),
    (("<tool_call>",), HERMES),
    (("<tool_calls>",), HERMES),
    (("<|python_tag|>",), LLAMA3),
    (("<|start_header_id|>", '"parameters": '), LLAMA3),
    (("<|python_start|>",), LLAMA4),
    (("<|header_start|>", '"parameters": '), LLAMA4),
    (("<|header_start|>", "[func_name1("), LLAMA4),
)

#: Families of models whose template may not show their format, by GGUF architecture.
_BY_ARCHITECTURE = {"gpt-oss": HARMONY}

OUTPUT_PARSERS: dict[str, OutputParser] = {
    parser.name: parser for parser in (*(p for _, p in _BY_TEMPLATE), PLAIN_JSON)
}


def detect(chat_template: str, architecture: str = "") -> OutputParser:
    """Return the output parser for a chat template.

    PLAIN_JSON if the template has no tools, or writes calls in an unknown format. Then
    the template gets no tools, and ``plain_json.instructions`` go into the system
    message.
    """
    for texts, parser in _BY_TEMPLATE:
        if all(text in chat_template for text in texts):
            return parser
    return _BY_ARCHITECTURE.get(architecture, PLAIN_JSON)
