"""What the command lines share: their parser, numbers and the model's quantization."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from benchmarks.model import QUANTIZATIONS

if TYPE_CHECKING:
    from collections.abc import Callable

COMMANDS = (
    "compare",
    "scaling",
    "features",
    "embeddings",
    "profile",
    "interference",
    "grammars",
    "schemas",
    "hostile",
    "soak",
    "faults",
    "nodes",
    "usage",
    "idle",
    "batches",
    "media",
    "start",
    "targets",
    "gpu",
    "affinity",
    "web",
    "upstream",
    "fleet",
)
#: How often a command measures, unless it is given.
ROUNDS = 3


def command_parser(command: str, description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"python -m benchmarks {command}",
        description=description,
        epilog=f"Commands: {', '.join(COMMANDS)}.",
    )


def add_number(
    parser: argparse.ArgumentParser,
    name: str,
    kind: Callable[[str], float],
    default: float,
    help_text: str,
) -> None:
    """Add an option for a number, whose help ends with its default."""
    parser.add_argument(
        f"--{name}",
        type=kind,
        default=default,
        metavar="N",
        help=f"{help_text} (default: %(default)s)",
    )


def add_quantization(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--quantization",
        choices=list(QUANTIZATIONS),
        default=next(iter(QUANTIZATIONS)),
        help="of the sample model (default: %(default)s)",
    )


def minutes(text: str) -> float:
    number = float(text)
    # Memory is compared between parts of the time, each with samples in it.
    if not 0.5 <= number < math.inf:
        raise ValueError(text)
    return number


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number
