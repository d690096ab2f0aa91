"""llama.cpp's RPC backend: devices of other machines, reached by Unix sockets.

It is a library of its own beside llama.cpp's (``scripts/build_rpc.sh``), whose
transport knows no network: ``inference/rpc`` brings its bytes to other machines.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llama_cpp
from llama_cpp._ggml import libggml

from inference.engine.errors import ModelLoadError

if TYPE_CHECKING:
    from collections.abc import Iterable

_LIBRARY = Path(llama_cpp.__file__).parent / "lib" / "libggml-rpc-unix.so"
#: enum ggml_backend_dev_type
CPU, GPU, INTEGRATED_GPU = 0, 1, 2


def has_rpc() -> bool:
    """Whether the RPC backend lies beside llama.cpp's libraries."""
    return _LIBRARY.exists()


def local_devices(kind: int) -> list[ctypes.c_void_p]:
    """Return this machine's devices of a kind, in llama.cpp's order."""
    for name, result in (
        ("ggml_backend_dev_count", ctypes.c_size_t),
        ("ggml_backend_dev_get", ctypes.c_void_p),
        ("ggml_backend_dev_type", ctypes.c_int),
    ):
        getattr(libggml, name).restype = result
    devices = [
        ctypes.c_void_p(libggml.ggml_backend_dev_get(ctypes.c_size_t(index)))
        for index in range(libggml.ggml_backend_dev_count())
    ]
    return [each for each in devices if libggml.ggml_backend_dev_type(each) == kind]


def local_gpus() -> list[ctypes.c_void_p]:
    """Return the GPUs that llama.cpp would use: integrated ones if no others are."""
    return local_devices(GPU) or local_devices(INTEGRATED_GPU)


def devices_over(sockets: Iterable[str]) -> Any:
    """Return the devices of RPC servers, then this machine's GPUs, for model params.

    ``sockets`` are the paths where the servers are reached. llama.cpp aborts if nobody
    listens there. Raises ModelLoadError.
    """
    rpc = _rpc()
    rpc.ggml_backend_rpc_add_server.restype = ctypes.c_void_p
    for name, result in (
        ("ggml_backend_reg_dev_count", ctypes.c_size_t),
        ("ggml_backend_reg_dev_get", ctypes.c_void_p),
    ):
        getattr(libggml, name).restype = result
    devices = []
    for path in sockets:
        server = ctypes.c_void_p(rpc.ggml_backend_rpc_add_server(f"{path}:0".encode()))
        devices += [
            ctypes.c_void_p(
                libggml.ggml_backend_reg_dev_get(server, ctypes.c_size_t(index))
            )
            for index in range(libggml.ggml_backend_reg_dev_count(server))
        ]
    devices += local_gpus()
    return (ctypes.c_void_p * (len(devices) + 1))(*devices, None)


def serve(path: str, n_threads: int) -> None:
    """Serve this machine's GPUs, or its processor, to one client after the other.

    ``path`` is the socket. It returns only if it cannot listen. Raises ModelLoadError.
    """
    devices = local_gpus() or local_devices(CPU)
    array = (ctypes.c_void_p * len(devices))(*devices)
    _rpc().ggml_backend_rpc_start_server(
        f"{path}:0".encode(),
        None,
        ctypes.c_size_t(n_threads),
        ctypes.c_size_t(len(devices)),
        array,
    )


def _rpc() -> Any:
    if not has_rpc():
        raise ModelLoadError(
            "llama.cpp has no RPC backend here; scripts/build_rpc.sh builds it."
        )
    return ctypes.CDLL(str(_LIBRARY))
