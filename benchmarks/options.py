"""The command line."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.model import QUANTIZATIONS
from benchmarks.systems import DEFAULT_SYSTEMS, SYSTEMS
from benchmarks.workloads.attacks import ATTACKS
from benchmarks.workloads.features import FEATURE_WORKLOADS
from benchmarks.workloads.serving import (
    QUICK_WORKLOADS,
    SCALING_WORKLOADS,
    WORKLOADS,
    Burst,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.workloads.serving import Workload

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
    "usage",
)
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """What is measured, how often, and where the figures go."""

    systems: tuple[str, ...]
    workloads: tuple[Workload, ...]
    rounds: int
    quantization: str
    json: bool
    output: Path | None


@dataclass(frozen=True, slots=True)
class ProfileOptions:
    """Of how many streams the steps are taken apart."""

    streams: tuple[int, ...]
    quantization: str


@dataclass(frozen=True, slots=True)
class InterferenceOptions:
    """How many streams decode beside a prompt of how many tokens, how often."""

    streams: int
    prompt_tokens: int
    rounds: int
    cpu_time: bool
    quantization: str


@dataclass(frozen=True, slots=True)
class GrammarOptions:
    """How often each grammar is gone through."""

    rounds: int


@dataclass(frozen=True, slots=True)
class SchemaOptions:
    """The most tokens of an answer; a model's file instead of the sample."""

    tokens: int
    model: Path | None


@dataclass(frozen=True, slots=True)
class HostileOptions:
    """Which attacks, how long each, and the ratio that fails the run."""

    attacks: tuple[str, ...]
    seconds: float
    limit: float
    quantization: str


@dataclass(frozen=True, slots=True)
class SoakOptions:
    """How long, how hard."""

    minutes: float
    clients: int
    seed: int
    quantization: str


@dataclass(frozen=True, slots=True)
class EmbeddingOptions:
    """How many requests at once, of how many texts, how long each, how often."""

    requests: int
    batch: int
    tokens: int
    rounds: int


@dataclass(frozen=True, slots=True)
class FaultOptions:
    """How long the pauses are, which faults, and the page that gets the rows."""

    seconds: tuple[float, ...]
    only: tuple[str, ...]
    quantization: str
    output: Path | None

    def has(self, name: str) -> bool:
        """Whether the fault of this name is chosen."""
        return not self.only or any(word in name for word in self.only)


@dataclass(frozen=True, slots=True)
class UsageOptions:
    """Which parts are measured, and how many rows there are."""

    parts: tuple[str, ...]
    rows: int
    minutes: float
    is_postgresql: bool
    quantization: str


Options = (
    CompareOptions
    | EmbeddingOptions
    | FaultOptions
    | GrammarOptions
    | HostileOptions
    | InterferenceOptions
    | ProfileOptions
    | SchemaOptions
    | SoakOptions
    | UsageOptions
)


def parse(arguments: Sequence[str]) -> Options:
    """Return the options of a command line. Raises SystemExit.

    The command may be left out; then it is ``compare``.
    """
    command, rest = "compare", list(arguments)
    if rest and not rest[0].startswith("-"):
        command = rest.pop(0)
    match command:
        case "compare":
            return _compare(rest)
        case "scaling":
            return _scaling(rest)
        case "features":
            return _features(rest)
        case "embeddings":
            return _embeddings(rest)
        case "profile":
            return _profile(rest)
        case "interference":
            return _interference(rest)
        case "grammars":
            return _grammars(rest)
        case "schemas":
            return _schemas(rest)
        case "hostile":
            return _hostile(rest)
        case "soak":
            return _soak(rest)
        case "faults":
            return _faults(rest)
        case "usage":
            return _usage(rest)
    raise SystemExit(
        f"There is no command {command}: choose from {', '.join(COMMANDS)}."
    )


def _compare(arguments: list[str]) -> CompareOptions:
    parser = _parser("compare", "Compare systems under the same workloads.")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a few short workloads, one round: under two minutes",
    )
    parser.add_argument(
        "--workloads",
        nargs="+",
        metavar="NAME",
        choices=[workload.name for workload in WORKLOADS],
        help=f"of {', '.join(workload.name for workload in WORKLOADS)}",
    )
    parser.add_argument(
        "--streams",
        type=_positive,
        nargs="+",
        metavar="N",
        help="decode with these numbers of streams, and nothing else",
    )
    _add_common(parser, systems=DEFAULT_SYSTEMS)
    options = parser.parse_args(arguments)
    if options.quick + bool(options.workloads) + bool(options.streams) > 1:
        parser.error("--quick, --workloads and --streams exclude each other")
    workloads: tuple[Workload, ...] = WORKLOADS
    if options.quick:
        workloads = QUICK_WORKLOADS
    elif options.workloads:
        workloads = tuple(w for w in WORKLOADS if w.name in options.workloads)
    elif options.streams:
        workloads = tuple(Burst(f"decode-{n}", streams=n) for n in options.streams)
    return _common(options, workloads, 1 if options.quick else _ROUNDS)


def _scaling(arguments: list[str]) -> CompareOptions:
    parser = _parser(
        "scaling", "Throughput and ITL by streams, prompt length and context depth."
    )
    _add_common(parser, systems=("ours",))
    return _common(parser.parse_args(arguments), SCALING_WORKLOADS, _ROUNDS)


def _features(arguments: list[str]) -> CompareOptions:
    parser = _parser(
        "features", "Grammars, probabilities and drafts, beside plain requests."
    )
    parser.add_argument(
        "--workloads",
        nargs="+",
        metavar="NAME",
        choices=[workload.name for workload in FEATURE_WORKLOADS],
        help=f"of {', '.join(workload.name for workload in FEATURE_WORKLOADS)}",
    )
    _add_common(parser, systems=("ours", "llama-server"))
    options = parser.parse_args(arguments)
    names = options.workloads or [workload.name for workload in FEATURE_WORKLOADS]
    chosen = tuple(w for w in FEATURE_WORKLOADS if w.name in names)
    return _common(options, chosen, _ROUNDS)


def _embeddings(arguments: list[str]) -> EmbeddingOptions:
    parser = _parser("embeddings", "Vectors of many texts, beside llama-server.")
    for name, default in (("requests", 8), ("batch", 16), ("tokens", 64)):
        parser.add_argument(f"--{name}", type=_positive, default=default, metavar="N")
    parser.add_argument("--rounds", type=_positive, default=_ROUNDS, metavar="N")
    return EmbeddingOptions(**vars(parser.parse_args(arguments)))


def _schemas(arguments: list[str]) -> SchemaOptions:
    parser = _parser("schemas", "Answers to 50 schemas, beside llama-server.")
    parser.add_argument("--tokens", type=_positive, default=256, metavar="N")
    parser.add_argument("--model", type=Path, metavar="FILE", help="another model")
    return SchemaOptions(**vars(parser.parse_args(arguments)))


def _profile(arguments: list[str]) -> ProfileOptions:
    parser = _parser("profile", "Where the time of a step of the bare engine goes.")
    parser.add_argument(
        "--streams", type=_positive, nargs="+", metavar="N", default=[1, 16]
    )
    _add_quantization(parser)
    options = parser.parse_args(arguments)
    return ProfileOptions(tuple(options.streams), options.quantization)


def _interference(arguments: list[str]) -> InterferenceOptions:
    parser = _parser(
        "interference", "Inter-token latency of streams beside a long prompt's prefill."
    )
    for name, default in (("streams", 8), ("prompt-tokens", 1500), ("rounds", 10)):
        parser.add_argument(f"--{name}", type=_positive, default=default, metavar="N")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="for a busy machine: one thread, and its CPU time as the clock",
    )
    _add_quantization(parser)
    return InterferenceOptions(**vars(parser.parse_args(arguments)))


def _grammars(arguments: list[str]) -> GrammarOptions:
    parser = _parser("grammars", "GBNF by llguidance, and by llama.cpp's own sampler.")
    parser.add_argument("--rounds", type=_positive, default=5, metavar="N")
    return GrammarOptions(**vars(parser.parse_args(arguments)))


def _hostile(arguments: list[str]) -> HostileOptions:
    parser = _parser("hostile", "A quiet client's latency beside attacks.")
    parser.add_argument(
        "--attacks",
        nargs="+",
        metavar="NAME",
        choices=list(ATTACKS),
        default=list(ATTACKS),
        help=f"of {', '.join(ATTACKS)}",
    )
    parser.add_argument(
        "--seconds", type=_positive, default=15, help="for each attack (default: 15)"
    )
    parser.add_argument(
        "--limit",
        type=_positive,
        default=2,
        help="most that the p95 may grow by, as a factor (default: 2)",
    )
    _add_quantization(parser)
    options = parser.parse_args(arguments)
    return HostileOptions(
        *(tuple(options.attacks), options.seconds, options.limit, options.quantization)
    )


def _soak(arguments: list[str]) -> SoakOptions:
    parser = _parser(
        "soak", "A random load on the whole server; fails on errors and on leaks."
    )
    parser.add_argument(
        "--minutes", type=_minutes, default=30.0, help="at least 0.5 (default: 30)"
    )
    parser.add_argument(
        "--clients", type=_positive, default=24, help="requests at once (default: 24)"
    )
    parser.add_argument("--seed", type=int, default=1)
    _add_quantization(parser)
    options = parser.parse_args(arguments)
    return SoakOptions(
        options.minutes, options.clients, options.seed, options.quantization
    )


def _faults(arguments: list[str]) -> FaultOptions:
    parser = _parser(
        "faults", "Freeze and kill every process under streams; count what is lost."
    )
    parser.add_argument(
        "--seconds",
        type=float,
        nargs="+",
        default=(5, 13, 17, 20, 40),
        help="of the pauses (default: 5 13 17 20 40)",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=(),
        metavar="WORDS",
        help="faults whose names have one of these, such as 'web frozen'",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="write the rows into the table of this page, in the place of earlier ones",
    )
    _add_quantization(parser)
    options = parser.parse_args(arguments)
    return FaultOptions(
        tuple(options.seconds),
        tuple(options.only),
        options.quantization,
        options.output,
    )


#: What a request costs, how long pages take, what kills leave.
USAGE_PARTS = ("cost", "rows", "kills", "long")


def _usage(arguments: list[str]) -> UsageOptions:
    parser = _parser(
        "usage", "What rows of usage cost, how fast they are found, what kills leave."
    )
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=USAGE_PARTS,
        default=USAGE_PARTS[:3],
        metavar="PART",
    )
    parser.add_argument("--rows", type=_positive, default=1_000_000, metavar="N")
    parser.add_argument(
        "--minutes", type=float, default=60, help="of the part long (default: 60)"
    )
    parser.add_argument(
        "--postgresql", action="store_true", help="cost and rows: not on SQLite"
    )
    _add_quantization(parser)
    options = parser.parse_args(arguments)
    return UsageOptions(
        tuple(options.parts),
        options.rows,
        options.minutes,
        options.postgresql,
        options.quantization,
    )


def _parser(command: str, description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"python -m benchmarks {command}",
        description=description,
        epilog=f"Commands: {', '.join(COMMANDS)}.",
    )


def _add_common(parser: argparse.ArgumentParser, *, systems: tuple[str, ...]) -> None:
    parser.add_argument(
        "--systems",
        nargs="+",
        metavar="NAME",
        choices=[system.name for system in SYSTEMS],
        default=systems,
        help=f"of {', '.join(system.name for system in SYSTEMS)} "
        f"(default: {' '.join(systems)})",
    )
    parser.add_argument("--rounds", type=_positive, metavar="N")
    _add_quantization(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, no tables")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the JSON")


def _add_quantization(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--quantization",
        choices=list(QUANTIZATIONS),
        default=next(iter(QUANTIZATIONS)),
        help="of the sample model (default: %(default)s)",
    )


def _common(
    options: argparse.Namespace, workloads: tuple[Workload, ...], rounds: int
) -> CompareOptions:
    return CompareOptions(
        systems=tuple(options.systems),
        workloads=workloads,
        rounds=options.rounds or rounds,
        quantization=options.quantization,
        json=options.json,
        output=options.output,
    )


def _minutes(text: str) -> float:
    minutes = float(text)
    # Memory is compared between parts of the time, each with samples in it.
    if not 0.5 <= minutes < math.inf:
        raise ValueError(text)
    return minutes


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number
