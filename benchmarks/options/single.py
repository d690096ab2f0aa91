"""The command lines that measure one thing each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.fleet.costs import MACHINES
from benchmarks.options.arguments import (
    ROUNDS,
    add_number,
    add_quantization,
    command_parser,
    minutes,
    positive,
)
from benchmarks.options.commands import (
    AffinityOptions,
    BatchOptions,
    EmbeddingOptions,
    FaultOptions,
    FleetOptions,
    GpuOptions,
    GrammarOptions,
    HostileOptions,
    IdleOptions,
    InterferenceOptions,
    MediaOptions,
    NodesOptions,
    ProfileOptions,
    SchemaOptions,
    SoakOptions,
    StartOptions,
    UpstreamOptions,
    UsageOptions,
    WebOptions,
)
from benchmarks.workloads.attacks import ATTACKS
from benchmarks.workloads.random_model import FILE_TYPES, SHAPES

if TYPE_CHECKING:
    import argparse

#: What a request costs, how long pages take, what kills leave.
USAGE_PARTS = ("cost", "rows", "kills", "long")
#: What is encoded beside streams.
MEDIA = ("image", "sound")


def embeddings(arguments: list[str]) -> EmbeddingOptions:
    parser = command_parser("embeddings", "Vectors of many texts, beside llama-server.")
    for name, default in (("requests", 8), ("batch", 16), ("tokens", 64)):
        parser.add_argument(f"--{name}", type=positive, default=default, metavar="N")
    parser.add_argument("--rounds", type=positive, default=ROUNDS, metavar="N")
    return EmbeddingOptions(**vars(parser.parse_args(arguments)))


def schemas(arguments: list[str]) -> SchemaOptions:
    parser = command_parser("schemas", "Answers to 50 schemas, beside llama-server.")
    parser.add_argument("--tokens", type=positive, default=256, metavar="N")
    parser.add_argument("--model", type=Path, metavar="FILE", help="another model")
    return SchemaOptions(**vars(parser.parse_args(arguments)))


def profile(arguments: list[str]) -> ProfileOptions:
    parser = command_parser(
        "profile", "Where the time of a step of the bare engine goes."
    )
    parser.add_argument(
        "--streams", type=positive, nargs="+", metavar="N", default=[1, 16]
    )
    add_quantization(parser)
    options = parser.parse_args(arguments)
    return ProfileOptions(tuple(options.streams), options.quantization)


def interference(arguments: list[str]) -> InterferenceOptions:
    parser = command_parser(
        "interference", "Inter-token latency of streams beside a long prompt's prefill."
    )
    for name, default in (("streams", 8), ("prompt-tokens", 1500), ("rounds", 10)):
        parser.add_argument(f"--{name}", type=positive, default=default, metavar="N")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="for a busy machine: one thread, and its CPU time as the clock",
    )
    parser.add_argument(
        "--targets",
        type=int,
        nargs="+",
        default=(),
        metavar="MS",
        help="compare these targets of the ITL instead; 0 is none",
    )
    add_quantization(parser)
    return InterferenceOptions(**vars(parser.parse_args(arguments)))


def grammars(arguments: list[str]) -> GrammarOptions:
    parser = command_parser(
        "grammars", "GBNF by llguidance, and by llama.cpp's own sampler."
    )
    parser.add_argument("--rounds", type=positive, default=5, metavar="N")
    return GrammarOptions(**vars(parser.parse_args(arguments)))


def hostile(arguments: list[str]) -> HostileOptions:
    parser = command_parser("hostile", "A quiet client's latency beside attacks.")
    parser.add_argument(
        "--attacks",
        nargs="+",
        metavar="NAME",
        choices=list(ATTACKS),
        default=list(ATTACKS),
        help=f"of {', '.join(ATTACKS)}",
    )
    parser.add_argument(
        "--rounds",
        type=positive,
        default=5,
        metavar="N",
        help="windows of time with the attack, each between two without (default: 5)",
    )
    parser.add_argument(
        "--seconds", type=positive, default=5, help="of a window (default: 5)"
    )
    parser.add_argument(
        "--limit",
        type=positive,
        default=2,
        help="most that the p95 may grow by, as a factor (default: 2)",
    )
    add_quantization(parser)
    options = parser.parse_args(arguments)
    return HostileOptions(
        *(tuple(options.attacks), options.rounds, options.seconds),
        *(options.limit, options.quantization),
    )


def soak(arguments: list[str]) -> SoakOptions:
    parser = command_parser(
        "soak", "A random load on the whole server; fails on errors and on leaks."
    )
    parser.add_argument(
        "--minutes", type=minutes, default=30.0, help="at least 0.5 (default: 30)"
    )
    parser.add_argument(
        "--clients", type=positive, default=24, help="requests at once (default: 24)"
    )
    parser.add_argument("--seed", type=int, default=1)
    add_quantization(parser)
    options = parser.parse_args(arguments)
    return SoakOptions(
        options.minutes, options.clients, options.seed, options.quantization
    )


def faults(arguments: list[str]) -> FaultOptions:
    parser = command_parser(
        "faults", "Freeze and kill every process under streams; count what is lost."
    )
    parser.add_argument(
        "--seconds",
        type=float,
        nargs="+",
        default=(5, 13, 17, 20, 40),
        help="of the pauses (default: 5 13 17 20 40)",
    )
    _add_rows(parser)
    add_quantization(parser)
    options = parser.parse_args(arguments)
    return FaultOptions(
        tuple(options.seconds),
        tuple(options.only),
        options.quantization,
        options.output,
    )


def nodes(arguments: list[str]) -> NodesOptions:
    parser = command_parser(
        "nodes", "Faults of web processes and nodes of their own; count what is lost."
    )
    parser.add_argument(
        "--streams", type=positive, default=32, metavar="N", help="(default: 32)"
    )
    _add_rows(parser)
    add_quantization(parser)
    options = parser.parse_args(arguments)
    return NodesOptions(
        options.streams, tuple(options.only), options.quantization, options.output
    )


def _add_rows(parser: argparse.ArgumentParser) -> None:
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


def usage(arguments: list[str]) -> UsageOptions:
    parser = command_parser(
        "usage", "What rows of usage cost, how fast they are found, what kills leave."
    )
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=USAGE_PARTS,
        default=USAGE_PARTS[:3],
        metavar="PART",
    )
    parser.add_argument("--rows", type=positive, default=1_000_000, metavar="N")
    parser.add_argument(
        "--minutes", type=float, default=60, help="of the part long (default: 60)"
    )
    parser.add_argument(
        "--postgresql", action="store_true", help="cost and rows: not on SQLite"
    )
    add_quantization(parser)
    options = parser.parse_args(arguments)
    return UsageOptions(
        tuple(options.parts),
        options.rows,
        options.minutes,
        options.postgresql,
        options.quantization,
    )


def affinity(arguments: list[str]) -> AffinityOptions:
    parser = command_parser("affinity", "What replicas find of chats in their caches.")
    for name, default in (("replicas", 4), ("chats", 12), ("turns", 6)):
        parser.add_argument(f"--{name}", type=positive, default=default, metavar="N")
    parser.add_argument(
        "--limit",
        type=float,
        default=0.9,
        help="least of one replica's cached share (default: %(default)s)",
    )
    add_quantization(parser)
    return AffinityOptions(**vars(parser.parse_args(arguments)))


def idle(arguments: list[str]) -> IdleOptions:
    parser = command_parser("idle", "What the whole server takes while nobody asks.")
    for name, default, help_text in (
        ("seconds", 60.0, "of each measurement"),
        ("settle", 20.0, "seconds before it"),
        ("limit", 0.3, "percent of a core"),
    ):
        add_number(parser, name, float, default, help_text)
    add_quantization(parser)
    return IdleOptions(**vars(parser.parse_args(arguments)))


def gpu(arguments: list[str]) -> GpuOptions:
    parser = command_parser(
        "gpu", "Equality, memory and speed of a model with random weights on a GPU."
    )
    parser.add_argument("--shape", choices=list(SHAPES), default="8b")
    parser.add_argument(
        "--quantizations",
        nargs="+",
        choices=list(FILE_TYPES),
        default=list(FILE_TYPES),
        metavar="TYPE",
    )
    parser.add_argument(
        "--streams", type=positive, nargs="+", metavar="N", default=[1, 8, 32, 64]
    )
    parser.add_argument("--n-ctx", type=positive, default=6144, metavar="N")
    parser.add_argument("--rounds", type=positive, default=1, metavar="N")
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", help="for the models; some 9 GB"
    )
    parser.add_argument("--output", type=Path, default=Path("gpu.json"), metavar="FILE")
    options = parser.parse_args(arguments)
    return GpuOptions(
        **{
            **vars(options),
            "quantizations": tuple(options.quantizations),
            "streams": tuple(options.streams),
        }
    )


def start(arguments: list[str]) -> StartOptions:
    parser = command_parser("start", "How soon an answer begins: cold, and unloaded.")
    parser.add_argument("--rounds", type=positive, default=ROUNDS, metavar="N")
    parser.add_argument(
        "--rest",
        type=float,
        default=15.0,
        metavar="N",
        help="seconds for which the model is unloaded (default: %(default)s)",
    )
    parser.add_argument(
        "--shape",
        choices=list(SHAPES),
        help="a model of random weights in Q8_0 instead of the sample",
    )
    add_quantization(parser)
    return StartOptions(**vars(parser.parse_args(arguments)))


def batches(arguments: list[str]) -> BatchOptions:
    parser = command_parser("batches", "What a batch does to the requests beside it.")
    for name, kind, default, help_text in (
        ("lines", int, 10_000, "requests of the batch"),
        ("clients", int, 2, "clients beside it"),
        ("requests", int, 40, "of each client in a phase"),
        ("pause", float, 0.5, "mean of the seconds before a request"),
        ("rounds", int, ROUNDS, "of both phases"),
        ("limit", float, 1.1, "most of the ratio of the p95"),
    ):
        add_number(parser, name, kind, default, help_text)
    add_quantization(parser)
    return BatchOptions(**vars(parser.parse_args(arguments)))


def media(arguments: list[str]) -> MediaOptions:
    parser = command_parser("media", "Streams beside the encoding of images, sounds.")
    parser.add_argument(
        "--kinds", nargs="+", choices=MEDIA, default=MEDIA, metavar="KIND"
    )
    for name, kind, default, help_text in (
        ("streams", positive, 4, "that decode"),
        ("rounds", positive, ROUNDS, "of all phases"),
        ("limit", float, 60, "most milliseconds of the ITL's p95"),
    ):
        add_number(parser, name, kind, default, help_text)
    add_quantization(parser)
    options = vars(parser.parse_args(arguments))
    return MediaOptions(**{**options, "kinds": tuple(options["kinds"])})


def web(arguments: list[str]) -> WebOptions:
    parser = command_parser("web", "What one web process carries, with a null engine.")
    for name, default, help_text in (
        ("streams", 64, "that are answered at once"),
        ("tokens", 128, "of a long answer"),
    ):
        add_number(parser, name, positive, default, help_text)
    for name, number, help_text in (
        ("step-ms", 10.0, "of a step of the engine"),
        ("seconds", 15.0, "of each measurement"),
        ("tokens-per-s", 5000.0, "the least of one core"),
        ("requests-per-s", 300.0, "the least of one core"),
    ):
        add_number(parser, name, float, number, help_text)
    return WebOptions(**vars(parser.parse_args(arguments)))


def upstream(arguments: list[str]) -> UpstreamOptions:
    parser = command_parser(
        "upstream", "What passing on an upstream's tokens costs a web process."
    )
    for name, default, help_text in (
        ("streams", 32, "that are passed on at once"),
        ("tokens", 128, "of a long answer"),
    ):
        add_number(parser, name, positive, default, help_text)
    for name, number, help_text in (
        ("step-ms", 20.0, "between two tokens of a stream"),
        ("seconds", 15.0, "of each measurement"),
        ("limit-ms", 0.3, "of CPU, the most for a token"),
    ):
        add_number(parser, name, float, number, help_text)
    return UpstreamOptions(**vars(parser.parse_args(arguments)))


def fleet(arguments: list[str]) -> FleetOptions:
    parser = command_parser("fleet", "Fleets of nodes in simulated time.")
    parser.add_argument(
        "--nodes", type=positive, nargs="+", metavar="N", default=[1, 10, 100]
    )
    parser.add_argument("--machine", choices=list(MACHINES), default="cpu")
    for name, default, help_text in (
        ("requests", 20_000, "of each fleet"),
        ("replicas", 8, "nodes with the same model"),
        ("redis", 1, "shards of Redis"),
        ("processes", 2, "fleets at once"),
    ):
        add_number(parser, name, positive, default, help_text)
    for name, default, help_text in (
        ("webs", 0, "web processes; 0 is as many as the load takes"),
        ("bound", 8, "of prefix affinity; 0 is none"),
        ("seed", 1, "of the traffic"),
    ):
        add_number(parser, name, int, default, help_text)
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw charts")
    options = vars(parser.parse_args(arguments))
    return FleetOptions(**{**options, "nodes": tuple(options["nodes"])})
