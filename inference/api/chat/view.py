"""POST /v1/chat/completions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings

from inference.api.body.unsupported import hints_left_out
from inference.api.chat.continuing import continues
from inference.api.chat.conversation import conversation
from inference.api.chat.parser_settings import parser_settings
from inference.api.chat.reasoning import (
    budget_of,
    effort_of,
    left_out_of,
    shown_reasoning,
    thinking_budget,
)
from inference.api.chat.request import ChatCompletionRequest
from inference.api.chat.strict_tools import strict_grammar
from inference.api.chat.tool_grammar import answer_grammar
from inference.api.chat.tool_use import tool_use
from inference.api.context_check import check_length
from inference.api.generation_view import (
    GenerationView,
    PreparedCompletion,
    answer_header,
    generation_requests,
)
from inference.api.model_access import WRITES
from inference.api.openapi.operations import chat_schema
from inference.api.parameters.grammar import grammar_of, json_style
from inference.api.streaming.formats import ChatFormat
from inference.api.worker_view import queue_of
from inference.prompts import chat
from inference.prompts.reasoning_effort import BUDGET

if TYPE_CHECKING:
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

#: A continuation that adds nothing would be an empty answer.
_AT_LEAST_ONE = {"min_tokens": 1}


class ChatCompletionsView(GenerationView):
    """POST /v1/chat/completions."""

    def prepare(self, request: Request) -> PreparedCompletion:
        """Return the generation requests of a chat, and its answer's format."""
        body = ChatCompletionRequest.parse(request.data)
        messages = conversation(body.messages)
        grammar = grammar_of(body, self.left_out)
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
        self.left_out.add(*hints_left_out(body), *left_out_of(prompt, body))
        check_length([prompt.text], model, "messages")
        parsing = parser_settings(prompt, use, reasoning=shown_reasoning(body))
        style = json_style()
        matched = answer_grammar(prompt, use, grammar, style)
        self.left_out.add(*use.paths_of(matched.left_out))
        grammar = matched.grammar or strict_grammar(prompt, use, style)
        control_tokens = parsing.output_parser.preserved_tokens if parsing else ()
        sampling = {
            **body.sampling(),
            **(_AT_LEAST_ONE if is_continued and not body.min_tokens else {}),
            "grammar": grammar,
            "thinking": thinking_budget(prompt, budget),
            "control_tokens": control_tokens,
        }
        limit = (
            body.token_limit
            or model.max_tokens
            or settings.CONFIG.generation.max_tokens
        )
        return PreparedCompletion(
            requests=generation_requests(
                [prompt.text],
                request,
                body,
                model=model,
                sampling=sampling,
                max_tokens=None if limit == -1 else limit,
                # The tokenizer adds BOS if the template has not written it.
                add_special_tokens=not prompt.has_bos,
            ),
            queue=queue_of(model),
            format=ChatFormat(
                answer_header("chatcmpl", model, body),
                include_usage=body.include_usage,
                with_logprobs=body.logprobs,
                parser_settings=parsing,
                is_former=body.uses_former_tools,
            ),
            body=body,
        )

    @chat_schema
    async def post(
        self, request: Request, prepared: PreparedCompletion
    ) -> HttpResponseBase:
        """Answer a conversation."""
        return await self.run(prepared)
