"""From a command line to what a command is asked to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.options import comparisons, single
from benchmarks.options.arguments import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.options.commands import Options


def parse(arguments: Sequence[str]) -> Options:
    """Return the options of a command line. Raises SystemExit.

    The command may be left out; then it is ``compare``.
    """
    command, rest = "compare", list(arguments)
    if rest and not rest[0].startswith("-"):
        command = rest.pop(0)
    match command:
        case "compare":
            return comparisons.compare(rest)
        case "scaling":
            return comparisons.scaling(rest)
        case "features":
            return comparisons.features(rest)
        case "embeddings":
            return single.embeddings(rest)
        case "profile":
            return single.profile(rest)
        case "interference":
            return single.interference(rest)
        case "grammars":
            return single.grammars(rest)
        case "schemas":
            return single.schemas(rest)
        case "hostile":
            return single.hostile(rest)
        case "soak":
            return single.soak(rest)
        case "faults":
            return single.faults(rest)
        case "nodes":
            return single.nodes(rest)
        case "usage":
            return single.usage(rest)
        case "idle":
            return single.idle(rest)
        case "batches":
            return single.batches(rest)
        case "media":
            return single.media(rest)
        case "start":
            return single.start(rest)
        case "targets":
            return comparisons.targets(rest)
        case "gpu":
            return single.gpu(rest)
        case "affinity":
            return single.affinity(rest)
        case "fleet":
            return single.fleet(rest)
        case "upstream":
            return single.upstream(rest)
        case "web":
            return single.web(rest)
    raise SystemExit(
        f"There is no command {command}: choose from {', '.join(COMMANDS)}."
    )
