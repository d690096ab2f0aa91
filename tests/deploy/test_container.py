"""The container image and its compose file, as far as no container engine is needed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from llm_manager.config.schema import KEYS
from tests.llm_manager.waiting import wait_until

ROOT = Path(__file__).parents[2]
HERE = ROOT / "deploy/container"
DOCKERFILE = (HERE / "Dockerfile").read_text("utf-8")
COMPOSE = yaml.safe_load((HERE / "compose.yaml").read_text("utf-8"))
FURTHER = yaml.safe_load((HERE / "engine.yaml").read_text("utf-8"))
OURS = {
    name: service
    for name, service in COMPOSE["services"].items()
    if service["image"] == "llm-manager"
} | {"further engine": FURTHER["services"]["engine"]}
#: Variables of the environment that are not keys of the configuration.
OTHER_VARIABLES = {"DATABASE_URL", "REDIS_URL", "LLM_MANAGER_SECRET_KEY"}


def instruction(name: str) -> str:
    """Return the last instruction of this name, without its line breaks."""
    joined = DOCKERFILE.replace("\\\n", " ")
    found = re.findall(rf"^{name} (.+)$", joined, re.MULTILINE)
    assert found, name
    return str(found[-1])


def exec_form(text: str) -> list[str]:
    """Return the words of a command in the exec form: a JSON array."""
    words: list[str] = yaml.safe_load(text[text.index("[") :])
    return words


def image_environment() -> dict[str, str]:
    return dict(word.split("=", 1) for word in shlex.split(instruction("ENV")))


def succeeds(command: list[str]) -> bool:
    done = subprocess.run(command, capture_output=True, check=False)
    return done.returncode == 0


def test_hadolint_finds_nothing() -> None:
    program = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [program, "--config", HERE / "hadolint.yaml", HERE / "Dockerfile"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_gets_all_that_the_package_is_built_from() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    target = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    wanted = {path.split("/")[0] for path in target["only-include"]}
    wanted |= {"pyproject.toml", project["project"]["readme"]}
    wanted |= set(project["project"]["license-files"])
    copied = {
        word.split("/")[0]
        for line in re.findall(r"^COPY (?!--)(.+)$", DOCKERFILE, re.MULTILINE)
        for word in line.split()[:-1]
    }
    allowed = {
        line[1:]
        for line in (HERE / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
        if line.startswith("!")
    }
    assert wanted <= copied <= allowed
    assert all((ROOT / name).exists() for name in allowed)


@pytest.mark.parametrize("name", OURS)
def test_compose_runs_commands_that_there_are(name: str) -> None:
    command = OURS[name]["command"][0]
    assert succeeds([sys.executable, "-m", "llm_manager", command, "--help"])


@pytest.mark.parametrize("name", OURS)
def test_compose_gives_no_process_more_than_it_needs(name: str) -> None:
    service = OURS[name]
    assert service["read_only"] is True
    assert service["user"] == instruction("USER")
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]


def test_compose_and_image_set_keys_of_the_configuration() -> None:
    known = OTHER_VARIABLES | {
        f"LLM_MANAGER_{key.upper().replace('.', '_')}" for key in KEYS
    }
    ours = {name for name in image_environment() if name.startswith("LLM_MANAGER_")}
    for service in OURS.values():
        ours |= set(service["environment"])
    assert ours <= known


def test_the_documentation_has_each_variable_that_compose_demands() -> None:
    readme = (HERE / "README.md").read_text("utf-8")
    for name, indent in (("compose.yaml", "   "), ("engine.yaml", "")):
        text = (HERE / name).read_text("utf-8")
        demanded = set(re.findall(r"\$\{(\w+):\?", text))
        written = re.findall(rf"^{indent}(\w+)=", readme, re.M)
        assert demanded == set(written), name


def test_an_engine_on_a_further_machine_sends_and_fetches_files() -> None:
    service = FURTHER["services"]["engine"]
    given = service["environment"]
    assert given["LLM_MANAGER_NODES_PULL_MODELS"].endswith(":-both}")
    assert "LLM_MANAGER_NODES_LISTEN" in given
    # Where it listens is an address of the machine, not of a container.
    assert service["network_mode"] == "host"


def mounted(service: dict[str, Any]) -> list[Path]:
    """Return the files of the checkout that a service sees."""
    return [
        (HERE / volume.split(":")[0]).resolve()
        for volume in service.get("volumes", ())
        if volume.startswith(".")
    ]


def test_each_mounted_file_is_in_the_checkout() -> None:
    found = {
        path for service in COMPOSE["services"].values() for path in mounted(service)
    }
    # What is one's own.
    found.remove(HERE / "tls")
    assert found
    assert [path for path in found if not path.exists()] == []


def test_prometheus_accepts_its_configuration(tmp_path: Path) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is missing; Debian's package prometheus has it")
    shutil.copy(ROOT / "deploy/prometheus/llm-manager.rules.yml", tmp_path)
    (tmp_path / "metrics_key").write_text("sk-llmm-test")
    text = (HERE / "prometheus.yml").read_text("utf-8")
    for folder in ("/etc/prometheus", "/run/secrets"):
        text = text.replace(folder, str(tmp_path))
    (tmp_path / "prometheus.yml").write_text(text)
    done = subprocess.run(
        [program, "check", "config", tmp_path / "prometheus.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


#: Makes all read-only but the data directory, then becomes the image's user. Where this
#: Python lies in root's home, that becomes a folder that others may enter.
_AS_THE_IMAGE = """
set -eu
mount --make-rprivate /
case $BASE in /root/*)
    mount --bind "$BASE" "$DATA"
    mount -t tmpfs -o mode=755 tmpfs /root
    mkdir -p "$BASE"
    mount --move "$DATA" "$BASE" ;;
esac
mount -o remount,bind,ro /
mount -t tmpfs -o "uid=$ID,gid=$ID,mode=700" tmpfs "$DATA"
exec setpriv --reuid "$ID" --regid "$ID" --clear-groups --no-new-privs \
    --bounding-set=-all --inh-caps=-all "$@"
"""


@pytest.mark.long
@pytest.mark.e2e
def test_the_images_command_answers_as_its_user_on_a_read_only_root(
    tmp_path: Path,
) -> None:
    if not succeeds(["unshare", "--mount", "true"]):
        pytest.skip("this user may make no namespace of mounts")
    # Not below pytest's folder, which only its own user may enter.
    data = Path(tempfile.mkdtemp(prefix="llm-manager-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = image_environment() | {
        "BASE": sys.base_prefix,
        "DATA": str(data),
        "TMPDIR": str(data),
        "ID": instruction("USER").split(":")[0],
        "PATH": f"{Path(sys.executable).parent}:{os.defpath}:/usr/sbin",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "LLM_MANAGER_DATA_DIR": str(data),
        "LLM_MANAGER_SERVER_HOST": "127.0.0.1",
        "LLM_MANAGER_SERVER_PORT": port,
    }
    assert exec_form(instruction("ENTRYPOINT")) == ["llm-manager"]
    command = [sys.executable, "-m", "llm_manager", *exec_form(instruction("CMD"))]
    check = exec_form(instruction("HEALTHCHECK"))[1:]
    health = [sys.executable, *(word.replace("8000", port) for word in check)]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", _AS_THE_IMAGE, "sh", *command],
            cwd="/",
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(
            lambda: process.poll() is not None or succeeds(health), timeout_s=150
        )
        assert process.poll() is None, log.read_text()
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert f"Uid:\t{environment['ID']}" in status
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=120) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
        data.rmdir()
