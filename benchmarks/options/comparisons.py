"""The command lines that compare systems under the same workloads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.options.arguments import (
    ROUNDS,
    add_quantization,
    command_parser,
    positive,
)
from benchmarks.options.commands import CompareOptions, TargetOptions
from benchmarks.systems import DEFAULT_SYSTEMS, SYSTEMS
from benchmarks.workloads.features import FEATURE_WORKLOADS
from benchmarks.workloads.serving import (
    QUICK_WORKLOADS,
    SCALING_WORKLOADS,
    WORKLOADS,
    Burst,
)

if TYPE_CHECKING:
    import argparse

    from benchmarks.workloads.serving import Workload


def compare(arguments: list[str]) -> CompareOptions:
    parser = command_parser("compare", "Compare systems under the same workloads.")
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
        type=positive,
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
    return _common(options, workloads, 1 if options.quick else ROUNDS)


def scaling(arguments: list[str]) -> CompareOptions:
    parser = command_parser(
        "scaling", "Throughput and ITL by streams, prompt length and context depth."
    )
    _add_common(parser, systems=("ours",))
    return _common(parser.parse_args(arguments), SCALING_WORKLOADS, ROUNDS)


def features(arguments: list[str]) -> CompareOptions:
    parser = command_parser(
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
    return _common(options, chosen, ROUNDS)


#: What users send: prompts and answers mixed.
_MIXING = ("chat", "newcomer", "mixed")


def targets(arguments: list[str]) -> TargetOptions:
    parser = command_parser(
        "targets", "Throughput against ITL p95, for targets of the ITL."
    )
    parser.add_argument(
        "--targets", type=int, nargs="+", default=[0, 30, 60, 120, 250], metavar="MS"
    )
    parser.add_argument(
        "--workloads", nargs="+", choices=_MIXING, default=_MIXING, metavar="NAME"
    )
    parser.add_argument("--rounds", type=positive, default=ROUNDS, metavar="N")
    parser.add_argument(
        "--plots", type=Path, metavar="DIR", help="write a chart of each workload there"
    )
    add_quantization(parser)
    options = parser.parse_args(arguments)
    return TargetOptions(
        tuple(options.targets),
        tuple(w for w in WORKLOADS if w.name in options.workloads),
        options.rounds,
        options.plots,
        options.quantization,
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
    parser.add_argument("--rounds", type=positive, metavar="N")
    add_quantization(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, no tables")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the JSON")


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
