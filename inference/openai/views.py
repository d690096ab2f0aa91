"""POST /v1/chat/completions and /v1/completions."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings

from accounts.models import Scope
from accounts.throttling import InferenceThrottle, request_ip
from inference import chat
from inference.client import Job, get_client
from inference.errors import RequestRejected
from inference.metrics import CLIENT_GONE, RequestMeter
from inference.openai import streaming
from inference.openai.answers import EventStreamResponse, json_response
from inference.openai.asyncview import ApiView
from inference.openai.describe import chat_schema, completion_schema
from inference.openai.formats import AnyFormat, ChatFormat, TextFormat
from inference.openai.generation import Client, Generation
from inference.openai.lookup import key_of, model_find, require_generative
from inference.openai.payloads import Head
from inference.openai.requests import (
    COMPLETION_MAX_TOKENS,
    Options,
    parse_chat,
    parse_completion,
)
from inference.openai.sampling import sampling_params
from inference.openai.streaming import Terms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from registry.models import Model


@dataclass(frozen=True, slots=True)
class Plan:
    """A request, understood: what is to be run and how it is to be answered."""

    jobs: list[Job]
    format: AnyFormat
    options: Options


class CompletionView(ApiView):
    """What both endpoints have in common."""

    required_scope = Scope.INFERENCE
    throttle_classes = [InferenceThrottle]

    async def dispatch(  # type: ignore[override]
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """Answer the request and measure it; a stream measures its own end."""
        self.meter = RequestMeter()
        try:
            response = await super().dispatch(request, *args, **kwargs)
        except asyncio.CancelledError:
            self.meter.finish(CLIENT_GONE)
            raise
        if not response.streaming:
            self.meter.finish(response.status_code)
        return response

    async def run(self, plan: Plan) -> HttpResponseBase:
        """Run the plan's jobs and answer with what they give."""
        timeout_s = settings.CONFIG["server.request_timeout"]
        deadline = asyncio.get_running_loop().time() + timeout_s
        terms = Terms(plan.options.n, timeout_s, deadline)
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
                is_accepted = await generation.accepted(streaming.FIRST_SIGN_S)
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
                generation, plan.format, terms, self.meter, is_accepted=is_accepted
            )
        )

    def get_client(self) -> Client:
        """Return what runs jobs; a seam for tests."""
        return get_client()

    def find_model(self, request: Request, name: str) -> Model:
        """Return the model that a request names. Raises what model_find raises."""
        model = model_find(name, key_of(request))
        self.meter.model = model.name
        require_generative(model)
        return model


class ChatCompletionsView(CompletionView):
    """POST /v1/chat/completions."""

    def prepare(self, request: Request) -> Plan:
        """Return the plan of a chat request."""
        wanted = parse_chat(request.data)
        options = wanted.options
        model = self.find_model(request, options.model)
        prompt = chat.prompt_render(model, wanted.messages)
        max_tokens = (
            options.max_tokens
            or model.max_tokens
            or settings.CONFIG["generation.max_tokens"]
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
                _head("chatcmpl", model), include_usage=options.include_usage
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
        model = self.find_model(request, options.model)
        return Plan(
            jobs=_jobs(
                wanted.prompts,
                request,
                model=model,
                options=options,
                max_tokens=options.max_tokens or COMPLETION_MAX_TOKENS,
                special=True,
            ),
            format=TextFormat(
                _head("cmpl", model), include_usage=options.include_usage
            ),
            options=options,
        )

    @completion_schema
    async def post(self, request: Request, plan: Plan) -> HttpResponseBase:
        """Go on with one text, or with several."""
        return await self.run(plan)


def _head(prefix: str, model: Model) -> Head:
    return Head.new(prefix, model=model.name, fingerprint=model.fingerprint)


def _jobs(
    prompts: Sequence[str | list[int]],
    request: Request,
    *,
    model: Model,
    options: Options,
    max_tokens: int,
    special: bool,
) -> list[Job]:
    """Return the sequences of a request: n of each prompt, in OpenAI's order."""
    key = key_of(request)
    # Without a key there is no owner to keep a prefix for; the address still
    # tells clients apart where they wait in line.
    tenant = "" if key is None else str(key.owner_id)
    line = f"ip:{request_ip(request)}" if key is None else key.prefix
    return [
        Job(
            model_id=model.pk,
            model_name=model.name,
            prompt=prompt,
            params=sampling_params(
                options.sampling, model=model, max_tokens=max_tokens, choice=choice
            ),
            special=special,
            tenant=tenant,
            key=line,
            timeout_s=settings.CONFIG["engine.queue_timeout"],
        )
        for prompt in prompts
        for choice in range(options.n)
    ]
