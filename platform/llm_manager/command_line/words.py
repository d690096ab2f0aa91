"""The words of the command line, and what a word that is none of them may mean."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Other words for verbs.
ALIASES: dict[str, str] = {}
#: Short words for management commands: their names, and what they do.
MANAGEMENT = {
    "engine": ("run_engine", "Run only this machine's engine (Django's run_engine)."),
    "scan": (
        "scan_models",
        "Register the models in the models directory (scan_models).",
    ),
    "key": ("create_api_key", "Create an API key (create_api_key)."),
}

_LOADING = (
    "a model is loaded by its first request, on the page Models of the admin, or by "
    "POST /v1/models/{id}/load."
)
_UNLOADING = (
    "a model is unloaded on the page Models of the admin, or by "
    "POST /v1/models/{id}/unload."
)
_FETCHING = "put GGUF files into the models directory, then run `llm-manager scan`."
_STOPPING = "press Ctrl-C where the server runs, or send it SIGTERM."
_ASKING = "ask the API: the server prints a `curl` command when it is ready."


def _run(command: str) -> str:
    return f"did you mean `llm-manager {command}`?"


#: What other servers call a thing, and where it is here.
MEANINGS = {
    **dict.fromkeys(("serve", "start", "run", "up", "launch"), _run("server")),
    **dict.fromkeys(("quickstart", "init", "demo"), _run("server --quickstart")),
    **dict.fromkeys(("worker", "workers", "node", "nodes"), _run("engine")),
    **dict.fromkeys(("models", "list", "ls", "register", "import"), _run("scan")),
    **dict.fromkeys(("keys", "apikey", "api-key", "api_key", "token"), _run("key")),
    **dict.fromkeys(("user", "users", "admin", "adduser"), _run("createsuperuser")),
    **dict.fromkeys(("password", "passwd"), _run("changepassword")),
    "version": _run("--version"),
    **dict.fromkeys(("load", "preload", "warm"), _LOADING),
    **dict.fromkeys(("unload", "eject"), _UNLOADING),
    **dict.fromkeys(("pull", "download", "fetch", "add", "install"), _FETCHING),
    **dict.fromkeys(("stop", "down", "shutdown"), _STOPPING),
    **dict.fromkeys(("chat", "ask", "generate", "complete"), _ASKING),
}


def unknown_command(word: str, ours: Iterable[str], others: Iterable[str]) -> str:
    """Return the sentence for a word that is no command.

    ``ours`` are suggested before Django's, which are in ``others``.
    """
    meaning = MEANINGS.get(word.lower())
    if meaning is None:
        for words in (tuple(ours), tuple(others)):
            if near := difflib.get_close_matches(word.lower(), words, n=1):
                meaning = _run(near[0])
                break
    said = f"{meaning[0].upper()}{meaning[1:]} " if meaning else ""
    return f"Unknown command: '{word}'. {said}`llm-manager help` lists the commands."
