"""POST /v1/chat/completions and /v1/completions."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from django.conf import settings

from inference.api.chat.strict_tools import strict_grammar
from inference.api.chat.tool_grammar import answer_grammar
from inference.api.context_check import check_length
from inference.api.declarations.requests import (
    COMPLETION_MAX_TOKENS,
    Options,
    parse_chat,
    parse_completion,
)
from inference.api.engine_view import EngineView
from inference.api.model_access import WRITES, key_of, line_of
from inference.api.openapi.operations import chat_schema, completion_schema
from inference.api.parameters.lora import adapters_of, served_name
from inference.api.parameters.reasoning import thinking_budget
from inference.api.parameters.sampling import sampling_params
from inference.api.responses import EventStreamResponse, json_response
from inference.api.streaming import collecting as streaming
from inference.api.streaming.collecting import Terms
from inference.api.streaming.formats import AnyFormat, ChatFormat, TextFormat
from inference.api.streaming.generation import Generation
from inference.api.streaming.output import reading_of
from inference.api.streaming.payloads import Head
from inference.errors import RequestRejected
from inference.prompts import chat
from inference.transport.stream import Job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from registry.models import Model


@dataclass(frozen=True, slots=True)
class Plan:
    """A request, understood: what is to be run and how it is to be answered."""

    jobs: list[Job]
    format: AnyFormat
    options: Options


class CompletionView(EngineView):
    """What both endpoints have in common."""

    async def run(self, plan: Plan) -> HttpResponseBase:
        """Run the plan's jobs and answer with what they give."""
        timeout_s = settings.CONFIG.server.request_timeout
        deadline = asyncio.get_running_loop().time() + timeout_s
        options = plan.options
        best = options.n if options.best_of > options.n else 0
        terms = Terms(options.best_of, timeout_s, deadline, best)
        generation = Generation()
        is_streaming = False
        try:
            # The limit is on the whole, so also on what is still to be queued.
            async with asyncio.timeout_at(deadline):
                await generation.start(self.get_client(), plan.jobs)
                if not plan.options.stream:
                    answer = await streaming.collect(
                        generation, plan.format, terms, self.meter
                    )
                    return json_response(answer)
                is_started = await generation.started(streaming.FIRST_SIGN_S)
            is_streaming = True
        except TimeoutError:
            raise streaming.timed_out(terms) from None
        except RequestRejected as error:
            raise streaming.in_words_of(plan.format, error) from None
        finally:
            if not is_streaming:
                await generation.aclose()
        # From here on the stream closes the generation.
        return EventStreamResponse(
            streaming.stream(
                generation, plan.format, terms, self.meter, is_started=is_started
            )
        )


class ChatCompletionsView(CompletionView):
    """POST /v1/chat/completions."""

    def prepare(self, request: Request) -> Plan:
        """Return the plan of a chat request."""
        wanted = parse_chat(request.data)
        options = wanted.options
        model = self.find_model(request, options.model, WRITES)
        use = wanted.tool_use
        prompt = chat.prompt_render(
            model,
            wanted.messages,
            tools=use.tools,
            variables=wanted.template_variables,
            effort=wanted.effort,
            budget=wanted.budget,
            continues=wanted.continues,
        )
        check_length([prompt.text], model, "messages")
        reading = reading_of(prompt, use, shows_reasoning=wanted.shows_reasoning)
        grammar = answer_grammar(prompt, use, options.sampling.get("grammar"))
        if grammar is None:
            grammar = strict_grammar(prompt, use)
        control_tokens = reading.output_parser.preserved_tokens if reading else ()
        sampled = {
            **options.sampling,
            "grammar": grammar,
            "thinking": thinking_budget(prompt, wanted.budget),
            "control_tokens": control_tokens,
        }
        options = replace(options, sampling=sampled)
        max_tokens = (
            options.max_tokens
            or model.max_tokens
            or settings.CONFIG.generation.max_tokens
        )
        return Plan(
            jobs=_jobs(
                [prompt.text],
                request,
                model=model,
                options=options,
                max_tokens=max_tokens,
                # The tokenizer adds BOS where the template has put none.
                special=not prompt.has_bos,
            ),
            format=ChatFormat(
                _head("chatcmpl", model, options),
                include_usage=options.include_usage,
                tells_logprobs=options.logprobs is not None,
                reading=reading,
            ),
            options=options,
        )

    @chat_schema
    async def post(self, request: Request, plan: Plan) -> HttpResponseBase:
        """Answer a conversation."""
        return await self.run(plan)


class CompletionsView(CompletionView):
    """POST /v1/completions."""

    def prepare(self, request: Request) -> Plan:
        """Return the plan of a text completion request."""
        wanted = parse_completion(request.data)
        options = wanted.options
        model = self.find_model(request, options.model, WRITES)
        check_length(wanted.prompts, model, "prompt")
        if wanted.suffix and not model.supports_infill:
            raise RequestRejected(
                f"'suffix' cannot be had: the vocabulary of the model '{model.name}' "
                "has no tokens to fill in a middle.",
                code="unsupported_parameter",
                param="suffix",
            )
        return Plan(
            jobs=_jobs(
                wanted.prompts,
                request,
                model=model,
                options=options,
                max_tokens=(
                    COMPLETION_MAX_TOKENS
                    if options.max_tokens is None
                    else options.max_tokens
                ),
                special=True,
                suffix=wanted.suffix,
                echo=wanted.echo,
            ),
            format=TextFormat(
                _head("cmpl", model, options),
                include_usage=options.include_usage,
                tells_logprobs=options.logprobs is not None,
                prompts=(
                    [each for each in wanted.prompts for _ in range(options.n)]
                    if wanted.echo
                    else ()
                ),
            ),
            options=options,
        )

    @completion_schema
    async def post(self, request: Request, plan: Plan) -> HttpResponseBase:
        """Go on with one text, or with several."""
        return await self.run(plan)


def _head(prefix: str, model: Model, options: Options) -> Head:
    name = served_name(model, options.model)
    return Head.new(prefix, model=name, fingerprint=model.fingerprint)


def _jobs(
    prompts: Sequence[str | list[int]],
    request: Request,
    *,
    model: Model,
    options: Options,
    max_tokens: int,
    special: bool,
    suffix: str = "",
    echo: bool = False,
) -> list[Job]:
    """Return the sequences of a request: those of a prompt together."""
    key = key_of(request)
    # Without a key there is no owner to keep a prefix for.
    tenant = "" if key is None else str(key.owner_id)
    line = line_of(request)
    adapters = adapters_of(model, options.model, options.lora)
    return [
        Job(
            model_id=model.pk,
            model_name=model.name,
            prompt=prompt,
            params=sampling_params(
                options.sampling,
                model=model,
                max_tokens=max_tokens,
                choice=choice,
                logprobs=_logprobs(options),
                prompt_logprobs=_prompt_logprobs(prompt, options) if echo else None,
            ),
            special=special,
            suffix=suffix,
            prediction=options.prediction,
            adapters=adapters,
            tenant=tenant,
            key=line.key,
            timeout_s=settings.CONFIG.engine.queue_timeout,
            weight=line.weight,
            priority=options.priority,
        )
        for prompt in prompts
        for choice in range(options.best_of)
    ]


def _logprobs(options: Options) -> int | None:
    """Return how many are to be told; the best of several is found by its own."""
    if options.logprobs is None and options.best_of > options.n:
        return 0
    return options.logprobs


def _prompt_logprobs(prompt: str | list[int], options: Options) -> int | None:
    """Return how many are to be told of a prompt that is echoed.

    The text of token ids comes with their probabilities: only a worker knows it.
    """
    if options.logprobs is None and isinstance(prompt, list):
        return 0
    return options.logprobs
