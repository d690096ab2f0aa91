"""Makes requests to tokenize, and prompts, of the bodies of the tokens' endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.api.body.text_limits import check_sizes
from inference.api.chat.conversation import text_conversation
from inference.api.chat.tools import functions_of
from inference.engine.request import TokenizationRequest
from inference.prompts import chat
from inference.transport.stream import new_request_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.api.chat.messages import ChatMessage
    from inference.api.chat.template_parameters import TemplateParameters
    from inference.api.left_out import LeftOut
    from inference.api.tokens.request import TokenizeRequest
    from inference.prompts.chat import Prompt
    from registry.model_facts import ModelFacts


def prepare_tokenizing(
    body: TokenizeRequest, model: ModelFacts, left_out: LeftOut
) -> TokenizationRequest:
    """Return the tokenizer request. Raises BadRequest."""
    text, special = _text(body, model, left_out)
    return TokenizationRequest(
        request_id=new_request_id(),
        text=text,
        add_special_tokens=special,
        parse_special=body.parse_special,
    )


def rendered(
    body: TemplateParameters,
    messages: Sequence[ChatMessage],
    model: ModelFacts,
    left_out: LeftOut,
) -> Prompt:
    """Return a conversation as a prompt. Raises what prompt_render raises."""
    turns = text_conversation(messages)
    prompt = chat.prompt_render(
        model,
        turns,
        tools=functions_of([tool.function for tool in body.tools]),
        variables=body.chat_template_kwargs,
        effort=body.reasoning_effort,
        continues=chat.can_continue(turns),
    )
    left_out.add(*prompt.left_out)
    return prompt


def _text(
    body: TokenizeRequest, model: ModelFacts, left_out: LeftOut
) -> tuple[str, bool]:
    """Return the text, and whether to add the model's special tokens around it."""
    special = body.adds_special
    if body.messages is not None:
        prompt = rendered(body, body.messages, model, left_out)
        # If the template has written BOS, the tokenizer must not add a second one.
        return prompt.text, (not prompt.has_bos if special is None else special)
    name = "prompt" if body.content is None else "content"
    text: str = getattr(body, name)
    check_sizes({name: len(text.encode())}, name)
    return text, (name == "prompt" if special is None else special)
