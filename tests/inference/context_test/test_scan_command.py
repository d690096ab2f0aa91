"""manage.py scan_models --test-context: options, the table, JSON and exit codes."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command

from inference.context_test.surroundings import only_tests_here
from registry.models import ContextTest
from tests.tiny_models import write_tiny_model

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_django.fixtures import Settings

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _own_lock(tmp_path: Path, settings: Settings) -> None:
    settings.DATA_DIR = tmp_path


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    write_tiny_model("llama", folder / "tiny.gguf")
    return folder


def scan(*arguments: object) -> tuple[str, int]:
    """Return what is printed, and the exit status."""
    output = io.StringIO()
    try:
        call_command("scan_models", *map(str, arguments), stdout=output)
    except SystemExit as error:
        return output.getvalue(), int(error.code or 0)
    return output.getvalue(), 0


def test_a_real_model_is_measured_and_then_known(models: Path) -> None:
    arguments: tuple[Any, ...] = (models, "--test-context", "--max-ctx", 768)
    output, status = scan(*arguments, "--json")
    assert status == 0
    report = json.loads(output)
    assert report["counts"]["new"] == 1
    (test,) = report["context_tests"]
    assert (test["model"], test["state"], test["tested"]) == ("tiny", "done", 768)
    assert [each["n_ctx"] for each in test["measurements"]] == [512, 768]
    assert test["recommended"]["1"] == {"n_ctx": 768, "bound": "tested"}
    assert test["versions"]["llama-cpp-python"]
    output, status = scan(*arguments)
    assert status == 0
    head, row = output.splitlines()[-2:]
    assert head.split()[:4] == ["Model", "KV", "Tested", "For"]
    assert row.split()[:4] == ["done", "tiny", "f16", "768"]
    assert row.endswith("too small to tell  already tested")


def test_types_that_do_not_fit_are_rows_with_their_reason(models: Path) -> None:
    output, status = scan(models, "--test-context", "--kv-type", "q8_0, Q4_0", "--json")
    assert status == 1
    tests = json.loads(output)["context_tests"]
    assert [each["cache_type_k"] for each in tests] == ["q8_0", "q4_0"]
    assert all("K cannot be" in each["reason"] for each in tests)


def test_quantised_types_come_after_the_one_in_force(models: Path) -> None:
    scan(models, "--test-context", "--kv-quant", "--max-ctx", 256, "--min-ctx", 256)
    tests = ContextTest.objects.order_by("pk")
    assert [test.kv_type for test in tests] == ["f16", "q8_0", "q4_0"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--kv-quant"], "--kv-quant needs --test-context."),
        (["--model", "tiny"], "--model needs --test-context."),
        (["--test-context", "--dry-run"], "leave --dry-run out"),
        (["--test-context", "--kv-type", "q9"], "'q9' is no KV type. There are: f32"),
        (["--test-context", "--model", "else"], "The model 'else' does not exist"),
        (["--test-context", "--max-ctx", "100"], "--max-ctx must be 256 or more."),
        (["--test-context", "--budget-minutes", "0"], "must be more than 0"),
    ],
)
def test_what_makes_no_sense_is_refused(
    models: Path, arguments: list[str], words: str
) -> None:
    with pytest.raises(CommandError, match=words):
        scan(models, *arguments)
    assert not ContextTest.objects.exists()


def test_only_one_process_of_a_machine_tests(models: Path) -> None:
    with only_tests_here(), pytest.raises(CommandError, match="Another process tests"):
        scan(models, "--test-context")


def test_a_folder_without_models_is_said(tmp_path: Path) -> None:
    output, status = scan(tmp_path, "--test-context")
    assert status == 0
    assert "No model that generates text was found" in output
