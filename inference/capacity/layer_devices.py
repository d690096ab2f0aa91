"""Which device holds which layer, as llama.cpp distributes them.

Follows ``llama_model::load_tensors`` in llama.cpp's src/llama-model.cpp
(``get_layer_buft_list``).
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.capacity.machine import Machine
    from inference.engine.config.engine_config import EngineConfig


def layer_devices(count: int, config: EngineConfig, machine: Machine) -> list[int]:
    """Return the device of each layer, then of the output. 0 is the host, then GPUs.

    The last ``n_gpu_layers`` go to GPUs, where the output counts as a layer. Each GPU
    gets a run of layers in proportion to its share, RPC servers first: the output is
    then on a GPU of this machine, if it has one.
    """
    gpus = devices_in_order(config, machine)
    if config.split_mode == "none":
        gpus = gpus[config.main_gpu : config.main_gpu + 1]
    if not gpus:
        return [0] * (count + 1)
    wanted = count + 1 if config.n_gpu_layers < 0 else config.n_gpu_layers
    offloaded = min(wanted, count + 1)
    borders = list(accumulate(gpu_shares(gpus, config, machine)))
    first = count + 1 - offloaded
    devices = [0] * first
    for layer in range(offloaded):
        number = bisect_right(borders, layer / offloaded)
        devices.append(gpus[min(number, len(gpus) - 1)])
    return devices


def devices_in_order(config: EngineConfig, machine: Machine) -> list[int]:
    """Return the numbers of the GPUs that llama.cpp gets, in its order.

    Those of the RPC servers that the model uses are first; others are left out.
    """
    numbered = list(enumerate(machine.gpus, start=1))
    remote = [
        number
        for server in config.rpc_servers
        for number, gpu in numbered
        if gpu.server == server
    ]
    return remote + [number for number, gpu in numbered if not gpu.server]


def gpu_shares(
    gpus: Sequence[int], config: EngineConfig, machine: Machine
) -> list[float]:
    """Return each GPU's share of the model: ``tensor_split``, or by free memory."""
    shares = [*config.tensor_split, *[0.0] * len(gpus)][: len(gpus)]
    if not any(shares):
        shares = [float(machine.gpus[gpu - 1].free) for gpu in gpus]
    total = sum(shares) or 1.0
    return [share / total for share in shares]
