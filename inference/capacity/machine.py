"""What llama.cpp finds on a machine: its GPUs and what its processor repacks."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Types that llama.cpp repacks on x86-64 with AVX2 (ggml/src/ggml-cpu/repack.cpp).
COMMON_REPACKS = frozenset({"IQ4_NL", "MXFP4", "Q4_0", "Q4_K"})

#: Share of a GPU's free memory for models. The rest is for fragments and other
#: programs; the figure is a choice, not a measurement.
_GPU_SHARE = 0.95
_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU. Sizes in bytes; ``free`` is from the engine's start.

    Or a device of an RPC server, whose address is ``server``: a GPU or a processor.
    """

    name: str
    description: str
    total: int
    free: int
    server: str = ""

    @property
    def limit(self) -> int:
        """Bytes that models may take on it."""
        return int(self.free * _GPU_SHARE)


def remote_gpus(server: str, devices: Iterable[dict[str, Any]]) -> tuple[Gpu, ...]:
    """Return the devices that an RPC server offers."""
    return tuple(Gpu(**each, server=server) for each in devices)


@dataclass(frozen=True, slots=True)
class Machine:
    """GPUs in llama.cpp's order, and the tensor types that its processor repacks.

    ``cpu`` is the processor's name.
    """

    gpus: tuple[Gpu, ...] = ()
    repacks: frozenset[str] = COMMON_REPACKS
    cpu: str = ""

    def with_remote(self, devices: tuple[Gpu, ...]) -> Machine:
        """Return the machine with devices of RPC servers after its own GPUs."""
        return replace(self, gpus=(*self.gpus, *devices))

    @property
    def local_gpus(self) -> tuple[Gpu, ...]:
        """Its own GPUs."""
        return tuple(gpu for gpu in self.gpus if not gpu.server)

    def as_json(self) -> dict[str, Any]:
        """Return the machine as JSON values."""
        return {
            "gpus": [asdict(gpu) for gpu in self.gpus],
            "repacks": sorted(self.repacks),
            "cpu": self.cpu,
        }

    def hardware(self, *, cpu_count: int, memory_total: int) -> dict[str, Any]:
        """Return what identifies such a machine: what it computes with, as JSON values.

        ``memory_total`` is in bytes; whole GiB count, because the kernel keeps a little
        more or less for itself at each start.
        """
        return {
            "cpu": self.cpu,
            "cpu_count": cpu_count,
            "memory_gib": round(memory_total / _GIB),
            "gpus": [[gpu.description or gpu.name, gpu.total] for gpu in self.gpus],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Machine:
        """Return the machine that ``as_json`` wrote."""
        return cls(
            gpus=tuple(Gpu(**gpu) for gpu in data["gpus"]),
            repacks=frozenset(data["repacks"]),
            cpu=data.get("cpu", ""),
        )
