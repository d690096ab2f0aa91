"""The AI SDK of Vercel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.clients.client import Client
from tests.clients.node_scripts import proofs, run_script, versions

if TYPE_CHECKING:
    from tests.whole_server import Server

_PACKAGES = (
    *("ai", "@ai-sdk/openai-compatible"),
    *("@ai-sdk/openai", "@ai-sdk/anthropic"),
)
CLIENT = Client(
    "AI SDK",
    _PACKAGES,
    """
    import { createOpenAICompatible } from '@ai-sdk/openai-compatible';

    const server = createOpenAICompatible({
      name: 'llm-manager', baseURL: 'http://localhost:8000/v1', apiKey: 'YOUR_KEY',
      includeUsage: true, supportsStructuredOutputs: true,
    });
    const model = server('SmolLM2-135M-Instruct.Q4_1');
    """,
    language="js",
    note="Without `supportsStructuredOutputs` it asks for any JSON instead of the "
    "schema. `@ai-sdk/openai` works by `createOpenAI({ baseURL, apiKey })`: on "
    "responses, and on chats with `.chat(…)`. `@ai-sdk/anthropic` works on messages by "
    "`createAnthropic` with the same `baseURL`.",
    versions=versions(*_PACKAGES),
)


@pytest.mark.parametrize("name", proofs("ai"))
def test_script(name: str, server: Server, request: pytest.FixtureRequest) -> None:
    if "embed" in name:
        request.getfixturevalue("embedder")
    run_script("ai", name, server)
