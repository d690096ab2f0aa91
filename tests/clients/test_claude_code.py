"""Claude Code of Anthropic, as npm has it, on a scripted model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.clients.agents import call
from tests.clients.client import Client
from tests.clients.node_scripts import versions
from tests.scripted.names import MODEL

if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import CompletedProcess

    from tests.clients.agents import Desk

CLIENT = Client(
    "Claude Code",
    ("@anthropic-ai/claude-code",),
    """
    export ANTHROPIC_BASE_URL=http://localhost:8000 ANTHROPIC_API_KEY=YOUR_KEY
    export ANTHROPIC_MODEL=SmolLM2-135M-Instruct.Q4_1
    export ANTHROPIC_DEFAULT_HAIKU_MODEL=$ANTHROPIC_MODEL
    export CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1
    """,
    language="sh",
    note="Instead of naming the model here, an administrator may give it the alias "
    "`claude-*`. The first request has some 12,000 tokens: the model needs a context "
    "of 32,768 or more. Proven with a model that says what the tests script, because "
    "one of 135M parameters edits no files. Its npm package has a program for each "
    "platform; where npm may run no scripts, `node cli-wrapper.cjs` starts it.",
    versions=versions("@anthropic-ai/claude-code"),
)
TASK = "Change greeting.txt: it must say Goodbye."
AGAIN = "What does greeting.txt say now?"
SCHEMA = "What is said in greeting.txt, as an object?"
DELEGATED = "Let another agent read greeting.txt."
READING = "Read greeting.txt and say what it says."
SEARCH = "Search the web for llamas."


def script(desk: Desk) -> dict[str, list[str]]:
    """Return what the model says: the tools need absolute paths."""
    path = {"file_path": str(desk.file)}
    read = call("Read", json.dumps(path))
    change = {"old_string": "Hello", "new_string": "Goodbye"}
    agent = {
        "description": "Read a file",
        "prompt": READING,
        "subagent_type": "general-purpose",
    }
    return {
        TASK: [
            f"<think>I have to read it first.</think>I read it.\n{read}",
            call("Edit", json.dumps(path | change)),
            "It says Goodbye.",
        ],
        AGAIN: ["<think>I changed it.</think>Goodbye, as before."],
        SCHEMA: [
            call("StructuredOutput", json.dumps({"words": ["Hello", "world"]})),
            "Done.",
        ],
        DELEGATED: [call("Agent", json.dumps(agent)), "It says Hello."],
        READING: [read, "It says: Hello, world."],
        SEARCH: [
            # What a tool is like is shown only when it is looked up.
            call("ToolSearch", json.dumps({"query": "select:WebSearch"})),
            call("WebSearch", json.dumps({"query": "llamas"})),
            "Nothing was found.",
        ],
    }


@pytest.fixture
def desk(make_desk: Callable[..., Desk]) -> Desk:
    """Where Claude Code works."""
    return make_desk(script)


def claude(
    desk: Desk, task: str, *arguments: str, **environment: str
) -> CompletedProcess[str]:
    """Run `claude -p`."""
    return desk.run(
        # npm's own start of it where no package may run scripts at its installation.
        "@anthropic-ai/claude-code/cli-wrapper.cjs",
        "-p",
        task,
        "--output-format",
        "json",
        *arguments,
        "--allowedTools",
        "Read,Edit,Agent,ToolSearch,WebSearch",
        ANTHROPIC_BASE_URL=desk.address,
        ANTHROPIC_API_KEY=desk.server.key,
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        DISABLE_AUTOUPDATER="1",
        **environment,
    )


def result_of(desk: Desk, task: str, *arguments: str) -> dict[str, Any]:
    """Run `claude -p`, which must succeed, on the scripted model; return its result."""
    named = {"ANTHROPIC_MODEL": MODEL, "ANTHROPIC_DEFAULT_HAIKU_MODEL": MODEL}
    done = claude(desk, task, *arguments, **named)
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_a_file_is_edited_and_the_conversation_goes_on(desk: Desk) -> None:
    result = result_of(desk, TASK)
    assert desk.file.read_text() == "Goodbye, world.\n"
    assert (result["result"], result["num_turns"]) == ("It says Goodbye.", 3)
    usage = result["usage"]
    assert usage["cache_read_input_tokens"] > usage["input_tokens"]

    resumed = result_of(desk, AGAIN, "--continue")
    assert resumed["result"] == "Goodbye, as before."

    desk.expect("POST /v1/messages", 4)


def test_an_alias_takes_the_models_that_it_chooses_itself(desk: Desk) -> None:
    done = claude(desk, TASK)
    assert done.returncode == 0, done.stdout + done.stderr
    assert desk.file.read_text() == "Goodbye, world.\n"
    assert all(name.startswith("claude-") for name in used_models(done.stdout))
    desk.expect("POST /v1/messages", 3)


def used_models(result: str) -> list[str]:
    """Return the names of the models that a result has usage of."""
    names = list(json.loads(result)["modelUsage"])
    assert names
    return names


def test_an_answer_matches_a_schema(desk: Desk) -> None:
    words = {"type": "array", "items": {"type": "string"}}
    schema = {"type": "object", "properties": {"words": words}, "required": ["words"]}
    result = result_of(desk, SCHEMA, "--json-schema", json.dumps(schema))
    assert result["structured_output"] == {"words": ["Hello", "world"]}


def test_an_agent_is_sent_by_another(desk: Desk) -> None:
    assert result_of(desk, DELEGATED)["result"] == "It says Hello."
    desk.expect("POST /v1/messages", 4)


def test_a_search_of_the_web_is_answered_without_the_hosted_tool(desk: Desk) -> None:
    assert result_of(desk, SEARCH)["result"] == "Nothing was found."
    desk.expect("POST /v1/messages", 4)


def test_what_is_refused_is_shown_in_the_servers_words(desk: Desk) -> None:
    done = claude(desk, TASK, ANTHROPIC_MODEL="nobody")
    assert done.returncode != 0
    assert "nobody" in done.stdout
    assert desk.file.read_text() == "Hello, world.\n"
