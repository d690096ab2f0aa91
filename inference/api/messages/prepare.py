"""Makes the engine's requests of Anthropic's requests, by way of a chat's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from inference.api.chat.prepare import prepare_chat, render_chat
from inference.api.errors import BadRequest
from inference.api.left_out import LeftOut
from inference.api.messages.format import MessageFormat, MessageHeader
from inference.api.messages.translation import translate
from inference.api.parameters.lora import served_name
from inference.engine.request import TokenizationRequest
from inference.errors import RequestRejected
from inference.transport.stream import new_request_id
from registry.model_facts import sound_rate

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.api.media.marks import MarkedPart
    from inference.api.messages.request import MessagesInput, MessagesRequest
    from inference.api.messages.signature import ThinkingSigner
    from inference.api.preparing.caller import Caller
    from inference.api.preparing.completion import PreparedCompletion
    from inference.api.streaming.answer_assembler import ParserSettings
    from inference.engine.sampling.params import SamplingParams
    from registry.model_facts import ModelFacts


@dataclass(frozen=True, slots=True)
class Preparing:
    """What preparing needs beside a body."""

    find_model: Callable[[str], ModelFacts]
    caller: Caller
    signer: ThinkingSigner
    left_out: LeftOut


@dataclass(frozen=True, slots=True)
class CountedPrompt:
    """A prompt to count, and its images and sounds, which are yet to be read."""

    request: TokenizationRequest
    media: tuple[MarkedPart, ...] = ()

    @property
    def shown(self) -> str:
        """The text; the marks in it are others each time."""
        text = self.request.text
        for mark in (self.request.media_marker, self.request.sound_marker):
            text = text.replace(mark, "<media>") if mark else text
        return text


@dataclass(frozen=True, slots=True)
class CountedPrompts:
    """What is counted of a request: its prompt, and the one without edits.

    ``original`` is None if nothing was edited; ``has_edits`` says that edits were asked
    for.
    """

    prompt: CountedPrompt
    original: CountedPrompt | None = None
    has_edits: bool = False


def prepare_count(body: MessagesInput, need: Preparing) -> CountedPrompts:
    """Return the tokenizer requests of a count.

    Raises BadRequest and RequestRejected, with the request's own names of members.
    """
    prompt = _counted(body, need)
    edits = body.context_management
    if edits is None:
        return CountedPrompts(prompt)
    plain = body.model_copy(update={"context_management": None})
    original = _counted(plain, need)
    if original.shown == prompt.shown:
        return CountedPrompts(prompt, has_edits=True)
    return CountedPrompts(prompt, original, has_edits=True)


def _counted(body: MessagesInput, need: Preparing) -> CountedPrompt:
    translation = translate(body, need.signer)
    left_out = LeftOut()
    try:
        asked = render_chat(translation.chat, need.find_model, left_out)
        rate = sound_rate(asked.model)
        marked = asked.marks.of_prompt(asked.prompt.text, rate=rate)
    except (BadRequest, RequestRejected) as error:
        translation.in_words(error)
        raise
    need.left_out.add(*translation.left_out, *translation.of_request(left_out.paths))
    request = TokenizationRequest(
        request_id=new_request_id(),
        text=marked.text,
        add_special_tokens=not asked.prompt.has_bos,
        media_marker=marked.image_mark,
        sound_marker=marked.sound_mark,
    )
    own = translation.own_path
    media = [replace(each, path=own(each.path)) for each in marked.parts]
    return CountedPrompt(request, tuple(media))


def prepare_message(body: MessagesRequest, need: Preparing) -> PreparedCompletion:
    """Return the generation request of a message, and its answer's format.

    Raises BadRequest and RequestRejected, with the request's own names of members.
    """
    translation = translate(body, need.signer)
    shows = getattr(body.thinking, "display", "summarized") == "summarized"

    def make_format(
        model: ModelFacts, params: SamplingParams, parsing: ParserSettings | None
    ) -> MessageFormat:
        header = MessageHeader(
            model=served_name(model, body.model),
            max_tokens=params.max_tokens,
            signer=need.signer,
            shows_thinking=shows,
            applied_edits=translation.applied_edits,
        )
        return MessageFormat(header, parsing)

    left_out = LeftOut()
    try:
        prepared = prepare_chat(
            translation.chat, need.find_model, need.caller, left_out, make_format
        )
    except (BadRequest, RequestRejected) as error:
        translation.in_words(error)
        raise
    need.left_out.add(*translation.left_out, *translation.of_request(left_out.paths))
    return prepared.renamed(translation.own_path)
