"""POST /v1/chat/completions and /v1/completions."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings

from inference.api.chat.continuing import continues
from inference.api.chat.conversation import conversation
from inference.api.chat.reasoning import budget_of, effort_of, thinking_budget
from inference.api.chat.request import ChatCompletionRequest
from inference.api.chat.strict_tools import strict_grammar
from inference.api.chat.tool_grammar import answer_grammar
from inference.api.chat.tool_use import tool_use
from inference.api.completions.request import CompletionRequest
from inference.api.context_check import check_length
from inference.api.engine_view import EngineView, queue_of
from inference.api.model_access import WRITES, key_of, key_share
from inference.api.openapi.operations import chat_schema, completion_schema
from inference.api.parameters.grammar import grammar_of
from inference.api.parameters.lora import adapters_of, served_name
from inference.api.parameters.sampling_params import sampling_params
from inference.api.responses import EventStreamResponse, json_response
from inference.api.streaming import collecting as streaming
from inference.api.streaming.answer_parser import parser_settings
from inference.api.streaming.collecting import AnswerLimits
from inference.api.streaming.formats import AnyFormat, ChatFormat, TextFormat
from inference.api.streaming.generation import Generation
from inference.api.streaming.payloads import AnswerHeader
from inference.engine.request import GenerationRequest
from inference.errors import RequestRejected
from inference.prompts import chat
from inference.prompts.effort import BUDGET
from inference.transport.stream import new_request_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from inference.api.parameters.completion import CompletionParameters
    from inference.transport.queue import ModelQueue
    from registry.models import Model


@dataclass(frozen=True, slots=True)
class PreparedCompletion:
    """What a request has the engine run, and how it is answered."""

    requests: list[GenerationRequest]
    queue: ModelQueue
    format: AnyFormat
    body: CompletionParameters


class CompletionView(EngineView):
    """What both endpoints have in common."""

    async def run(self, prepared: PreparedCompletion) -> HttpResponseBase:
        """Run the requests and answer with what they give."""
        timeout_s = settings.CONFIG.server.request_timeout
        deadline = asyncio.get_running_loop().time() + timeout_s
        body = prepared.body
        best = body.n if body.num_sequences > body.n else 0
        limits = AnswerLimits(body.num_sequences, timeout_s, deadline, best)
        generation = Generation()
        is_streaming = False
        try:
            # The limit is on the whole, so also on what is still to be queued.
            async with asyncio.timeout_at(deadline):
                await generation.start(
                    self.get_client(), prepared.requests, prepared.queue
                )
                if not body.stream:
                    answer = await streaming.collect(
                        generation, prepared.format, limits, self.meter
                    )
                    return json_response(answer)
                is_started = await generation.started(streaming.FIRST_SIGN_S)
            is_streaming = True
        except TimeoutError:
            raise streaming.timed_out(limits) from None
        except RequestRejected as error:
            raise streaming.in_words_of(prepared.format, error) from None
        finally:
            if not is_streaming:
                await generation.aclose()
        # From here on the stream closes the generation.
        return EventStreamResponse(
            streaming.stream(
                generation, prepared.format, limits, self.meter, is_started=is_started
            )
        )


class ChatCompletionsView(CompletionView):
    """POST /v1/chat/completions."""

    def prepare(self, request: Request) -> PreparedCompletion:
        """Return what a chat request has run."""
        body = ChatCompletionRequest.parse(request.data)
        messages = conversation(body.messages)
        grammar = grammar_of(body)
        use = tool_use(body, grammar)
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
        model = self.find_model(request, body.model, WRITES)
        prompt = chat.prompt_render(
            model,
            messages,
            tools=use.tools,
            variables=variables,
            effort=effort,
            budget=budget,
            continues=is_continued,
        )
        check_length([prompt.text], model, "messages")
        shows_reasoning = body.reasoning_format == "none"
        parsing = parser_settings(prompt, use, shows_reasoning=shows_reasoning)
        grammar = answer_grammar(prompt, use, grammar)
        if grammar is None:
            grammar = strict_grammar(prompt, use)
        control_tokens = parsing.output_parser.preserved_tokens if parsing else ()
        sampling = {
            **body.sampling(),
            "grammar": grammar,
            "thinking": thinking_budget(prompt, budget),
            "control_tokens": control_tokens,
        }
        max_tokens = (
            body.token_limit
            or model.max_tokens
            or settings.CONFIG.generation.max_tokens
        )
        return PreparedCompletion(
            requests=_requests(
                [prompt.text],
                request,
                body,
                model=model,
                sampling=sampling,
                max_tokens=max_tokens,
                # The tokenizer adds BOS where the template has put none.
                add_special_tokens=not prompt.has_bos,
            ),
            queue=queue_of(model),
            format=ChatFormat(
                _header("chatcmpl", model, body),
                include_usage=body.include_usage,
                tells_logprobs=body.logprobs,
                parser_settings=parsing,
            ),
            body=body,
        )

    @chat_schema
    async def post(
        self, request: Request, prepared: PreparedCompletion
    ) -> HttpResponseBase:
        """Answer a conversation."""
        return await self.run(prepared)


class CompletionsView(CompletionView):
    """POST /v1/completions."""

    def prepare(self, request: Request) -> PreparedCompletion:
        """Return what a text completion request has run."""
        body = CompletionRequest.parse(request.data)
        model = self.find_model(request, body.model, WRITES)
        check_length(body.prompts, model, "prompt")
        if body.suffix and not model.supports_infill:
            raise RequestRejected(
                f"'suffix' is not supported: the model '{model.name}' has no tokens to "
                "fill in a middle.",
                code="unsupported_parameter",
                param="suffix",
            )
        sampling = {**body.sampling(), "grammar": grammar_of(body)}
        return PreparedCompletion(
            requests=_requests(
                body.prompts,
                request,
                body,
                model=model,
                sampling=sampling,
                max_tokens=body.max_tokens,
                add_special_tokens=True,
                suffix=body.suffix,
                echo=body.echo,
            ),
            queue=queue_of(model),
            format=TextFormat(
                _header("cmpl", model, body),
                include_usage=body.include_usage,
                tells_logprobs=body.logprobs is not None,
                prompts=(
                    [each for each in body.prompts for _ in range(body.n)]
                    if body.echo
                    else ()
                ),
            ),
            body=body,
        )

    @completion_schema
    async def post(
        self, request: Request, prepared: PreparedCompletion
    ) -> HttpResponseBase:
        """Go on with one text, or with several."""
        return await self.run(prepared)


def _header(prefix: str, model: Model, body: CompletionParameters) -> AnswerHeader:
    name = served_name(model, body.model)
    return AnswerHeader.new(prefix, model=name, fingerprint=model.fingerprint)


def _requests(
    prompts: Sequence[str | list[int]],
    request: Request,
    body: CompletionParameters,
    *,
    model: Model,
    sampling: dict[str, Any],
    max_tokens: int,
    add_special_tokens: bool,
    suffix: str = "",
    echo: bool = False,
) -> list[GenerationRequest]:
    """Return the sequences of a request: those of a prompt together."""
    key = key_of(request)
    # Without a key there is no owner to keep a prefix for.
    owner = "" if key is None else str(key.owner_id)
    share = key_share(request)
    adapters = adapters_of(model, body.model, body.lora)
    return [
        GenerationRequest(
            request_id=new_request_id(),
            prompt=prompt if isinstance(prompt, str) else "",
            prompt_token_ids=[] if isinstance(prompt, str) else prompt,
            params=sampling_params(
                sampling,
                model=model,
                max_tokens=max_tokens,
                choice=choice,
                logprobs=_logprobs(body),
                prompt_logprobs=_prompt_logprobs(prompt, body) if echo else None,
            ),
            add_special_tokens=add_special_tokens,
            suffix=suffix,
            prediction=body.predicted_text,
            adapters=adapters,
            owner=owner,
            key=share.key,
            weight=share.weight,
            priority=body.priority,
        )
        for prompt in prompts
        for choice in range(body.num_sequences)
    ]


def _logprobs(body: CompletionParameters) -> int | None:
    """Return how many to ask for; the best of several is found by its own."""
    if body.num_logprobs is None and body.num_sequences > body.n:
        return 0
    return body.num_logprobs


def _prompt_logprobs(prompt: str | list[int], body: CompletionParameters) -> int | None:
    """Return how many to ask for of a prompt that is echoed.

    The text of token ids comes with their probabilities: only a worker knows it.
    """
    if body.num_logprobs is None and isinstance(prompt, list):
        return 0
    return body.num_logprobs
