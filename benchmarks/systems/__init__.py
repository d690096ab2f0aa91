"""The systems under test: how each is started, and what it can do."""

from benchmarks.systems.bare import Bare
from benchmarks.systems.llama_server import LlamaServer
from benchmarks.systems.ours import Ours
from benchmarks.systems.peers import ExampleServer, StockServer
from benchmarks.systems.system import Running, System

#: The system that the others' ratios are to; without it, to the next.
BASELINES = ("llama-server", "bare")

SYSTEMS: tuple[System, ...] = (
    Ours(),
    Ours("ours-no-drafts", (("LLM_MANAGER_ENGINE_DRAFT", "off"),)),
    Bare(),
    LlamaServer("llama-server", ()),
    LlamaServer("llama-server-unified", ("--kv-unified",)),
    ExampleServer(),
    StockServer(),
)

#: Measured unless others are named: the rest are slower settings of the same, or
#: so slow at many streams that a full run would take hours.
DEFAULT_SYSTEMS = ("ours", "bare", "llama-server", "example")

__all__ = ["BASELINES", "DEFAULT_SYSTEMS", "SYSTEMS", "Running", "System"]
