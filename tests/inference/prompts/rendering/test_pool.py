"""Templates of strangers, rendered by real processes that end when they must."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from inference.errors import EngineUnavailable
from inference.prompts.rendering.errors import ChatTemplateError, ChatTemplateStopped
from inference.prompts.rendering.pool import RenderPool
from inference.prompts.rendering.render_process import RenderProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

HELLO = {"messages": [{"role": "user", "content": "hello"}]}
SOUND = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"


def tree(use: str, *, grow: str = "[ns.a, ns.a]", leaf: str = "[1]") -> str:
    """Return a template that uses two equal trees of 2 ** 60 nodes, ``a`` and ``b``."""
    other = grow.replace("ns.a", "ns.b")
    return (
        f"{{% set ns = namespace(a={leaf}, b={leaf}) %}}{{% for i in range(60) %}}"
        f"{{% set ns.a = {grow} %}}{{% set ns.b = {other} %}}{{% endfor %}}{use}"
    )


LONG = "{% set s = 'x' * 30000 %}{% set l = [s] * 60000 %}"
BOMBS = {
    "equal": tree("{% if ns.a == ns.b %}x{% endif %}"),
    "less": tree("{% if ns.a < ns.b %}x{% endif %}"),
    "in": tree("{% if ns.a in [ns.b] %}x{% endif %}"),
    "sort": tree("{{ [ns.a, ns.b] | sort | length }}"),
    "unique": tree(
        "{{ [ns.a, ns.b] | unique | list | length }}",
        grow="(ns.a, ns.a)",
        leaf="(1,)",
    ),
    "key": tree("{{ {ns.a: 1} }}", grow="(ns.a, ns.a)", leaf="(1,)"),
    "min": tree("{{ [ns.a, ns.b] | min | length }}"),
    "select in": tree("{{ [ns.a] | select('in', [ns.b]) | list | length }}"),
    "objects": tree("{% if ns.a == ns.b %}x{% endif %}", grow="{'x': ns.a, 'y': ns.a}"),
    "tojson": f"{LONG}{{{{ l | tojson }}}}",
    "output": f"{LONG}{{{{ l }}}}",
    "sorted": f"{LONG}{{{{ l | sort }}}}",
    "distinct": f"{LONG}{{{{ l | unique | list }}}}",
    "sum": "{% set l = [[1] * 1000] * 60000 %}{{ l | sum(start=[]) | length }}",
}


@pytest.fixture
def pool() -> Iterator[RenderPool]:
    pool = RenderPool(2)
    yield pool
    pool.close()


def pids() -> set[int]:
    return {
        child.pid
        for child in psutil.Process().children()
        if child.status() != psutil.STATUS_ZOMBIE
        and "inference.prompts.rendering.child" in child.cmdline()
    }


def test_a_terminals_ctrl_c_is_not_for_the_processes(pool: RenderPool) -> None:
    assert pool.render(SOUND, HELLO, 100) == "<user>hello"
    before = pids()
    for pid in before:
        os.kill(pid, signal.SIGINT)
    assert pool.render(SOUND, HELLO, 100) == "<user>hello"
    assert pids() == before


def test_a_template_is_rendered(pool: RenderPool) -> None:
    assert pool.render(SOUND, HELLO, 100) == "<user>hello"
    assert pool.variables("{{ messages }}{{ enable_thinking }}") == {
        "messages",
        "enable_thinking",
    }


def test_text_comes_back_as_it_went_in(pool: RenderPool) -> None:
    text = "é 漢字 \U0001f600 \x00 \ud800 \u2028 \\ \" '"
    context = {"messages": [{"role": "user", "content": text}]}
    assert pool.render(SOUND, context, 100) == f"<user>{text}"


@pytest.mark.parametrize("source", BOMBS.values(), ids=BOMBS)
def test_a_bomb_ends_within_its_limit(pool: RenderPool, source: str) -> None:
    pool.render(SOUND, HELLO, 100)
    process = psutil.Process()
    before = process.cpu_times()
    with pytest.raises(ChatTemplateError, match=r"failed: it |failed: .*recursion"):
        pool.render(source, HELLO, 1000)
    after = process.cpu_times()
    # The child's time counts when it has ended.
    assert after.children_user - before.children_user < 3
    assert after.user - before.user < 0.5
    assert pool.render(SOUND, HELLO, 100) == "<user>hello"


def test_a_bomb_that_was_ended_twice_is_refused_at_once_and_later_tried(
    pool: RenderPool,
) -> None:
    now = [0.0]
    patient = RenderPool(2, clock=lambda: now[0])
    for _ in range(2):
        with pytest.raises(ChatTemplateStopped, match="of the processor"):
            patient.render(BOMBS["equal"], HELLO, 1000)
    started = pids()
    with pytest.raises(ChatTemplateStopped):
        patient.render(BOMBS["equal"], HELLO, 1000)
    assert pids() == started, "no process was asked"
    now[0] = 61.0
    with pytest.raises(ChatTemplateStopped):
        patient.render(BOMBS["less"], HELLO, 1000)
    # What was forgiven is forgotten, too.
    assert list(patient._offences) == [BOMBS["less"]]
    assert patient.render(SOUND, HELLO, 100) == "<user>hello"
    with pytest.raises(ChatTemplateStopped):
        patient.render(BOMBS["equal"], HELLO, 1000)
    patient.close()


def test_others_are_rendered_while_bombs_burn(pool: RenderPool) -> None:
    pool.warm_up()
    is_over = threading.Event()

    def burn() -> str:
        try:
            return pool.render(BOMBS["less"], HELLO, 1000)
        except ChatTemplateStopped as error:
            return error.message
        finally:
            is_over.set()

    with ThreadPoolExecutor(8) as threads:
        bombs = [threads.submit(burn) for _ in range(8)]
        num_rendered = 0
        while not is_over.is_set():
            assert pool.render(SOUND, HELLO, 100) == "<user>hello"
            num_rendered += 1
        said = {bomb.result() for bomb in bombs}
    assert num_rendered > 20, "while the first of them burned"
    assert len(said) == 1
    assert "of the processor" in said.pop()


def test_memory_is_bounded(pool: RenderPool) -> None:
    source = "{% set ns = namespace(l=[]) %}{% for i in range(9999) %}" + (
        "{% set ns.l = [ns.l, 'x' * 200000] %}{% endfor %}"
    )
    with pytest.raises(ChatTemplateError, match="failed: it"):
        pool.render(source, HELLO, 10**9)


def test_a_process_killed_from_outside_costs_nothing(pool: RenderPool) -> None:
    others = pids()
    pool.render(SOUND, HELLO, 100)
    for pid in pids() - others:
        os.kill(pid, signal.SIGKILL)
    assert pool.render(SOUND, HELLO, 100) == "<user>hello"


def test_processes_that_keep_ending_are_an_error_of_the_server() -> None:
    class Dying(RenderProcess):
        def ask(self, job: dict[str, Any]) -> dict[str, Any]:
            os.kill(self.pid, signal.SIGKILL)
            return super().ask(job)

    pool = RenderPool(2, start=Dying)
    with pytest.raises(EngineUnavailable, match="end unexpectedly"):
        pool.render(SOUND, HELLO, 100)
    pool.close()


def test_a_child_has_no_secrets_and_no_django(pool: RenderPool) -> None:
    others = pids()
    os.environ["LLM_MANAGER_SECRET_KEY"] = "secret-of-the-test"
    try:
        pool.render(SOUND, HELLO, 100)
    finally:
        del os.environ["LLM_MANAGER_SECRET_KEY"]
    (child,) = [psutil.Process(pid) for pid in pids() - others]
    assert "secret-of-the-test" not in child.environ().values()
    assert child.memory_info().rss < 60 * 2**20
    loaded = [each.path for each in child.memory_maps()]
    assert not [path for path in loaded if "llama" in path or "sqlite" in path]


def test_children_end_with_their_parent() -> None:
    program = (
        "import os, sys\n"
        "from inference.prompts.rendering.render_process import RenderProcess\n"
        "print(RenderProcess().pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    pid = int(done.stdout)
    deadline = time.monotonic() + 20
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            break
    assert not psutil.pid_exists(pid) or (
        psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    )
