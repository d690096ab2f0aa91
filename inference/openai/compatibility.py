"""Members of OpenAI's requests that are not served, as data.

Each is refused by name, unless its value asks for nothing: clients send such
values unasked. docs/api.md tells the same; a test compares the two.
"""

from __future__ import annotations

from inference.openai.records import Inert

CHAT = {
    "audio": Inert(),
    "function_call": Inert(("none", "auto")),
    "functions": Inert(([],)),
    "logprobs": Inert((False,)),
    "metadata": Inert(({},)),
    "modalities": Inert((["text"],)),
    "moderation": Inert(),
    "parallel_tool_calls": Inert((True, False)),
    "prediction": Inert(),
    "prompt_cache_key": Inert(any_text=True),
    "prompt_cache_options": Inert(),
    "prompt_cache_retention": Inert(),
    "reasoning_effort": Inert(),
    "response_format": Inert(({"type": "text"},)),
    "safety_identifier": Inert(any_text=True),
    "service_tier": Inert(("auto", "default")),
    "store": Inert((False,)),
    "tool_choice": Inert(("none", "auto")),
    "tools": Inert(([],)),
    "top_logprobs": Inert((0,)),
    "verbosity": Inert(),
    "web_search_options": Inert(),
}
COMPLETION = {
    "best_of": Inert((1,), hint=" Use 'n' for several answers."),
    "echo": Inert((False,)),
    "logprobs": Inert(),
    "suffix": Inert(("",)),
}
STREAM_OPTIONS = {"include_obfuscation": Inert((False,))}
#: An assistant's message comes back as an earlier answer gave it.
ASSISTANT_MESSAGE = {
    "annotations": Inert(([],)),
    "audio": Inert(),
    "function_call": Inert(),
    "refusal": Inert(),
}
#: Parts of a message that OpenAI has and that no model here can read.
CONTENT_PARTS = ("file", "image_url", "input_audio", "refusal")
