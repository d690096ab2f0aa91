"""GigaChat 3 and 3.1: one call as a JSON object, after a role or after a mark.

    CONTENT<|message_sep|>

    function call<|role_sep|>
    {"name": NAME, "arguments": {…}}

3.1::

    CONTENT<|function_call|>{"name": NAME, "arguments": {…}}

The templates show the first call of a message only.

Source: the chat templates of ai-sage/GigaChat3-10B-A1.8B and GigaChat3.1-10B-A1.8B;
llama.cpp's ``common_chat_params_init_gigachat_v3``.
"""

from __future__ import annotations

from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.json_calls import TaggedJson
from inference.output_parsers.output_parser import OutputParser

_MESSAGE_END = "<|message_sep|>"
_ROLE_END = "<|role_sep|>"
_MARK = "<|function_call|>"
_ROLE = f"function call{_ROLE_END}"
_TAGS = (_MESSAGE_END, _ROLE_END, _MARK)
_READER = TaggedJson(begin=(_MARK, _ROLE), silent=_TAGS)


def _parser(name: str, opener: str, space: str) -> OutputParser:
    return OutputParser(
        name,
        _READER.read,
        preserved_tokens=(*_TAGS, "<think>", "</think>"),
        framing=Framing(
            PairFraming(f'{opener}{space}{{"name": "', '", "arguments": ', "}"),
            openers=tuple(dict.fromkeys((opener, _MARK, _ROLE))),
        ),
    )


GIGACHAT3 = _parser("gigachat3", f"{_MESSAGE_END}\n\n{_ROLE}", "\n")
GIGACHAT31 = _parser("gigachat31", _MARK, "")
