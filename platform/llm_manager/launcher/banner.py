"""The text that the launcher prints when the server is ready."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import llm_manager

if TYPE_CHECKING:
    from pathlib import Path

    from llm_manager.launcher.quickstart import Credentials

#: Said at the start and on the admin's first page.
OPEN_DOOR = (
    "auth.required is false: everyone who can reach this address can use the "
    "models, without an API key or with any text as one."
)


def ready_lines(base_url: str, *, auth_required: bool) -> list[str]:
    """Return the addresses, and a warning if no API key is required."""
    lines = [
        f"LLM Manager {llm_manager.__version__} is ready.",
        "",
        f"  API       {base_url}/v1",
        f"  Admin     {base_url}/admin/",
    ]
    if not auth_required:
        lines += ["", f"  WARNING: {OPEN_DOOR}", ""]
    return lines


NO_KEY = (
    "There is no API key yet. `llm-manager createsuperuser`, then",
    "`llm-manager key create --name NAME` make one while this runs;",
    "`llm-manager --quickstart` makes both at its start.",
)


def quickstart_lines(
    credentials: Credentials, *, model: str | None, models_dir: Path, file: Path
) -> list[str]:
    """Return the administrator, the API key and a command to try."""
    password = credentials.admin_password or (
        f"unchanged; `llm-manager changepassword {credentials.admin_user}` changes it"
    )
    lines = [
        f"  User      {credentials.admin_user}",
        f"  Password  {password}",
        f"  API key   {credentials.api_key}",
        f"  Saved in  {file}",
        "",
    ]
    if model is None:
        return [
            *lines,
            f"  There is no chat model yet. Put GGUF files into {models_dir}",
            "  and run `llm-manager scan`.",
        ]
    return [
        *lines,
        "Try it (Ctrl-C here stops the server):",
        "",
        curl_command(credentials, model),
    ]


def curl_command(credentials: Credentials, model: str) -> str:
    """Return a shell command that streams a chat completion."""
    body = json.dumps(
        {
            "model": model,
            "messages": [{"role": "user", "content": "Tell me a joke."}],
            "stream": True,
        }
    )
    return " ".join(
        [
            f"curl -N {shlex.quote(credentials.base_url + '/chat/completions')}",
            f"-H {shlex.quote(f'Authorization: Bearer {credentials.api_key}')}",
            "-H 'Content-Type: application/json'",
            f"-d {shlex.quote(body)}",
        ]
    )
