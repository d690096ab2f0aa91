"""Llama 3.1, 3.2 and 3.3: a JSON object, or a built-in tool after a tag.

    {"name": NAME, "parameters": {…}}
    <|python_tag|>{"name": NAME, "parameters": {…}}; {…}
    <|python_tag|>NAME.call(KEY="VALUE", …)
    <|python_tag|>CODE

Built-in tools are called like functions; ``python`` gets bare code. Code is a call if
the request has a tool named python, ipython or code_interpreter with one parameter.

Source: the chat templates of meta-llama/Llama-3.1-8B-Instruct and
Llama-3.2-3B-Instruct; models/llama3_1/prompt_format.md of meta-llama/llama-models;
llama.cpp's ``common_chat_params_init_llama_3_x``.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from inference.output_parsers import json_text
from inference.output_parsers.bare_calls import BareJson
from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.output_parser import OutputParser
from inference.output_parsers.parameters import ObjectWriter, members
from inference.output_parsers.text_scanner import Delimiters

if TYPE_CHECKING:
    from inference.output_parsers.text_scanner import Parse, Sink, TextScanner
    from inference.output_parsers.writer import DeltaWriter

PYTHON_TAG = "<|python_tag|>"
_PYTHON = ("python", "ipython", "code_interpreter")
_CALL = ".call("
_WORD = re.compile(r"\w*")


def read_python_tag(scanner: TextScanner, writer: DeltaWriter, tag: str) -> Parse[None]:
    """Read what follows the tag: a call of a built-in tool, or code."""
    call = yield from scanner.accept(*(name + _CALL for name in writer.tools))
    if call:
        scanner.forget()
        writer.begin(call.removesuffix(_CALL))
        yield from _read_keywords(scanner, writer)
    else:
        yield from _read_code(scanner, writer)


def _read_keywords(scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
    """Read ``KEY=VALUE, …)``, the values as JSON."""
    before_key = "{"
    while key := (yield from scanner.run(_WORD)):
        writer.arguments(f'{before_key}"{key}": ')
        before_key = ", "
        is_assigned = yield from scanner.accept("=")
        if not is_assigned or not (
            yield from json_text.copy_value(scanner, writer.arguments)
        ):
            yield from scanner.until(Delimiters(), writer.arguments)
        yield from scanner.space()
        yield from scanner.accept(",")
        yield from scanner.space()
    if (yield from scanner.accept(")")):
        writer.arguments("{}" if before_key == "{" else "}")
    writer.end()


def _read_code(scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
    """Read the rest as the code of a call, where there is a tool for it."""
    for name in _PYTHON:
        keys = list(members(writer.tools.get(name, {})))
        if len(keys) == 1:
            scanner.forget()
            writer.begin(name)
            arguments = ObjectWriter(writer, name)
            yield from arguments.write(keys[0], partial(_read_rest, scanner))
            arguments.close()
            writer.end()
            return


def _read_rest(scanner: TextScanner, sink: Sink) -> Parse[bool]:
    yield from scanner.until(Delimiters(), sink)
    return True


LLAMA3 = OutputParser(
    "llama3",
    BareJson(silent=(PYTHON_TAG,), read_code=read_python_tag).read,
    preserved_tokens=(PYTHON_TAG, "<think>", "</think>"),
    framing=Framing(PairFraming('{"name": "', '", "parameters": ', "}")),
    call_starts=("\n", PYTHON_TAG),
)
