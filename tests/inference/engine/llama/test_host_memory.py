"""Weights are in huge pages; cells take memory as they are used, and give it back."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from inference.engine import EngineConfig
from inference.engine.llama import LlamaBackend
from tests.inference.engine.driver import Driver

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(sys.platform != "linux", reason="memory is all taken at once"),
]

MIB = 1024 * 1024
#: What 32 sequences of 2,048 cells take of the sample model: 23 KB a cell.
RESERVED = 32 * 2048 * 30 * 2 * 192 * 2


def resident() -> int:
    size: int = psutil.Process().memory_info().rss
    return size


def load(path: Path, **more: Any) -> LlamaBackend:
    return LlamaBackend(
        EngineConfig(paths=(str(path),), n_ctx=2048, n_seq_max=32, **more)
    )


@pytest.fixture
def backend(q4_0_model_path: Path) -> Iterator[LlamaBackend]:
    backend = load(q4_0_model_path)
    yield backend
    backend.close()


def test_a_cache_takes_memory_when_its_cells_are_written(
    q4_0_model_path: Path,
) -> None:
    before = resident()
    backend = load(q4_0_model_path)
    loaded = resident()
    assert loaded - before < RESERVED / 4
    Driver(backend).answer("long", list(range(1000, 1400)), 1)
    # 400 cells of 23 KB, and nothing of other sequences.
    assert 6 * MIB < resident() - loaded < RESERVED / 4
    backend.close()


def test_an_idle_engine_gives_back_the_memory_of_cells_that_are_not_in_use(
    backend: LlamaBackend,
) -> None:
    driver = Driver(backend)
    for number in range(3):
        driver.answer(str(number), list(range(1000 + number, 1400 + number)), 1)
    for slot in range(backend.layout.n_seq_max):
        backend.clear(slot)
    used = resident()
    assert backend.compact()
    assert used - resident() > 15 * MIB


def sizes_by_flag() -> Counter[str]:
    """Return the bytes of this process's mappings by the kernel's flags."""
    sizes: Counter[str] = Counter()
    size = 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == "Size":
            size = int(rest.split()[0]) * 1024
        if name == "VmFlags":
            sizes.update(dict.fromkeys(rest.split(), size))
    return sizes


def test_weights_ask_for_huge_pages_and_cells_for_small_ones(
    q4_0_model_path: Path,
) -> None:
    before = sizes_by_flag()
    backend = load(q4_0_model_path)
    now = sizes_by_flag()
    # What the matrices of the sample model take once they are packed.
    assert now["hg"] - before["hg"] > 50 * MIB
    assert now["nh"] - before["nh"] > 0.99 * RESERVED
    backend.close()


def test_what_is_cached_survives_a_rest(backend: LlamaBackend) -> None:
    prompt = list(range(1000, 1200))
    driver = Driver(backend)
    driver.answer("cold", prompt, 12)
    lengths = [backend.length(slot) for slot in range(backend.layout.n_seq_max)]
    states = [backend.save(slot) for slot, length in enumerate(lengths) if length]
    driver.core.rest()
    driver.core.check_integrity()
    assert lengths == [backend.length(n) for n in range(backend.layout.n_seq_max)]
    assert states == [
        backend.save(slot) for slot, length in enumerate(lengths) if length
    ]
    driver.answer("warm", prompt, 1)
    assert driver.cached["warm"] == len(prompt) - 1
