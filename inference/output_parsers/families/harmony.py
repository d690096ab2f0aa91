"""gpt-oss: OpenAI's Harmony format, messages on channels.

    <|channel|>analysis<|message|>REASONING<|end|>
    <|start|>assistant<|channel|>commentary to=functions.NAME <|constrain|>json
    <|message|>{…}<|call|>
    <|start|>assistant<|channel|>final<|message|>CONTENT<|return|>

(without these line breaks). The recipient may stand before or after the channel.
``commentary`` without a recipient is text for the user. The models also call on other
channels, leave out ``functions.`` or repeat the channel, as the parsers of llama.cpp
and vLLM have seen. A message to a recipient that is not a tool of the request counts
as text of its channel.

Source: docs/format.md of openai/harmony; llama.cpp's
``common_chat_params_init_gpt_oss``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.json_calls import read_arguments
from inference.output_parsers.output_parser import OutputParser
from inference.output_parsers.reasoning import ReasoningTags
from inference.output_parsers.text_scanner import Delimiters

if TYPE_CHECKING:
    from inference.output_parsers.text_scanner import Parse, TextScanner
    from inference.output_parsers.writer import DeltaWriter

_START = "<|start|>"
_CHANNEL = "<|channel|>"
_CONSTRAIN = "<|constrain|>"
_MESSAGE = "<|message|>"
_ENDS = ("<|end|>", "<|call|>", "<|return|>")
_TAGS = (_START, _CHANNEL, _CONSTRAIN, _MESSAGE, *_ENDS)

_ANY_TAG = Delimiters(*_TAGS)
_BODY_END = Delimiters(_START, _CHANNEL, *_ENDS)
_WORD = re.compile(r"[^\s<]*")
_CHANNEL_NAME = re.compile(r"<\|channel\|>\s*(\w+)")
_RECIPIENT = re.compile(r"to=(?:functions\.)?([^\s<]+)")


def _read(scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
    while (yield from scanner.peek()):
        scanner.remember()
        header = yield from _read_header(scanner)
        if header is None:
            writer.content(_ANY_TAG.removed_from(scanner.recall()))
            yield from scanner.until(_ANY_TAG, writer.content)
        else:
            scanner.forget()
            writer.separate()
            yield from _read_body(scanner, writer, header)
        yield from scanner.accept(*_ENDS)


def _read_header(scanner: TextScanner) -> Parse[str | None]:
    """Return a message's header, its tag of the message taken too; None: no header.

    Whoever begins a text has written ``<|start|>assistant`` already. A header that
    the end of the text cuts off is one.
    """
    header, latest = "", ""
    while True:
        header += yield from scanner.space()
        tag = yield from scanner.accept(_START, _CHANNEL, _CONSTRAIN, _MESSAGE)
        if tag == _MESSAGE or not (yield from scanner.peek()):
            return header
        word = "" if tag else (yield from scanner.run(_WORD))
        is_known = word.startswith("to=") or word in ("assistant", "json", "code")
        if not tag and not (word and (latest in _TAGS or is_known)):
            return None
        latest = tag or word
        header += latest


def _read_body(scanner: TextScanner, writer: DeltaWriter, header: str) -> Parse[None]:
    recipients = [name for name in _RECIPIENT.findall(header) if name in writer.tools]
    if recipients:
        writer.begin(recipients[-1])
        yield from read_arguments(scanner, writer, _BODY_END)
        return
    channels = _CHANNEL_NAME.findall(header)
    writer.is_reasoning = channels[-1:] == ["analysis"]
    yield from scanner.until(
        _BODY_END, writer.reasoning if writer.is_reasoning else writer.content
    )
    writer.is_reasoning = False


HARMONY = OutputParser(
    "harmony",
    _read,
    preserved_tokens=_TAGS,
    framing=Framing(
        PairFraming(
            f"{_CHANNEL}commentary to=functions.",
            f" {_CONSTRAIN}json{_MESSAGE}",
            "<|call|>",
        ),
        after_reasoning=f"{_START}assistant",
        before_content=f"{_CHANNEL}final{_MESSAGE}",
    ),
    reasoning=ReasoningTags(
        (f"{_CHANNEL}analysis{_MESSAGE}",),
        (*_ENDS, _START),
        stops=(_CHANNEL,),
        may_recur=True,
    ),
)
