"""Options that are configuration keys: they reach every process as variables."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from llm_manager.config.variables import ENVIRONMENT_PREFIX, environment_name

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Options, and the environment variables that pass them to child processes.
VARIABLES = {
    "config": ENVIRONMENT_PREFIX + "CONFIG",
    "data_dir": environment_name("data_dir"),
    "models_dir": environment_name("models.dir"),
    "host": environment_name("server.host"),
    "port": environment_name("server.port"),
    "workers": environment_name("server.workers"),
}


def set_environment(**options: str | None) -> None:
    """Put options that were given into the environment, where they win."""
    for option, value in options.items():
        if value is not None:
            os.environ[VARIABLES[option]] = value


def in_words_of_options(message: str, arguments: Sequence[str]) -> str:
    """Replace a variable in a message by the option that has set it."""
    for option, variable in VARIABLES.items():
        flag = f"--{option.replace('_', '-')}"
        was_given = any(word.split("=")[0] == flag for word in arguments)
        if was_given and message.startswith(f"{variable}:"):
            return message.replace(variable, flag, 1)
    return message
