"""``python -m benchmarks``: one of the harness's commands."""

from __future__ import annotations

import signal
import sys

from benchmarks.commands import (
    embeddings,
    faults,
    gpu,
    grammars,
    hostile,
    idle,
    nodes,
    schemas,
    start,
    targets,
    usage,
)
from benchmarks.commands.beside import batches, interference, media
from benchmarks.commands.compare import compare
from benchmarks.commands.scale import affinity, fleet, upstream, web
from benchmarks.commands.soak import soak
from benchmarks.commands.step_profile import profile
from benchmarks.options.commands import (
    AffinityOptions,
    BatchOptions,
    CompareOptions,
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
    TargetOptions,
    UpstreamOptions,
    UsageOptions,
    WebOptions,
)
from benchmarks.options.parsing import parse


def main() -> int:
    """Run a command; return the exit status."""
    # As Ctrl-C, for which asyncio ends what it runs in order: the processes that were
    # started must be stopped.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        return _run()
    except KeyboardInterrupt:
        return 130


def _run() -> int:
    match parse(sys.argv[1:]):
        case AffinityOptions() as options:
            return affinity.measure(options)
        case BatchOptions() as options:
            return batches.measure(options)
        case CompareOptions() as options:
            return compare(options)
        case EmbeddingOptions() as options:
            return embeddings.measure(options)
        case FaultOptions() as options:
            return faults.inflict(options)
        case NodesOptions() as options:
            return nodes.inflict(options)
        case FleetOptions() as options:
            return fleet.measure(options)
        case GpuOptions() as options:
            return gpu.measure(options)
        case GrammarOptions() as options:
            return grammars.measure(options)
        case InterferenceOptions() as options:
            return interference.measure(options)
        case MediaOptions() as options:
            return media.measure(options)
        case ProfileOptions() as options:
            return profile(options)
        case SchemaOptions() as options:
            return schemas.measure(options)
        case HostileOptions() as options:
            return hostile.measure(options)
        case IdleOptions() as options:
            return idle.measure(options)
        case StartOptions() as options:
            return start.measure(options)
        case TargetOptions() as options:
            return targets.measure(options)
        case SoakOptions() as options:
            return soak(options)
        case UpstreamOptions() as options:
            return upstream.measure(options)
        case UsageOptions() as options:
            return usage.measure(options)
        case WebOptions() as options:
            return web.measure(options)


if __name__ == "__main__":
    sys.exit(main())
