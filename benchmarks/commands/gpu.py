"""``python -m benchmarks gpu``: what has to be seen on a machine with a GPU.

A model with random weights, of an 8B's shape, is loaded with all layers on the GPU. Are
answers the same in a batch as alone? Is the memory what was estimated, and how fast is
it at 1, 8, 32 and 64 streams, beside ``llama-server``? What share of a step is Python?
One JSON has everything. Without a GPU all steps run on the processor, but the
comparison of memory, which is the GPU's.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.commands.compare import measure_all
from benchmarks.model import Conditions
from benchmarks.reporting.report import processor
from benchmarks.systems.bare import Bare
from benchmarks.systems.llama_server import LlamaServer
from benchmarks.workloads.gpu_checks import checked
from benchmarks.workloads.random_model import SHAPES, write_random_model
from benchmarks.workloads.serving import Burst
from inference.engine.config.cpu_threads import physical_cores

if TYPE_CHECKING:
    from benchmarks.options.commands import GpuOptions
    from benchmarks.systems import System

#: The estimate may be off by this share of what the driver says.
_MEMORY_TOLERANCE = 0.1
#: Each character of the prompts is a token here: words of some six, at most eight.
_WORDS_OF_4K = 680


def measure(options: GpuOptions) -> int:
    """Measure, write the JSON; return 1 if a check failed."""
    document: dict[str, Any] = {"processor": processor(), "models": {}}
    is_good = True
    with tempfile.TemporaryDirectory(prefix="llmm-gpu-", dir=options.folder) as name:
        for quantization in options.quantizations:
            folder = Path(name) / quantization
            folder.mkdir()
            file = folder / f"random-{options.shape}-{quantization}.gguf"
            write_random_model(file, SHAPES[options.shape], quantization)
            conditions = Conditions(
                model=file,
                n_threads=physical_cores(),
                n_ctx=options.n_ctx,
                n_seq_max=max(options.streams),
                n_batch=512,
            )
            found = _checks(conditions)
            found["speed"] = _speed(conditions, options, folder)
            document["models"][quantization] = found
            is_good = is_good and _is_good(found)
            file.unlink()
            # After each model: what there is, is there.
            text = json.dumps(document, indent=2) + "\n"
            options.output.write_text(text, encoding="utf-8")
    print(text, end="")
    return 0 if is_good else 1


def _checks(conditions: Conditions) -> dict[str, Any]:
    """Check in a process of its own, whose memory is given back."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(checked, conditions).result()


def _speed(
    conditions: Conditions, options: GpuOptions, folder: Path
) -> list[dict[str, Any]]:
    workloads = [Burst(f"decode-{n}", streams=n) for n in options.streams]
    if conditions.n_ctx >= 8 * _WORDS_OF_4K:
        prompt = (_WORDS_OF_4K,)
        workloads.append(
            Burst("prefill-4k", streams=1, prompt_tokens=prompt, max_tokens=(1,))
        )
    wanted: list[System] = [Bare(), LlamaServer("llama-server", ())]
    systems = [system for system in wanted if system.missing() is None]
    found = asyncio.run(
        measure_all(systems, workloads, options.rounds, conditions, folder)
    )
    return [
        *(asdict(each) for each in found.measurements),
        *({"failure": failure} for failure in found.failures),
    ]


def _is_good(found: dict[str, Any]) -> bool:
    memory = found["memory"]
    is_close = all(
        abs(used - estimated) <= _MEMORY_TOLERANCE * used
        for used, estimated in zip(memory["used"], memory["estimated"], strict=True)
    )
    has_failed = any("failure" in each for each in found["speed"])
    return bool(found["is_equal"] and is_close and not has_failed)
