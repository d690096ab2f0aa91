"""Names say which file is meant, as briefly as they can."""

from __future__ import annotations

from registry.gguf.describe import ModelDescription
from registry.scan.files import ModelFiles, ReadModel
from registry.scan.folders import FoundFile
from registry.scan.naming import MAX_NAME_LENGTH, choose_name


def name(path: str, *taken: str) -> str:
    stem = path.rpartition("/")[2].rpartition(".")[0]
    files = ModelFiles(stem, (FoundFile(path, 1, 1),))
    return choose_name(ReadModel(files, ModelDescription("chat", "llama"), ""), taken)


def test_a_model_is_called_by_its_file() -> None:
    assert name("/models/a/llama.gguf") == "llama"


def test_folders_distinguish_files_of_one_name() -> None:
    assert name("/models/a/m.gguf", "m") == "a/m"
    assert name("/models/a/m.gguf", "m", "a/m") == "models/a/m"


def test_a_number_distinguishes_files_of_one_name_in_one_folder() -> None:
    assert name("/m.GGUF", "m") == "m-2"
    assert name("/m.GGUF", "m", "m-2") == "m-3"


def test_a_name_fits_its_column() -> None:
    stem = "x" * 250
    assert name(f"/{'d' * 200}/{stem}.gguf") == stem
    second = name(f"/{'d' * 200}/{stem}.gguf", stem)
    assert second.endswith("x-2")
    assert len(second) <= MAX_NAME_LENGTH
