"""Whether llama.cpp can load a file is known without loading it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psutil
import pytest

from inference.engine import EngineConfig
from inference.models import Worker
from inference.node.load_checks import LoadChecks, load_check
from inference.worker.node_pipe import WorkerSpec
from tests.inference.world import WAIT_S, until
from tests.tiny_models import write_tiny_model

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.model


def spec(path: Path, **fields: object) -> WorkerSpec:
    engine = EngineConfig(paths=(str(path),), n_ctx=512, n_seq_max=2, **fields)  # type: ignore[arg-type]
    return WorkerSpec("queue.1", "", path.name, 10, engine)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    write_tiny_model("llama", path)
    return path


def changed(path: Path, old: bytes, new: bytes) -> Path:
    """Write the file with other bytes of the same length beside it."""
    assert len(old) == len(new)
    data = path.read_bytes()
    assert old in data
    other = path.with_name("changed.gguf")
    other.write_bytes(data.replace(old, new))
    return other


async def test_a_model_that_can_be_loaded_passes(sample_model_path: Path) -> None:
    before = psutil.virtual_memory().available
    assert await load_check(spec(sample_model_path)) == ""
    assert before - psutil.virtual_memory().available < 10**9


async def test_a_missing_tensor_is_found(tiny: Path) -> None:
    broken = changed(tiny, b"blk.0.attn_q.weight", b"blk.0.attn_x.weight")
    assert "tensor 'blk.0.attn_q.weight' not found" in await load_check(spec(broken))


async def test_an_unknown_architecture_is_found(tiny: Path) -> None:
    # The value only: the vocabulary has the same name.
    broken = changed(
        tiny,
        b"general.architecture\x08\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00llama",
        b"general.architecture\x08\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00xlama",
    )
    assert "unknown model architecture: 'xlama'" in await load_check(spec(broken))


def cut(path: Path) -> Path:
    """Write the file without its end."""
    other = path.with_name("cut.gguf")
    other.write_bytes(path.read_bytes()[:-20_000])
    return other


async def test_a_file_that_was_cut_is_found(tiny: Path) -> None:
    assert "corrupted or incomplete" in await load_check(spec(cut(tiny)))


async def test_a_file_that_is_gone_is_found(tmp_path: Path) -> None:
    assert await load_check(spec(tmp_path / "none.gguf"))


async def test_a_check_is_made_once_for_each_request_and_wakes_the_supervisor(
    tiny: Path,
) -> None:
    woken = asyncio.Event()
    checks = LoadChecks(woken.set)
    row = Worker(pk=1)
    assert checks.error_of(row, spec(tiny)) is None
    await asyncio.wait_for(woken.wait(), WAIT_S)
    await until(lambda: checks.error_of(row, spec(tiny)) == "")
    # The same load is not checked again, whoever requests it.
    assert checks.error_of(Worker(pk=2), spec(tiny)) == ""
    other = Worker(pk=2)
    assert checks.error_of(other, spec(tiny, n_batch=64)) is None
    await until(lambda: checks.error_of(other, spec(tiny, n_batch=64)) == "")


def checking() -> list[psutil.Process]:
    """The processes of checks that have begun."""
    return [
        child
        for child in psutil.Process().children()
        if "inference.worker.load_check" in child.cmdline()
        and child.memory_info().rss > 2**24
    ]


async def test_a_check_that_is_given_up_ends_its_process(tiny: Path) -> None:
    check = asyncio.create_task(load_check(spec(tiny)))
    await until(lambda: bool(checking()))
    check.cancel()
    with pytest.raises(asyncio.CancelledError):
        await check
    assert checking() == []
