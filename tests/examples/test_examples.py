"""The examples run as they stand, and so does the notebook."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from nbclient import NotebookClient

from llm_manager.launcher.files.address import published
from tests.checkout import EMBEDDING_MODEL, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXAMPLES = ROOT / "examples"


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a user who has set nothing but ``more``."""
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LLM_MANAGER_", "OPENAI_"))
    }
    # In the source tree, as after an installation.
    return {**own, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **more}


def run_all(*options: str, **more: str) -> tuple[int, dict[str, Any]]:
    """Run examples; return the exit status and the outcomes by file name."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "run_all_examples.py"), "--json", *options],
        env=environment(**more),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, {each["example"]: each for each in json.loads(done.stdout)}


@pytest.fixture
def models(tmp_path: Path, sample_model_path: Path) -> Path:
    """A folder with the sample model and, where it is there, one for vectors."""
    folder = tmp_path / "models"
    folder.mkdir()
    shutil.copy(sample_model_path, folder)
    if EMBEDDING_MODEL.exists():
        shutil.copy(EMBEDDING_MODEL, folder)
    return folder


@pytest.mark.model
@pytest.mark.e2e
@pytest.mark.long
@pytest.mark.timeout(900)
def test_every_example_runs(models: Path) -> None:
    status, outcomes = run_all(LLM_MANAGER_MODELS_DIR=str(models))
    assert status == 0, outcomes
    assert len(outcomes) == 14
    # The agents' packages are in the environment of `make test-clients`.
    expected = {"13_autogen_two_agents.py", "14_langchain_agent.py"}
    if not EMBEDDING_MODEL.exists():
        expected.add("07_embeddings.py")
    skipped = {name for name, each in outcomes.items() if each["result"] == "skipped"}
    assert skipped <= expected, outcomes
    if "07_embeddings.py" not in skipped:
        assert "Bread" in outcomes["07_embeddings.py"]["said"]
    assert outcomes["10_subprocess_mode.py"]["said"].endswith("0 processes are left.")


def test_a_failed_example_is_reported_and_fails_the_run(tmp_path: Path) -> None:
    (tmp_path / "01_good.py").write_text("print('All is well.')")
    (tmp_path / "02_bad.py").write_text("raise ValueError('Broken.')")
    (tmp_path / "03_lacking.py").write_text("import a_package_that_nobody_has")
    (tmp_path / "04_without_a_model.py").write_text("raise SystemExit(77)")
    (tmp_path / "05_without_a_part_of_ours.py").write_text("import inference.nothing")
    (tmp_path / "06_passing.py").write_text("print('ModuleNotFoundError: none')")
    (tmp_path / "helper.py").write_text("raise SystemExit(1)")
    # A server is named, so none is started.
    status, outcomes = run_all(
        "--folder", str(tmp_path), OPENAI_BASE_URL="http://127.0.0.1:9/v1"
    )
    assert status == 1
    assert {name: each["result"] for name, each in outcomes.items()} == {
        "01_good.py": "passed",
        "02_bad.py": "failed",
        "03_lacking.py": "skipped",
        "04_without_a_model.py": "skipped",
        "05_without_a_part_of_ours.py": "failed",
        "06_passing.py": "passed",
    }
    assert outcomes["01_good.py"]["said"] == "All is well."
    assert outcomes["02_bad.py"]["said"] == "ValueError: Broken."
    assert "a_package_that_nobody_has" in outcomes["03_lacking.py"]["said"]


class _Healthy(BaseHTTPRequestHandler):
    """Any program that answers /health."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def stranger() -> Iterator[str]:
    """The address of a program that answers /health."""
    with HTTPServer(("127.0.0.1", 0), _Healthy) as program:
        thread = threading.Thread(target=program.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{program.server_port}"
        program.shutdown()
        thread.join()


def test_the_key_of_make_run_goes_to_its_server_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stranger: str
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    common = importlib.import_module("common")
    monkeypatch.setattr(common, "DATA", tmp_path)
    saved = {"base_url": f"{stranger}/v1", "api_key": "secret"}
    (tmp_path / "quickstart.json").write_text(json.dumps(saved))
    assert common._of_make_run() is None
    with published(tmp_path, stranger):
        assert common._of_make_run() == (f"{stranger}/v1", "secret")


@pytest.mark.model
@pytest.mark.long
def test_the_notebook_runs(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("LLM_MANAGER_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LLM_MANAGER_MODELS_DIR", str(models))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    notebook: Any = nbformat.read(  # type: ignore[no-untyped-call]
        EXAMPLES / "notebook.ipynb", as_version=4
    )
    client = NotebookClient(
        notebook, startup_timeout=180, resources={"metadata": {"path": str(EXAMPLES)}}
    )
    client.execute()
    said = json.dumps(notebook.cells)
    assert "Paris" in said
    assert "capabilities" in said
