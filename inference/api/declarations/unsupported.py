"""Members of OpenAI's requests that are not served, as data.

Each is refused by name, unless its value asks for nothing: clients send such
values unasked. docs/api.md tells the same; a test compares the two.
"""

from __future__ import annotations

from inference.api.declarations.records import Inert

CHAT = {
    "audio": Inert(),
    "function_call": Inert(("none", "auto"), hint=" Use 'tool_choice'."),
    "functions": Inert(([],), hint=" Use 'tools'."),
    "metadata": Inert(({},)),
    "modalities": Inert((["text"],)),
    "moderation": Inert(),
    "prompt_cache_key": Inert(any_text=True),
    "prompt_cache_options": Inert(),
    "prompt_cache_retention": Inert(),
    "safety_identifier": Inert(any_text=True),
    "service_tier": Inert(("auto", "default")),
    "store": Inert((False,)),
    "verbosity": Inert(),
    "web_search_options": Inert(),
}
COMPLETION: dict[str, Inert] = {}
STREAM_OPTIONS = {"include_obfuscation": Inert((False,))}
#: An assistant's message comes back as an earlier answer gave it.
ASSISTANT_MESSAGE = {
    "annotations": Inert(([],)),
    "audio": Inert(),
    "function_call": Inert(hint=" Use 'tool_calls'."),
    # LiteLLM's, in what it gives its callers to send back.
    "provider_specific_fields": Inert(({}, {"refusal": None})),
}
#: Roles that OpenAI has given up, and what is to be used instead.
ROLES = {"function": " Use 'tool', with the 'tool_call_id' of the call."}
#: Parts of a message that OpenAI has and that no model here can read.
CONTENT_PARTS = ("file", "image_url", "input_audio", "refusal")
