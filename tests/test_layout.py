"""The layout holds: platform/ hides no standard library, the layers point one way."""

from __future__ import annotations

import ast
import os
import platform
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run_python(code: str, cwd: Path = ROOT) -> str:
    """Return what a fresh interpreter prints that finds the source roots."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'platform'}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_platform_is_the_standard_librarys() -> None:
    assert platform.__file__ is not None
    stdlib = Path(sysconfig.get_path("stdlib")).resolve()
    assert Path(platform.__file__).resolve().parent == stdlib


def test_platform_folder_is_no_package() -> None:
    assert not list((ROOT / "platform").glob("*.py"))


@pytest.mark.parametrize("folder", [".", "platform", "tests"])
def test_standard_library_is_found_from_every_folder(folder: str) -> None:
    code = "import platform, uuid; print(platform.system())"
    assert run_python(code, ROOT / folder) == platform.system()


def test_every_test_folder_is_a_package() -> None:
    """One without __init__.py may hide the package that it is named after."""
    folders = {path.parent for path in (ROOT / "tests").rglob("*.py")}
    assert [
        str(folder) for folder in folders if not (folder / "__init__.py").exists()
    ] == []
    assert not (ROOT / "tests" / "platform").exists()


def test_engine_and_messages_need_no_django() -> None:
    code = (
        "import sys, inference.output_parsers, inference.engine; "
        "import inference.transport.messages; "
        "print('django' in sys.modules, 'llama_cpp' in sys.modules)"
    )
    assert run_python(code) == "False False"


def test_importing_the_project_package_loads_nothing() -> None:
    code = "import sys, llm_manager; print('django' in sys.modules)"
    assert run_python(code) == "False"


def test_layers_point_one_way() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command as run; run()",
            "--no-cache",
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'platform'}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


#: One model family a file: the more, the better.
COLLECTIONS = {"inference/output_parsers/families"}
MAX_MODULES = 14


def test_no_folder_is_crowded() -> None:
    folders = {
        path.parent
        for root in (
            "platform/llm_manager",
            "inference",
            "accounts",
            "registry",
            "benchmarks",
        )
        for path in (ROOT / root).rglob("*.py")
        if "migrations" not in path.parts
    }
    counts = {
        str(folder.relative_to(ROOT)): sum(
            path.stem != "__init__" for path in folder.glob("*.py")
        )
        for folder in folders
    }
    crowded = {
        name: count
        for name, count in counts.items()
        if count > MAX_MODULES and name not in COLLECTIONS
    }
    assert crowded == {}


#: Names that Django looks for.
DJANGOS_CLASSES = {"Command", "Migration", "Meta"}


def test_no_two_classes_share_a_name() -> None:
    """One word for one thing: a name says which class is meant."""
    places: dict[str, list[str]] = {}
    for root in ("platform/llm_manager", "inference", "accounts", "registry"):
        for path in (ROOT / root).rglob("*.py"):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places.setdefault(node.name, []).append(str(path))
    shared = {name: files for name, files in places.items() if len(files) > 1}
    assert {n: f for n, f in shared.items() if n not in DJANGOS_CLASSES} == {}


_LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
_PATH = re.compile(
    r"`((?:platform|inference|accounts|registry|tests|templates|scripts|docs)/[\w./-]+)`"
)


@pytest.mark.parametrize(
    "page",
    [
        path.relative_to(ROOT).as_posix()
        for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    ],
)
def test_what_a_page_names_is_there(page: str) -> None:
    """Links lead somewhere, and files that a sentence names exist."""
    text = (ROOT / page).read_text(encoding="utf-8")
    folder = (ROOT / page).parent
    missing = [link for link in _LINK.findall(text) if not (folder / link).exists()]
    missing += [path for path in _PATH.findall(text) if not (ROOT / path).exists()]
    assert missing == []
