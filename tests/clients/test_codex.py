"""Codex CLI of OpenAI, as npm has it, on a scripted model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.clients.agents import call
from tests.clients.client import MODEL as SAMPLE
from tests.clients.client import Client
from tests.clients.node_scripts import versions
from tests.scripted.names import MODEL

if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import CompletedProcess

    from tests.clients.agents import Desk

CLIENT = Client(
    "Codex CLI",
    ("@openai/codex",),
    """
    model = "SmolLM2-135M-Instruct.Q4_1"
    model_provider = "local"

    [model_providers.local]
    name = "LLM Manager"
    base_url = "http://localhost:8000/v1"
    env_key = "LLM_MANAGER_KEY"
    wire_api = "responses"
    """,
    language="toml",
    note="This is `~/.codex/config.toml`, and `LLM_MANAGER_KEY` has the key. Its first "
    "request has some 11,000 tokens: give the model a context of 32,768 or more. "
    "`web_search` is left out, and said. Proven with a model that says what the tests "
    "script, because one of 135M parameters edits no files.",
    versions=versions("@openai/codex"),
)
TASK = "Change greeting.txt by a command: it must say Goodbye."
IN_JAVASCRIPT = "Change greeting.txt by a script: it must say Goodbye."
AGAIN = "What does greeting.txt say now?"
SCHEMA = "What is said in greeting.txt, as an object?"
EDIT = "sed -i s/Hello/Goodbye/ greeting.txt && cat greeting.txt"
JAVASCRIPT = f"text(await tools.exec_command({json.dumps({'cmd': EDIT})}));"
SCRIPT = {
    TASK: [
        "<think>sed will do.</think>I change it.\n"
        + call("exec_command", json.dumps({"cmd": EDIT})),
        "It says Goodbye.",
    ],
    IN_JAVASCRIPT: [
        call("functions__exec", json.dumps({"input": JAVASCRIPT})),
        "It says Goodbye.",
    ],
    AGAIN: ["<think>I changed it.</think>Goodbye, as before."],
    SCHEMA: ['{"words": ["Goodbye", "world"]}'],
}
#: Beside what docs/clients.md shows: it must not look for newer versions of itself.
_ALONE = """
check_for_update_on_startup = false

[analytics]
enabled = false
"""


@pytest.fixture
def desk(make_desk: Callable[..., Desk]) -> Desk:
    """Where Codex works, configured as the page says."""
    desk = make_desk(lambda _: SCRIPT)
    folder = desk.home / ".codex"
    folder.mkdir()
    lines = CLIENT.at(desk.server).replace(SAMPLE, MODEL)
    top, providers = lines.split("\n\n")
    (folder / "config.toml").write_text(f"{top}\n{_ALONE}\n{providers}\n")
    return desk


def codex(desk: Desk, *arguments: str) -> CompletedProcess[str]:
    """Run `codex exec`."""
    return desk.run(
        "@openai/codex/bin/codex.js",
        "exec",
        *arguments,
        "--json",
        "--skip-git-repo-check",
        # The commands are the script's, and a container may have no sandbox.
        "--dangerously-bypass-approvals-and-sandbox",
        LLM_MANAGER_KEY=desk.server.key,
    )


def events_of(desk: Desk, *arguments: str) -> list[dict[str, Any]]:
    """Run `codex exec`, which must succeed; return its events."""
    done = codex(desk, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def items(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Return the finished items of a kind."""
    done = [event["item"] for event in events if event["type"] == "item.completed"]
    return [item for item in done if item["type"] == kind]


def texts(events: list[dict[str, Any]], kind: str) -> list[str]:
    """Return the texts of the finished items of a kind."""
    return [item["text"] for item in items(events, kind)]


def test_a_file_is_edited_and_the_conversation_goes_on(desk: Desk) -> None:
    events = events_of(desk, TASK)
    assert desk.file.read_text() == "Goodbye, world.\n"
    assert texts(events, "reasoning") == ["sed will do."]
    assert texts(events, "agent_message") == ["I change it.", "It says Goodbye."]
    (command,) = items(events, "command_execution")
    assert (command["exit_code"], command["aggregated_output"]) == (
        0,
        "Goodbye, world.\n",
    )
    assert events[-1]["usage"]["cached_input_tokens"] > 10_000

    resumed = events_of(desk, "resume", "--last", AGAIN)
    assert texts(resumed, "agent_message") == ["Goodbye, as before."]

    desk.expect("POST /v1/responses", 3)


def test_a_model_that_it_knows_by_name_gets_its_tools_in_the_input(desk: Desk) -> None:
    """By its name it has one tool, which runs JavaScript, and a grammar for it."""
    events = events_of(desk, "--model", "gpt-6.2-sol", IN_JAVASCRIPT)
    assert desk.file.read_text() == "Goodbye, world.\n"
    assert texts(events, "agent_message") == ["It says Goodbye."]
    desk.expect("POST /v1/responses", 2)


def test_an_answer_matches_a_schema(desk: Desk) -> None:
    schema = desk.home / "schema.json"
    words = {"type": "array", "items": {"type": "string"}}
    schema.write_text(
        json.dumps(
            {
                "type": "object",
                "properties": {"words": words},
                "required": ["words"],
                "additionalProperties": False,
            }
        )
    )
    events = events_of(desk, "--output-schema", str(schema), SCHEMA)
    (text,) = texts(events, "agent_message")
    assert json.loads(text) == {"words": ["Goodbye", "world"]}
    desk.expect("POST /v1/responses", 1)


def test_what_is_refused_is_shown_in_the_servers_words(desk: Desk) -> None:
    done = codex(desk, "--model", "nobody", TASK)
    assert done.returncode != 0
    assert "nobody" in done.stdout
    assert "does not exist" in done.stdout
    assert desk.file.read_text() == "Hello, world.\n"
