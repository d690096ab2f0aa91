"""`llm-manager`: the launcher and every Django command under one name."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

import llm_manager
from llm_manager.command_words import ALIASES, unknown_command
from llm_manager.config.reading import (
    ENVIRONMENT_PREFIX,
    ConfigError,
    environment_name,
    load_config,
)
from llm_manager.launcher.child_process import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_manager.config.schema import Config

#: Options, and the environment variables that pass them to child processes.
_VARIABLES = {
    "config": ENVIRONMENT_PREFIX + "CONFIG",
    "data_dir": environment_name("data_dir"),
    "models_dir": environment_name("models.dir"),
    "host": environment_name("server.host"),
    "port": environment_name("server.port"),
    "workers": environment_name("server.workers"),
}
_COMMANDS = """\
commands:
  server    start Redis, the engine and the web server, and keep them running
  engine    run only the engine (the Django command run_engine)
  web       run only one web process
  scan      register the models in the models directory (scan_models)
  key       create an API key (create_api_key)
  help      describe a command: llm-manager help server
  ...       any other Django command: migrate, createsuperuser, check, shell

`llm-manager COMMAND --help` describes a command too. Options win over environment
variables, and those win over llm_manager.yaml.
"""


def main() -> None:
    """Run the command line and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run a command line and return its exit status."""
    parser = main_parser()
    options = parser.parse_args(arguments)
    if options.command == "help" and options.arguments:
        options.command, options.arguments = options.arguments[0], ["--help"]
    if options.command in (None, "help"):
        parser.print_help()
        return 0
    command = {"server": _server, "web": _web}.get(options.command)
    try:
        _set_environment(options)
        if command is not None:
            return command(options.arguments)
        return _django(options.command, options.arguments)
    except ConfigError as error:
        say(_in_words_of_options(str(error), arguments))
        return 2
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        sentence = _explain(error)
        if sentence is None or "--traceback" in arguments:
            raise
        say(sentence)
        return 1


def main_parser() -> argparse.ArgumentParser:
    """Return the parser of the options before the command, and of its name."""
    parser = argparse.ArgumentParser(
        prog="llm-manager",
        description="Serve GGUF models with an OpenAI-compatible API.",
        epilog=_COMMANDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="llm-manager [options] COMMAND [arguments]",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", action="version", version=f"llm-manager {llm_manager.__version__}"
    )
    _add_places(parser)
    parser.add_argument("command", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def server_parser() -> argparse.ArgumentParser:
    """Return the parser of `llm-manager server`."""
    parser = argparse.ArgumentParser(
        prog="llm-manager server",
        description="Start a private Redis (unless one is configured), the engine and "
        "the web server. Restart them when they exit. Ctrl-C or SIGTERM stops them "
        "in order.",
        allow_abbrev=False,
    )
    _add_address(parser)
    _add_places(parser)
    parser.add_argument("--models-dir", metavar="DIR", help="folder of the GGUF files")
    parser.add_argument(
        "--workers", metavar="N", help="web processes that share the port"
    )
    parser.add_argument(
        "--quickstart",
        action="store_true",
        help="create an administrator, an API key and a sample model at the first "
        "start; print them at every start and save them in quickstart.json",
    )
    return parser


def web_parser() -> argparse.ArgumentParser:
    """Return the parser of `llm-manager web`."""
    parser = argparse.ArgumentParser(
        prog="llm-manager web",
        description="Run one web process. The first SIGTERM lets running requests "
        "finish.",
        allow_abbrev=False,
    )
    _add_address(parser)
    parser.add_argument(
        "--fd",
        type=int,
        metavar="N",
        help="descriptor of an inherited listening socket",
    )
    return parser


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="configuration file (default: llm_manager.yaml)",
    )
    parser.add_argument(
        "--data-dir", metavar="DIR", help="database, keys and models (default: ./data)"
    )


def _add_address(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host", metavar="HOST", help="address to listen on (default: 127.0.0.1)"
    )
    parser.add_argument("--port", metavar="PORT", help="port (default: 8000)")


def _server(arguments: Sequence[str]) -> int:
    options = server_parser().parse_args(arguments)
    config = configure(options)
    from llm_manager.launcher.server import serve

    return serve(config, quickstart=options.quickstart)


def _web(arguments: Sequence[str]) -> int:
    options = web_parser().parse_args(arguments)
    config = configure(options)
    _load_settings()
    from llm_manager.web.process import run as run_web

    run_web(fd=options.fd, host=config.server.host, port=config.server.port)
    return 0


def _django(command: str, arguments: Sequence[str]) -> int:
    _load_settings()
    import django
    from django.core.management import execute_from_command_line, get_commands

    django.setup()
    name = ALIASES.get(command, command)
    if name not in get_commands():
        say(unknown_command(command, get_commands()))
        return 1
    execute_from_command_line(["llm-manager", name, *arguments])
    return 0


def _load_settings() -> None:
    """Load Django's settings. Raises ConfigError if they are wrong."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llm_manager.settings")
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured

    try:
        # Django itself would only report "Unknown command".
        settings.INSTALLED_APPS  # noqa: B018  # reading one reads them all
    except ImproperlyConfigured as error:
        raise ConfigError(str(error)) from None


def configure(options: argparse.Namespace) -> Config:
    """Put the options into the environment and return the configuration."""
    _set_environment(options)
    return load_config()


def _set_environment(options: argparse.Namespace) -> None:
    for option, variable in _VARIABLES.items():
        value = getattr(options, option, None)
        if value is not None:
            os.environ[variable] = value


def _explain(error: Exception) -> str | None:
    """Return a sentence for a known failure, else None."""
    from llm_manager.launcher.errors import explain

    known = explain(error, load_config().data_dir)
    return str(known) if known else None


def _in_words_of_options(message: str, arguments: Sequence[str]) -> str:
    """Replace a variable in a message by the option that has set it."""
    for option, variable in _VARIABLES.items():
        flag = f"--{option.replace('_', '-')}"
        was_given = any(word.split("=")[0] == flag for word in arguments)
        if was_given and message.startswith(f"{variable}:"):
            return message.replace(variable, flag, 1)
    return message
