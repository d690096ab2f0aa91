"""Real servers on this machine; those that are not there are skipped."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.e2e.conftest import Q4_1
from tests.e2e.upstreams.engines import (
    Engine,
    llama_server,
    missing_llama_server,
    missing_vllm,
    ours,
    vllm,
)
from tests.e2e.upstreams.rows import add, remove

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from tests.whole_server import Server


@pytest.fixture(scope="package", params=["llm-manager", "llama-server", "vllm"])
def engine(
    request: pytest.FixtureRequest,
    server: Server,
    data_dir: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Engine]:
    """A real server."""
    log = tmp_path_factory.mktemp("engine") / "log"
    with ExitStack() as stack:
        match request.param:
            case "llama-server":
                if reason := missing_llama_server():
                    pytest.skip(reason)
                model = data_dir / "models" / f"{Q4_1}.gguf"
                yield stack.enter_context(llama_server(model, log))
            case "vllm":
                if reason := missing_vllm():
                    pytest.skip(reason)
                yield stack.enter_context(vllm(log))
            case _:
                yield ours(server)


@pytest.fixture
def far(api: httpx.Client, engine: Engine) -> Iterator[str]:
    """The name here of the engine's model."""
    yield add(api, engine, engine.dialect)
    remove(api, engine.dialect)
