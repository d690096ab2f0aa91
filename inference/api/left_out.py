"""What a request asks and the server leaves out: never in silence, but in a header.

A hint that means nothing for this model or this server is left out, and the answer says
so. What changes an answer and cannot be honoured is refused instead.
"""

from __future__ import annotations

import re

HEADER = "x-llm-manager-left-out"

_NO_THOUGHT = "the model is not known to think"
_NO_EFFORT = f"{_NO_THOUGHT}, or its template has no variable for how much"
_KEEPS = "the server decides which prefixes it keeps"
_NO_VERBOSITY = "models here have no such setting"
_OF_OPENAI = "a setting of OpenAI's own service"
_HOSTED = "a hosted tool, which no model here calls"
_BILLING = "a line for Anthropic's billing that changes with each request"
_CITATIONS = "the model does not see what an earlier answer cites"
#: What may be left out, and why: paths of members, where ``[…]`` is any place in an
#: array and a last ``…`` anything below.
REASONS = {
    "messages[…].name": "the template shows no names",
    "reasoning_effort": _NO_EFFORT,
    "reasoning.effort": _NO_EFFORT,
    "reasoning.enabled": _NO_EFFORT,
    "reasoning.max_tokens": _NO_THOUGHT,
    "thinking_budget": _NO_THOUGHT,
    "thinking_token_budget": _NO_THOUGHT,
    "thinking_budget_tokens": _NO_THOUGHT,
    "reasoning_budget_tokens": _NO_THOUGHT,
    "chat_template_kwargs.thinking_budget": _NO_THOUGHT,
    "chat_template_kwargs.enable_thinking": _NO_THOUGHT,
    "chat_template_kwargs.thinking": _NO_THOUGHT,
    "cache_prompt": _KEEPS,
    "id_slot": "the server decides which slot a request gets",
    "Idempotency-Key": "the upstream's answers are not kept: a repeated request is "
    "answered again",
    "keep_alive": "the configuration says how long a model stays loaded",
    "prompt_cache_key": _KEEPS,
    "prompt_cache_options": _KEEPS,
    "prompt_cache_retention": _KEEPS,
    "safety_identifier": "no user is reported to anybody",
    "service_tier": "there is one tier",
    "store": "no response is stored",
    "verbosity": _NO_VERBOSITY,
    # Anthropic's API.
    "thinking": _NO_THOUGHT,
    "output_config.effort": _NO_EFFORT + "; or the request has no thinking",
    "output_config.task_budget": "models here do not know how much is left of a task",
    "context_management.edits[…]": "an edit that the server does not make",
    "system": _BILLING,
    "system[…]": _BILLING,
    "system[…].citations": _CITATIONS,
    "system[…].cache_control.ttl": _KEEPS,
    "messages[…].content[…]": "thoughts that another server has signed",
    "messages[…].content[…].citations": _CITATIONS,
    "messages[…].content…": _KEEPS,
    "tools[…].cache_control.ttl": _KEEPS,
    "tools[…].input_schema…": "a keyword of the schema of a tool that is not strict, "
    "which no grammar can enforce, or not in the model's format",
    "cache_control.ttl": _KEEPS,
    "messages[…].output_config": "an effort holds for the whole request",
    "billing_policy": "nobody else is billed",
    "mcp_servers": "only /v1/responses calls MCP servers",
    "speed": "there is one speed",
    "fallbacks": "the model that is asked answers",
    "fallback_credit_token": "there are no credits",
    "diagnostics": "the server keeps no diagnostics of a request",
    "inference_geo": "the server is where it is",
    "response_format.json_schema.schema…": "a pattern or a bound in a schema that is "
    "not strict, which no grammar can enforce",
    "tools[…].function.parameters…": "a keyword of the schema of a tool that is not "
    "strict, which no grammar can enforce, or not in the model's format",
    "functions[…].parameters…": "the same, in OpenAI's former words",
    # Of Ollama's API.
    "format…": "a pattern or a bound in the schema, which no grammar can enforce",
    "options…": "how a model is loaded, which its settings say; or, of vectors, how "
    "tokens are sampled",
    "shift": "a context is not shifted: the answer ends where it is full",
    "think": _NO_THOUGHT,
    "truncate": "nothing is cut: what is longer than the context is refused",
    "verbose": "the vocabulary of a model is not shown",
    # Of /v1/responses.
    "access_programs": _OF_OPENAI,
    "background_options": _OF_OPENAI,
    "client_metadata": "what a client says of itself",
    "context_management": "nothing is cut from the input",
    "image": _OF_OPENAI,
    "include[…]": "it belongs to a hosted tool",
    "input[…]": "what a hosted tool of another server did",
    "input[…].tools…": f"{_HOSTED}, or a keyword of a tool's schema as in `tools`",
    "personality": _OF_OPENAI,
    "reasoning.context": "the chat template decides",
    "reasoning.mode": "models here have one mode",
    "reasoning.summary": "a concise one: the summary is the reasoning itself",
    "stream_options.include_obfuscation": "nothing is obfuscated",
    "text.format…": "a pattern or a bound in a schema that is not strict, which no "
    "grammar can enforce",
    "text.verbosity": _NO_VERBOSITY,
    "tool_choice.tools[…]": _HOSTED,
    "tools[…]": _HOSTED,
    "tools[…].parameters…": "a keyword of the schema of a tool that is not strict, "
    "which no grammar can enforce, or not in the model's format",
    "tools[…].tools[…].parameters…": "the same, of a tool in a namespace",
}

#: Clients read at most 8 KiB of headers; this leaves room for the others.
_MAX_CHARS = 4000
_PLACE = re.compile(r"\[\d+\]")
_UNSAFE = re.compile(r"[^A-Za-z0-9_.$\[\]-]")


class LeftOut:
    """The members that one request's answer goes without."""

    def __init__(self) -> None:
        self._paths: dict[str, None] = {}

    def add(self, *paths: str) -> None:
        """Note members by their paths. Each must have a reason in ``REASONS``."""
        for path in paths:
            if not has_reason(path):
                raise KeyError(f"{path!r} is left out without a reason in REASONS")
            self._paths[path] = None

    @property
    def paths(self) -> tuple[str, ...]:
        """The members, in the order in which they were noted."""
        return tuple(self._paths)

    def header(self) -> str:
        """Return the header's value, "" if nothing is left out.

        Paths that have no room are counted: ``, +7``. Characters that cannot be in a
        header are percent-encoded.
        """
        said: list[str] = []
        length = 0
        for path in map(_encoded, self._paths):
            length += len(path) + 2
            if length > _MAX_CHARS:
                return ", ".join([*said, f"+{len(self._paths) - len(said)}"])
            said.append(path)
        return ", ".join(said)


def has_reason(path: str) -> bool:
    """Return whether ``REASONS`` says why this member may be left out."""
    kind = _PLACE.sub("[…]", path)
    return any(
        kind == each or (each.endswith("…") and kind.startswith(each[:-1]))
        for each in REASONS
    )


def _encoded(path: str) -> str:
    return _UNSAFE.sub(
        lambda match: "".join(
            f"%{byte:02X}" for byte in match[0].encode("utf-8", "replace")
        ),
        path,
    )
