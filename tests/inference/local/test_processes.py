"""The worker's process: it crashes alone, and never outlives the program."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from llm_manager import LLMManager, LLMManagerError, errors

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.model

HELLO = [{"role": "user", "content": "Say hello."}]
#: Long enough to be in the middle of it.
LONG: dict[str, Any] = {"max_tokens": 900, "ignore_eos": True, "temperature": 0}
WAIT_S = 60.0


def worker_pid(manager: LLMManager) -> int:
    worker = manager._models.current
    assert worker is not None
    return int(worker.worker.pid)  # type: ignore[attr-defined]


def wait_until_gone(pid: int) -> None:
    psutil.wait_procs(
        [psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=WAIT_S
    )
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie"


def test_a_crash_is_an_exception_and_the_next_call_works(sample: LLMManager) -> None:
    before = worker_pid(sample)
    stream = sample.generate(HELLO, stream=True, **LONG)
    next(stream)
    os.kill(before, signal.SIGABRT)
    with pytest.raises(errors.WorkerCrashed, match="SIGABRT") as caught:
        list(stream)
    assert caught.value.code == "worker_crashed"
    assert caught.value.type == "server_error"

    assert sample.generate(HELLO, max_tokens=4)["usage"]["completion_tokens"] == 4
    assert worker_pid(sample) != before


def test_a_file_that_is_cut_off_is_refused_with_the_reason(
    sample_dir: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.gguf"
    model = next(sample_dir.glob("*.gguf"))
    broken.write_bytes(model.read_bytes()[: 40 * 2**20])
    with LLMManager(tmp_path) as manager, pytest.raises(LLMManagerError) as caught:
        manager.load_model("broken")
    assert "cannot be used" in caught.value.message


async def test_many_coroutines_share_one_batch(sample: LLMManager) -> None:
    asked = [
        sample.generate_async(prompt=f"{number} and", max_tokens=32, ignore_eos=True)
        for number in range(4)
    ]
    answers = await asyncio.gather(*asked)
    used = [answer["usage"] for answer in answers]
    assert [each and each["completion_tokens"] for each in used] == [32] * 4
    report = sample._models.current.worker.report  # type: ignore[union-attr]
    assert report.n_seq_max == 4


def test_unloading_ends_the_process(sample_dir: Path) -> None:
    with LLMManager(sample_dir) as manager:
        manager.load_model("SmolLM2-135M-Instruct.Q4_1", config={"n_ctx": 256})
        pid = worker_pid(manager)
        manager.unload_model()
        wait_until_gone(pid)


#: A program that loads the model, says which children it has, and goes on.
_PROGRAM = """
import os, sys, time
import psutil
from llm_manager import LLMManager

manager = LLMManager(sys.argv[1])
manager.load_model("SmolLM2-135M-Instruct.Q4_1", config={"n_ctx": 1024})
manager.generate([{"role": "user", "content": "Hello"}], max_tokens=1)

def answer():
    print(*(each.pid for each in psutil.Process().children(True)), flush=True)
    for _ in range(50):
        manager.generate(prompt="Once", max_tokens=900, ignore_eos=True)

"""


def run_program(
    sample_dir: Path, rest: str, blow: signal.Signals | None
) -> tuple[int, str, list[int]]:
    """Return a program's exit code and errors, and the children that it had."""
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM + rest, str(sample_dir)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        line = program.stdout.readline()
        if blow is not None:
            program.send_signal(blow)
        _, errors_of_it = program.communicate(timeout=WAIT_S)
        assert line, errors_of_it
        return program.returncode, errors_of_it, [int(pid) for pid in line.split()]


_SAY = "manager.generate = lambda *_, **__: None\nanswer()\n"


@pytest.mark.parametrize(
    ("rest", "blow", "code"),
    [
        pytest.param(_SAY, None, 0, id="its end"),
        pytest.param("answer()", signal.SIGKILL, -signal.SIGKILL, id="a kill"),
        pytest.param(
            "try: answer()\nexcept KeyboardInterrupt: pass",
            signal.SIGINT,
            0,
            id="Ctrl-C",
            marks=pytest.mark.long,
        ),
    ],
)
def test_no_process_outlives_the_program(
    sample_dir: Path, rest: str, blow: signal.Signals | None, code: int
) -> None:
    returncode, errors_of_it, pids = run_program(sample_dir, rest, blow)
    assert (returncode, errors_of_it) == (code, "")
    assert pids
    for pid in pids:
        wait_until_gone(pid)


@pytest.mark.long
def test_a_process_that_the_program_has_forked_keeps_no_worker_alive(
    sample_dir: Path,
) -> None:
    """It holds the pipes to the worker open."""
    rest = "if os.fork() == 0:\n    time.sleep(600)\n    os._exit(0)\nanswer()"
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM + rest, str(sample_dir)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        children = [
            psutil.Process(int(pid)) for pid in program.stdout.readline().split()
        ]
        (worker,) = [
            c for c in children if "inference.worker.socket.main" in c.cmdline()
        ]
        program.kill()
        wait_until_gone(worker.pid)
        for child in children:
            if child.is_running():
                child.kill()


@pytest.mark.long
def test_without_a_process_of_its_own_the_same_answer(
    sample: LLMManager, sample_dir: Path
) -> None:
    request: dict[str, Any] = {"max_tokens": 24, "temperature": 0.9, "seed": 7}
    expected = sample.generate(HELLO, **request)["choices"]
    config = {"n_ctx": 1024, "n_seq_max": 4}
    with LLMManager(sample_dir, use_subprocess=False) as manager:
        manager.load_model("SmolLM2-135M-Instruct.Q4_1", config=config)
        assert manager.generate(HELLO, **request)["choices"] == expected


def run_python(code: str) -> str:
    """Return what a fresh interpreter prints."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_importing_the_package_is_quick_and_starts_nothing() -> None:
    code = (
        "import sys, threading, time; before = time.process_time(); import llm_manager;"
        "took = time.process_time() - before;"
        "print(took < 0.2, threading.active_count(), 'pydantic' in sys.modules)"
    )
    assert run_python(code) == "True 1 False"


def test_the_python_api_imports_no_django() -> None:
    code = (
        "import sys; from llm_manager import LLMManager; import llm_manager.errors;"
        "roots = {name.partition('.')[0] for name in sys.modules};"
        "print(sorted(roots & {'django', 'rest_framework', 'redis',"
        "'llama_cpp', 'prometheus_client', 'accounts', 'asgiref'}))"
    )
    assert run_python(code) == "[]"
