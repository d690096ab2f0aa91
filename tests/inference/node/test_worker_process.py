"""What is said of a worker process that died."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from inference.engine.config.engine_config import EngineConfig
from inference.node.children.worker_process import WorkerProcess
from inference.worker.node_pipe import WorkerSpec

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

#: What a failed assertion in llama.cpp calls.
_ABORT = """#!{python}
import ctypes, pathlib, llama_cpp

folder = pathlib.Path(llama_cpp.__file__).parent / "lib"
ggml = ctypes.CDLL(str(next(folder.glob("libggml-base.so*"))))
ggml.ggml_abort(b"/build/src/llama-model.cpp", 12, b"GGML_ASSERT(n_head > 0) failed")
"""


async def test_a_worker_that_llama_cpp_aborts_dies_with_llama_cpps_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text(_ABORT.format(python=sys.executable))
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    engine = EngineConfig(paths=("a.gguf",), n_ctx=64, n_seq_max=1)
    ended = asyncio.Event()
    worker = WorkerProcess(
        WorkerSpec("queue.1", "life", "tiny", max_waiting=7, engine=engine),
        on_change=ended.set,
        on_activity=lambda: None,
    )

    await worker.start()
    await ended.wait()
    await worker.close()

    assert worker.death().splitlines() == [
        "The worker was killed by SIGABRT.",
        "/build/src/llama-model.cpp:12: GGML_ASSERT(n_head > 0) failed",
    ]
