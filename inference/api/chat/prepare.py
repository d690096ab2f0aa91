"""Makes the engine's requests of a chat request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from inference.api.body.unsupported import hints_left_out
from inference.api.chat.continuing import continues
from inference.api.chat.conversation import conversation
from inference.api.chat.reasoning import (
    budget_of,
    effort_of,
    left_out_of,
    shown_reasoning,
    thinking_budget,
)
from inference.api.chat.strict_tools import strict_grammar
from inference.api.chat.tool_grammar import answer_grammar
from inference.api.chat.tool_use import tool_use
from inference.api.media.marks import MediaMarks
from inference.api.media.parts import AudioPart
from inference.api.media.reading import check_reads_media
from inference.api.parameters.grammar import grammar_of, json_style
from inference.api.preparing.completion import (
    PreparedCompletion,
    answer_header,
    generation_requests,
)
from inference.api.preparing.context_check import check_length
from inference.api.streaming.answer_assembler import ParserSettings
from inference.api.streaming.formats import ChatFormat
from inference.prompts import chat
from inference.prompts.reasoning_effort import BUDGET
from inference.prompts.token_estimate import estimate_sound_tokens
from llm_manager.config.in_force import config
from registry.model_facts import sound_rate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inference.api.chat.request import ChatCompletionRequest
    from inference.api.chat.tool_use import ToolUse
    from inference.api.left_out import LeftOut
    from inference.api.media.marks import MarkedPart
    from inference.api.preparing.caller import Caller
    from inference.api.streaming.answer_assembler import ReasoningPlace
    from inference.api.streaming.formats import AnswerFormat
    from inference.engine.sampling.params import SamplingParams
    from inference.engine.structured_output.grammar import Grammar
    from inference.prompts.chat import Prompt
    from registry.model_facts import ModelFacts


class MakeFormat(Protocol):
    """Makes the format of an answer, given what the request is prepared to."""

    def __call__(
        self, model: ModelFacts, params: SamplingParams, parsing: ParserSettings | None
    ) -> AnswerFormat:
        """Return the format; without ``parsing`` an answer's whole text is content."""


#: A continuation that adds nothing would be an empty answer.
_AT_LEAST_ONE = {"min_tokens": 1}


def prepare_chat(
    body: ChatCompletionRequest,
    find_model: Callable[[str], ModelFacts],
    caller: Caller,
    left_out: LeftOut,
    make_format: MakeFormat | None = None,
) -> PreparedCompletion:
    """Return the generation requests of a chat, and its answer's format.

    ``find_model`` returns the model of a name, or raises. What the answer goes without
    is added to ``left_out``. Another API whose requests are translated to chats has
    answers of its own: ``make_format``. Raises BadRequest and RequestRejected.
    """
    asked = render_chat(body, find_model, left_out)
    model, prompt, use = asked.model, asked.prompt, asked.use
    marked = asked.marks.of_prompt(prompt.text, rate=sound_rate(model))
    check_length([marked.text], model, "messages")
    parsing = _parser_settings(prompt, use, reasoning=shown_reasoning(body))
    style = json_style()
    matched = answer_grammar(prompt, use, asked.grammar, style)
    left_out.add(*use.paths_of(matched.left_out))
    grammar = matched.grammar or strict_grammar(prompt, use, style)
    control_tokens = parsing.output_parser.preserved_tokens if parsing else ()
    is_continued = asked.is_continued
    sampling = {
        **body.sampling(),
        **(_AT_LEAST_ONE if is_continued and not body.min_tokens else {}),
        "grammar": grammar,
        "thinking": thinking_budget(prompt, budget_of(body)),
        "control_tokens": control_tokens,
    }
    limit = body.token_limit or model.max_tokens or config().generation.max_tokens
    requests = generation_requests(
        [marked.text],
        caller,
        body,
        model=model,
        sampling=sampling,
        max_tokens=None if limit == -1 else limit,
        # The tokenizer adds BOS if the template has not written it.
        add_special_tokens=not prompt.has_bos,
        media_marker=marked.image_mark,
        sound_marker=marked.sound_mark,
        sound_tokens=_sound_tokens(marked.parts),
    )
    format_: AnswerFormat
    if make_format is not None:
        format_ = make_format(model, requests[0].params, parsing)
    else:
        format_ = ChatFormat(
            answer_header("chatcmpl", model, body),
            include_usage=body.include_usage,
            with_logprobs=body.logprobs,
            parser_settings=parsing,
            is_former=body.uses_former_tools,
            custom=use.custom,
        )
    return PreparedCompletion(requests, format_, body, marked.parts)


@dataclass(frozen=True, slots=True)
class RenderedChat:
    """A chat as its model's prompt, and what its answer must be.

    The prompt has a mark for each image and each sound.
    """

    model: ModelFacts
    prompt: Prompt
    marks: MediaMarks
    use: ToolUse
    grammar: Grammar | None
    is_continued: bool


def render_chat(
    body: ChatCompletionRequest,
    find_model: Callable[[str], ModelFacts],
    left_out: LeftOut,
) -> RenderedChat:
    """Return the prompt of a chat, of any length.

    Raises BadRequest and RequestRejected.
    """
    marks = MediaMarks()
    messages = conversation(body.messages, marks)
    grammar = grammar_of(body, left_out)
    use = tool_use(body)
    is_continued = continues(
        body,
        messages,
        must_match=grammar is not None or use.must_call or use.is_strict,
    )
    budget = budget_of(body)
    effort = effort_of(body)
    variables = {
        name: value
        for name, value in body.chat_template_kwargs.items()
        if name != BUDGET
    }
    model = find_model(body.model)
    check_reads_media(marks.parts, model)
    prompt = chat.prompt_render(
        model,
        messages,
        tools=use.tools,
        variables=variables,
        effort=effort,
        budget=budget,
        continues=is_continued,
    )
    left_out.add(*hints_left_out(body), *left_out_of(prompt, body))
    return RenderedChat(model, prompt, marks, use, grammar, is_continued)


def _sound_tokens(parts: Sequence[MarkedPart]) -> int:
    """Return an estimate of the tokens that the sounds of a request take."""
    most_s = config().media.max_sound_seconds
    sounds = [
        part.part.input_audio for part in parts if isinstance(part.part, AudioPart)
    ]
    return sum(estimate_sound_tokens(each.data, each.format, most_s) for each in sounds)


def _parser_settings(
    prompt: Prompt, use: ToolUse, *, reasoning: ReasoningPlace
) -> ParserSettings | None:
    """Return how to parse the answers; None if their whole text is content."""
    is_marked = prompt.reasons or bool(prompt.output_parser.framing.before_content)
    if not use.may_call and not is_marked:
        return None
    return ParserSettings(
        output_parser=prompt.output_parser,
        tools={tool.name: tool.parameters for tool in use.may_call},
        starts_in_reasoning=prompt.starts_in_reasoning,
        max_calls=use.max_calls if prompt.takes_several_calls else 1,
        names_first=use.is_strict,
        only_calls=use.must_call,
        reasoning=reasoning,
    )
