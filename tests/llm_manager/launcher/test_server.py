"""The launcher with trivial parts: its order, its repairs, and what it leaves."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from llm_manager.launcher.files.address import read_address
from tests.llm_manager.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.llm_manager.conftest import Launched

pytestmark = pytest.mark.e2e


def pid_of(launched: Launched, part: str) -> int | None:
    """Return the process of a part, if there is one now."""
    if part != "redis":
        return launched.pid_of(part)
    for child in launched.family():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "redis" in child.name() and not is_gone(child):
                return child.pid
    return None


def is_gone(process: psutil.Process) -> bool:
    """Whether it ended; what its parent left unreaped has ended, too."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_sigterm_stops_web_then_engine_then_redis(launched: Launched) -> None:
    launched.start(engine="stubborn", LLM_MANAGER_ENGINE_DRAIN_TIMEOUT="600")
    launched.wait_until_ready()
    redis = psutil.Process(pid_of(launched, "redis"))
    launched.signal(signal.SIGTERM)
    # The engine is stopped when no web process accepts requests any more …
    wait_until(lambda: "stubborn ignores SIGTERM" in launched.events)
    assert launched.events[-2:] == ["web stops", "stubborn ignores SIGTERM"]
    # … and as long as it drains, it has its Redis.
    assert not is_gone(redis)
    os.kill(launched.pid_of("stubborn"), signal.SIGKILL)
    assert launched.wait() == 0
    assert is_gone(redis)


def test_the_command_line_finds_the_server_and_its_log(launched: Launched) -> None:
    launched.start()
    launched.wait_until_ready()
    assert read_address(launched.data_dir) == f"http://127.0.0.1:{launched.port}"
    assert "There is no API key yet." in launched.stdout
    launched.signal(signal.SIGTERM)
    assert launched.wait() == 0
    assert read_address(launched.data_dir) is None
    log = (launched.data_dir / "logs" / "llm-manager.log").read_text("utf-8")
    assert log == launched.stderr
    assert "llm-manager: Stopping." in log


def test_engine_that_outlasts_its_time_is_killed(launched: Launched) -> None:
    launched.start(engine="stubborn")
    launched.wait_until_ready()
    engine = psutil.Process(launched.pid_of("stubborn"))
    launched.signal(signal.SIGTERM)
    assert launched.wait() == 0
    assert is_gone(engine)


def test_second_signal_hurries(launched: Launched) -> None:
    launched.start(engine="stubborn", LLM_MANAGER_ENGINE_DRAIN_TIMEOUT="600")
    launched.wait_until_ready()
    launched.signal(signal.SIGINT)
    wait_until(lambda: "stubborn ignores SIGTERM" in launched.events)
    launched.signal(signal.SIGINT)
    assert launched.wait() == 0


def test_nothing_stays_after_sigterm(launched: Launched) -> None:
    launched.start("--with-child")
    launched.wait_until_ready()
    family = launched.family()
    # Redis, engine, the process that the engine started, web.
    assert len(family) == 4
    launched.signal(signal.SIGTERM)
    assert launched.wait() == 0
    assert all(is_gone(process) for process in family)


def test_nothing_stays_after_the_launcher_is_killed(launched: Launched) -> None:
    launched.start()
    launched.wait_until_ready()
    family = launched.family()
    assert len(family) == 3
    launched.signal(signal.SIGKILL)
    launched.wait()
    wait_until(lambda: all(is_gone(process) for process in family))


def test_terminal_ctrl_c_reaches_only_the_launcher(launched: Launched) -> None:
    launched.start()
    launched.wait_until_ready()
    groups = {os.getpgid(process.pid) for process in launched.family()}
    assert os.getpgid(launched.process.pid) not in groups
    assert len(groups) == 3


@pytest.mark.parametrize("part", ["web", "engine", "redis"])
def test_dead_part_is_started_again(launched: Launched, part: str) -> None:
    launched.start()
    launched.wait_until_ready()
    victim = pid_of(launched, part)
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: pid_of(launched, part) not in (victim, None))
    said = f"llm-manager: {part} exited (killed by signal 9); restarting it in "
    assert launched.stderr.count(said) == 1


def test_a_web_process_that_hangs_is_started_again(launched: Launched) -> None:
    launched.start(engine="alive-engine", web="alive-web", STUB_SILENT_S="1")
    launched.wait_until_ready()
    victim = launched.pid_of("alive-web")
    os.kill(victim, signal.SIGSTOP)
    wait_until(lambda: pid_of(launched, "alive-web") not in (victim, None))
    said = "llm-manager: web did not answer for 1 s; restarting it in "
    assert launched.stderr.count(said) == 1


def test_an_engine_process_that_hangs_is_started_again(launched: Launched) -> None:
    launched.start(engine="alive-engine", web="alive-web", STUB_SILENT_S="1")
    launched.wait_until_ready()
    victim = launched.pid_of("alive-engine")
    os.kill(victim, signal.SIGSTOP)
    wait_until(lambda: pid_of(launched, "alive-engine") not in (victim, None))


def test_a_pause_of_all_processes_ends_none(launched: Launched) -> None:
    launched.start(engine="alive-engine", web="alive-web", STUB_SILENT_S="6")
    launched.wait_until_ready()
    pids = [launched.pid_of(part) for part in ("alive-engine", "alive-web")]
    stopped_at = time.monotonic()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: time.monotonic() - stopped_at > 9)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    launched.signal(signal.SIGTERM)
    assert launched.wait() == 0
    assert "did not answer" not in launched.stderr


def test_what_a_dead_engine_started_goes_too(launched: Launched) -> None:
    launched.start("--with-child")
    launched.wait_until_ready()
    grandchild = psutil.Process(launched.pid_of("grandchild"))
    os.kill(launched.pid_of("engine"), signal.SIGKILL)
    wait_until(lambda: is_gone(grandchild))


def test_part_that_keeps_dying_ends_the_start(launched: Launched) -> None:
    launched.start(web="broken")
    assert launched.wait() == 1
    assert "web exited (exit status 3); restarting it in 0.25 s." in launched.stderr
    assert launched.stderr.endswith(
        "llm-manager: The web process does not start; its messages are above.\n"
    )
    assert "is ready" not in launched.stdout


def test_workers_share_the_port(launched: Launched) -> None:
    launched.start(LLM_MANAGER_SERVER_WORKERS="3")
    launched.wait_until_ready()
    wait_until(lambda: len([e for e in launched.events if "web starts" in e]) == 3)


def test_only_web_processes_share_metrics(launched: Launched) -> None:
    """An engine that is started again would add its own counts to theirs."""
    launched.start(LLM_MANAGER_SERVER_WORKERS="2")
    launched.wait_until_ready()
    victim = launched.pid_of("engine")
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: pid_of(launched, "engine") not in (victim, None))
    folders = {
        part: psutil.Process(launched.pid_of(part))
        .environ()
        .get("PROMETHEUS_MULTIPROC_DIR")
        for part in ("web", "engine")
    }
    assert folders == {"web": str(launched.data_dir / "metrics"), "engine": None}


def test_second_launcher_on_the_same_directory_is_refused(
    make_launched: Callable[[], Launched],
) -> None:
    first, second = make_launched(), make_launched()
    first.start()
    first.wait_until_ready()
    second.start()
    assert second.wait() == 1
    assert second.stderr == (
        f"llm-manager: Another llm-manager server (process {first.process.pid}) uses "
        f"the data directory {first.data_dir}; stop it, or choose another directory "
        "with --data-dir.\n"
    )


def test_second_start_changes_no_credentials(
    make_launched: Callable[[], Launched],
) -> None:
    written = []
    for launched in (make_launched(), make_launched()):
        launched.start("--quickstart")
        launched.wait_until_ready()
        file = launched.data_dir / "quickstart.json"
        assert file.stat().st_mode & 0o777 == 0o600
        kept = json.loads(file.read_text(encoding="utf-8"))
        assert kept.pop("base_url") == f"http://127.0.0.1:{launched.port}/v1"
        assert kept["api_key"] in launched.stdout
        assert kept["admin_password"] in launched.stdout
        written.append(kept)
        launched.signal(signal.SIGTERM)
        assert launched.wait() == 0
    assert written[0] == written[1]


def test_banner_warns_when_no_key_is_asked_for(launched: Launched) -> None:
    launched.start(LLM_MANAGER_AUTH_REQUIRED="false")
    launched.wait_until_ready()
    assert "WARNING: auth.required is false" in launched.stdout
    assert "There is no API key yet." not in launched.stdout
