"""DeepSeek V3.2 and V4: each argument between tags that say whether it is text.

    <｜DSML｜function_calls>
    <｜DSML｜invoke name="NAME">
    <｜DSML｜parameter name="KEY" string="true">TEXT</｜DSML｜parameter>
    <｜DSML｜parameter name="KEY" string="false">JSON</｜DSML｜parameter>
    </｜DSML｜invoke>
    </｜DSML｜function_calls>

V4 has ``tool_calls`` for ``function_calls``.

Source: encoding/README.md of deepseek-ai/DeepSeek-V3.2; llama.cpp's
``common_chat_params_init_deepseek_v3_2`` (common/parsers/deepseek.cpp).
"""

from __future__ import annotations

from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.output_parser import OutputParser
from inference.output_parsers.reasoning import ReasoningTags
from inference.output_parsers.tagged_calls import ArgumentTags
from inference.output_parsers.tagged_functions import Invocations

DSML = "｜DSML｜"
_BLOCKS = ("function_calls", "tool_calls")
_INVOKE = f'<{DSML}invoke name="'
_INVOKE_END = f"</{DSML}invoke>"
_KEY = f'<{DSML}parameter name="'
_TEXT = '" string="true">'
_JSON = '" string="false">'
_VALUE_END = f"</{DSML}parameter>"
_CALLS = Invocations(
    _INVOKE,
    ArgumentTags(
        key=(_KEY, '">'),
        value=("", _VALUE_END),
        end=(_INVOKE_END,),
        before_text=_TEXT,
        before_json=_JSON,
    ),
    around=tuple(f"<{slash}{DSML}{each}>" for each in _BLOCKS for slash in ("", "/")),
)


def _parser(name: str, block: str) -> OutputParser:
    begin = f"<{DSML}{block}>"
    return OutputParser(
        name,
        _CALLS.read,
        preserved_tokens=(DSML, "<think>", "</think>"),
        framing=Framing(
            PairFraming(_INVOKE, '">\n', _INVOKE_END),
            begin=f"{begin}\n",
            separator="\n",
            end=f"\n</{DSML}{block}>",
            parameter=PairFraming(
                _KEY,
                _JSON,
                f"{_VALUE_END}\n",
                for_strings=PairFraming(_KEY, _TEXT, f"{_VALUE_END}\n"),
            ),
            openers=(begin, _INVOKE),
        ),
        reasoning=ReasoningTags(("<think>",), ("</think>",)),
    )


DEEPSEEK_V32 = _parser("deepseek_v32", "function_calls")
DEEPSEEK_V4 = _parser("deepseek_v4", "tool_calls")
