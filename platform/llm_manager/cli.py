"""`llm-manager`: every command under one name, and what its failures say."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from llm_manager.command_line.environment import in_words_of_options
from llm_manager.command_line.exit_status import CommandFailed, ExitStatus
from llm_manager.command_line.program import program

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAME = "llm-manager"


def main() -> None:
    """Run the command line and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit status.

    A failure is one sentence on standard error.
    """
    try:
        status = program.main(list(arguments), prog_name=_NAME, standalone_mode=False)
        # What an exit flushes may fail, too, and would print a traceback.
        sys.stdout.flush()
    except click.exceptions.Abort:
        return ExitStatus.INTERRUPTED
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED
    except BrokenPipeError:
        _forget_output()
        return ExitStatus.FAILED
    except Exception as error:
        if "--traceback" in arguments:
            raise
        known = _explain(error, arguments)
        if known is None:
            raise
        from llm_manager.launcher.child_process import say

        sentence, failure = known
        say(sentence)
        return failure
    return status if isinstance(status, int) else ExitStatus.DONE


def _explain(
    error: Exception, arguments: Sequence[str]
) -> tuple[str, ExitStatus] | None:
    """Return a sentence for a known failure, and its status; None for a bug."""
    if isinstance(error, CommandFailed):
        return str(error), error.status
    if isinstance(error, click.ClickException):
        return _usage(error), ExitStatus.WRONG_USAGE
    from llm_manager.config.reading import ConfigError, load_config

    if isinstance(error, ConfigError):
        return in_words_of_options(str(error), arguments), ExitStatus.WRONG_USAGE
    from llm_manager.launcher.errors import explain

    known = explain(error, load_config().data_dir)
    return None if known is None else (str(known), ExitStatus.FAILED)


def _usage(error: click.ClickException) -> str:
    """Return what is wrong with the command line, and where its words are described."""
    sentence = error.format_message()
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = _NAME if context is None else context.command_path
    return f"{sentence} `{path} --help` describes it."


def _forget_output() -> None:
    """Let what is still to be written go nowhere: its reader has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
