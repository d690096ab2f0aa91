"""One real server for all clients, and the record of what they could do with it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.checkout import EMBEDDING_MODEL, ROOT
from tests.clients.agents import Desk
from tests.clients.client import EMBEDDER, MODEL
from tests.scripted.names import MODEL as SCRIPTED
from tests.whole_server import Server, running

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from tests.clients.client import Client

LAUNCHER = ROOT / ".venv" / "bin" / "llm-manager"
#: Requests that run at once, and that may wait; few, so that a queue can be filled.
RUNNING = 4
WAITING = 4
#: Seconds of the rate limit's window; short, so that a client can wait for its end.
WINDOW_S = 2
_WAIT_S = 300.0
_FIND_SAMPLE = (
    "from llm_manager.launcher.sample_model import find_sample; print(find_sample())"
)
_ADD_ALIASES = (
    f"from registry.models import Model; model = Model.objects.get(name='{SCRIPTED}'); "
    "[model.aliases.create(name=name) for name in ('claude-*', 'gpt-*')]"
)

os.environ.update(
    # A proxy of the machine has no business between two local processes.
    NO_PROXY="127.0.0.1,localhost",
    no_proxy="127.0.0.1,localhost",
    # Clients must send requests to the test server only.
    HF_HUB_OFFLINE="1",
    LANGSMITH_TRACING="false",
    LITELLM_LOCAL_MODEL_COST_MAP="True",
    OPENAI_AGENTS_DISABLE_TRACING="1",
)
for _name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID"):
    os.environ.pop(_name, None)


def sample_model() -> Path:
    """Return the sample model of the platform's environment."""
    python = LAUNCHER.with_name("python")
    found = subprocess.run(
        [python, "-c", _FIND_SAMPLE], check=True, capture_output=True, text=True
    )
    return Path(found.stdout.strip())


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the sample model, twice, and the embedding model."""
    folder = tmp_path_factory.mktemp("server")
    models = folder / "models"
    (models / "acme").mkdir(parents=True)
    file = models / f"{MODEL}.gguf"
    shutil.copy(sample_model(), file)
    (models / "acme" / file.name).hardlink_to(file)
    if EMBEDDING_MODEL.exists():
        shutil.copy(EMBEDDING_MODEL, models)
    return folder


@pytest.fixture(scope="session")
def server(data_dir: Path) -> Iterator[Server]:
    """The platform as its users start it, from its own environment."""
    with running(
        data_dir,
        launcher=[str(LAUNCHER)],
        LLM_MANAGER_ENGINE_N_SEQ_MAX=str(RUNNING),
        LLM_MANAGER_ENGINE_MAX_WAITING=str(WAITING),
        LLM_MANAGER_SERVER_RATE_LIMIT_WINDOW=str(WINDOW_S),
        LLM_MANAGER_MODELS_DEFAULT_CTX="2048",
        LLM_MANAGER_API_STORE="true",
        LLM_MANAGER_API_OLLAMA="true",
    ) as server:
        yield server


@pytest.fixture(scope="session")
def scripted_server(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Server, Path]]:
    """The platform with a model that says what a test scripts, and its folder."""
    folder = tmp_path_factory.mktemp("scripted")
    python = str(LAUNCHER.with_name("python"))
    path = os.pathsep.join([str(ROOT / "platform"), str(ROOT)])
    with running(
        folder,
        launcher=[python, "-m", "tests.scripted.server"],
        LLM_MANAGER_LOGGING_LEVEL="info",
        LLM_MANAGER_MODELS_DEFAULT_CTX="262144",
        PYTHONPATH=path,
        SCRIPT=str(folder / "script.json"),
    ) as server:
        # As an administrator does on the model's page.
        subprocess.run(
            [python, "-m", "llm_manager", "shell", "-c", _ADD_ALIASES],
            env={**os.environ, "LLM_MANAGER_DATA_DIR": str(folder), "PYTHONPATH": path},
            check=True,
        )
        yield server, folder


@pytest.fixture
def make_desk(
    scripted_server: tuple[Server, Path],
    tmp_path: Path,
    until: Callable[[Callable[[], bool], str], None],
) -> Callable[[Callable[[Desk], dict[str, list[str]]]], Desk]:
    """Make a place where an agent works, with what the model says to it."""
    server, data_dir = scripted_server

    def make(script: Callable[[Desk], dict[str, list[str]]]) -> Desk:
        log = data_dir / "log"
        begin = log.stat().st_size
        folder, home = tmp_path / "work", tmp_path / "home"
        folder.mkdir()
        home.mkdir()
        desk = Desk(server, folder, home, log, begin, until)
        desk.file.write_text("Hello, world.\n")
        (data_dir / "script.json").write_text(json.dumps(script(desk)))
        return desk

    return make


@pytest.fixture(scope="session")
def make_key(server: Server, data_dir: Path) -> Callable[..., str]:
    """Make an API key by `llm-manager` with further options; return its secret."""

    def make(*options: str) -> str:
        command = [str(LAUNCHER), "key", "create", "--data-dir", str(data_dir)]
        owner = json.loads((data_dir / "quickstart.json").read_text())["admin_user"]
        done = subprocess.run(
            [*command, "--name", "test", "--owner", owner, *options],
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    return make


@pytest.fixture(scope="session")
def embedder(server: Server) -> str:
    """The embedding model's id; it lies beside the checkout, or the test is skipped."""
    if not EMBEDDING_MODEL.exists():
        pytest.skip(f"TEST_EMBEDDING_MODEL names no file {EMBEDDER}.gguf")
    return EMBEDDER


@pytest.fixture(autouse=True)
def show_log(data_dir: Path) -> Iterator[None]:
    """Print what the server logged during a test; pytest shows it on failure."""
    log = data_dir / "log"
    before = log.stat().st_size if log.exists() else 0
    yield
    if not log.exists():
        return
    with log.open("rb") as stream:
        stream.seek(before)
        print(stream.read().decode("utf-8", "replace"))  # noqa: T201


@pytest.fixture
def names(request: pytest.FixtureRequest, server: Server) -> dict[str, Any]:
    """What the module's client is after the lines that set it up."""
    client: Client = request.module.CLIENT
    return client.names(server)


@pytest.fixture(scope="session")
def requests_of(server: Server) -> Callable[[str], int]:
    """Ask the server how many requests are in a state: running, or waiting."""

    def ask(state: str) -> int:
        answer = httpx.get(
            f"http://{server.host}:{server.port}/health/detailed",
            headers={"Authorization": f"Bearer {server.key}"},
        )
        return sum(worker[state] for worker in answer.json()["workers"])

    return ask


@pytest.fixture(scope="session")
def until() -> Callable[[Callable[[], bool], str], None]:
    """Wait until a condition holds."""

    def wait(condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _WAIT_S
        pause = threading.Event()
        while not condition():
            assert time.monotonic() < deadline, f"not within {_WAIT_S:.0f} s: {what}"
            pause.wait(0.05)

    return wait


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --results, which writes what tests.clients.page makes a page of."""
    parser.addoption("--results", type=Path, help="write the outcomes to this file")


_CLIENTS = pytest.StashKey[dict[str, dict[str, Any]]]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin the record."""
    config.stash[_CLIENTS] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the outcome of a test under its client."""
    report = yield
    client: Client | None = getattr(getattr(item, "module", None), "CLIENT", None)
    if client is None or (report.when != "call" and report.outcome == "passed"):
        return report
    record = item.config.stash[_CLIENTS].setdefault(client.title, _record_of(client))
    outcome, reason = _outcome(report)
    record["proofs"].append({"name": item.name, "outcome": outcome, "reason": reason})
    return report


def _outcome(report: pytest.TestReport) -> tuple[str, str]:
    """Return how a test ended, and why if it did not pass."""
    if report.skipped and hasattr(report, "wasxfail"):
        # What fails before the test is run was not expected of the model.
        return "xfailed" if report.when == "call" else "failed", report.wasxfail
    if report.skipped and isinstance(report.longrepr, tuple):
        return "skipped", report.longrepr[2].removeprefix("Skipped: ")
    return report.outcome, ""


def _record_of(client: Client) -> dict[str, Any]:
    versions = {name: client.versions.get(name) for name in client.packages}
    return {
        "versions": {name: known or version(name) for name, known in versions.items()},
        "setup": client.text(),
        "language": client.language,
        "note": client.note,
        "proofs": [],
    }


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the record, if it was requested."""
    path: Path | None = session.config.getoption("--results")
    if path is not None:
        path.write_text(json.dumps(session.config.stash[_CLIENTS], indent=1))
