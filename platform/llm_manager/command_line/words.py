"""The words of the command line, and what a word that is none of them may mean."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Other words for verbs.
ALIASES = {"ls": "list", "rm": "delete", "stop": "unload"}
#: Short words for management commands: their names, and what they do.
MANAGEMENT = {
    "engine": ("run_engine", "Run only this machine's engine (Django's run_engine)."),
    "scan": (
        "scan_models",
        "Register the models in the models directory (scan_models).",
    ),
}

_STOPPING = "press Ctrl-C where the server runs, or send it SIGTERM."


def _run(command: str) -> str:
    return f"did you mean `llm-manager {command}`?"


#: What other servers call a thing, and where it is here.
MEANINGS = {
    **dict.fromkeys(("serve", "start", "up", "launch"), _run("server")),
    **dict.fromkeys(("quickstart", "init", "demo"), _run("server --quickstart")),
    **dict.fromkeys(("worker", "workers", "node", "nodes"), _run("engine")),
    **dict.fromkeys(("models", "tags"), _run("list")),
    **dict.fromkeys(("register", "import"), _run("scan")),
    **dict.fromkeys(("keys", "apikey", "api-key", "api_key", "token"), _run("key")),
    **dict.fromkeys(("users", "adduser", "account", "people"), _run("user")),
    **dict.fromkeys(("teams", "group", "groups"), _run("team")),
    **dict.fromkeys(("admin", "superuser"), _run("createsuperuser")),
    **dict.fromkeys(("password", "passwd"), _run("changepassword")),
    "version": _run("--version"),
    **dict.fromkeys(("preload", "warm"), _run("load")),
    **dict.fromkeys(("dump", "export", "save"), _run("backup")),
    "eject": _run("unload"),
    "remove": _run("delete"),
    **dict.fromkeys(("status", "top"), _run("ps")),
    **dict.fromkeys(("info", "describe"), _run("show")),
    **dict.fromkeys(("log", "journal"), _run("logs")),
    "benchmark": _run("bench"),
    **dict.fromkeys(("download", "fetch", "add", "install"), _run("pull")),
    **dict.fromkeys(("down", "shutdown", "quit"), _STOPPING),
    **dict.fromkeys(("chat", "ask", "generate", "complete"), _run("run")),
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
