"""Muse Glimmer: messages to recipients; one to a tool has its call between tags.

     to=self<|message|>REASONING<|eom|>
    <|start|>assistant to=user<|message|>CONTENT<|eom|>
    <|start|>assistant to=NAME<|message|><atem:function_calls>
    <atem:invoke name="NAME">
    <atem:parameter name="KEY">VALUE</atem:parameter>
    </atem:invoke>
    </atem:function_calls><|eot|>

(with line breaks in calls only). The prompt ends with ``<|start|>assistant``. Tags in a
message to the user are text.

Source: llama.cpp's muse-glimmer.jinja and ``common_chat_params_init_muse_glimmer``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.notations.pair_framing import NAME
from inference.output_parsers.output_parser import OutputParser
from inference.output_parsers.reasoning import ReasoningTags
from inference.output_parsers.tagged_calls import ArgumentTags
from inference.output_parsers.text_scanner import Delimiters

if TYPE_CHECKING:
    from inference.output_parsers.text_scanner import Parse, TextScanner
    from inference.output_parsers.writer import DeltaWriter

_START = "<|start|>"
_MESSAGE = "<|message|>"
_ENDS = ("<|eom|>", "<|eot|>")
_CALLS = "<atem:function_calls>"
_CALL = '<atem:invoke name="'
_TAGS = (_START, _MESSAGE, *_ENDS)

_ANY_TAG = Delimiters(*_TAGS)
_BODY_END = Delimiters(_START, *_ENDS)
_RECIPIENT = re.compile(r"[^\s<]*")
_ARGUMENTS = ArgumentTags(
    key=('<atem:parameter name="', '">'),
    value=("", "</atem:parameter>"),
    end=("</atem:invoke>", "</atem:function_calls>"),
)


def _read(scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
    while (yield from scanner.peek()):
        scanner.remember()
        recipient = yield from _read_header(scanner)
        if recipient is None:
            writer.content(_ANY_TAG.removed_from(scanner.recall()))
            yield from _read_calls(scanner, writer)
            yield from scanner.until(_ANY_TAG, writer.content)
        else:
            scanner.forget()
            writer.separate()
            yield from _read_body(scanner, writer, recipient)
        yield from scanner.accept(*_ENDS)


def _read_header(scanner: TextScanner) -> Parse[str | None]:
    """Return the recipient of the message that begins here, None if none begins."""
    yield from scanner.space()
    yield from scanner.accept(_START)
    yield from scanner.accept("assistant")
    yield from scanner.space()
    recipient = "user"
    if (yield from scanner.accept("to=")):
        recipient = yield from scanner.run(_RECIPIENT)
    is_header = yield from scanner.accept(_MESSAGE)
    return recipient if is_header else None


def _read_body(
    scanner: TextScanner, writer: DeltaWriter, recipient: str
) -> Parse[None]:
    if recipient == "self":
        writer.is_reasoning = True
        yield from scanner.until(_BODY_END, writer.reasoning)
        writer.is_reasoning = False
        return
    if recipient != "user":
        yield from _read_calls(scanner, writer)
    yield from scanner.until(_BODY_END, writer.content)


def _read_calls(scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
    while True:
        scanner.remember()
        yield from scanner.space()
        yield from scanner.accept(_CALLS)
        yield from scanner.space()
        name = ""
        if (yield from scanner.accept(_CALL)):
            name = yield from scanner.accept(*writer.tools)
        if not name or not (yield from scanner.accept('">')):
            writer.content(scanner.recall())
            return
        scanner.forget()
        writer.begin(name)
        yield from _ARGUMENTS.read(scanner, writer, name)


MUSE_GLIMMER = OutputParser(
    "muse_glimmer",
    _read,
    preserved_tokens=_TAGS,
    framing=Framing(
        PairFraming(
            " to=",
            f'{_MESSAGE}{_CALLS}\n{_CALL}{NAME}">\n',
            "</atem:invoke>\n</atem:function_calls>",
        ),
        separator=f"<|eom|>{_START}assistant",
        parameter=PairFraming('<atem:parameter name="', '">', "</atem:parameter>\n"),
        after_reasoning=f"{_START}assistant",
        before_content=f" to=user{_MESSAGE}",
    ),
    reasoning=ReasoningTags(
        (f" to=self{_MESSAGE}", f"to=self{_MESSAGE}"),
        _ENDS,
        stops=(_START,),
        may_recur=True,
    ),
    call_starts=("to=", _CALLS),
)
