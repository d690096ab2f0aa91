"""The tables agree with the llama.cpp that is installed."""

from __future__ import annotations

import ctypes
import importlib.util
import re
from pathlib import Path

import pytest

from registry.gguf.quantization import FILE_TYPES, GUESSED, TENSOR_TYPES, file_type_name


def llama_cpp_folder() -> Path:
    package = importlib.util.find_spec("llama_cpp")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent


def test_every_file_type_of_llama_cpp_has_its_name() -> None:
    source = (llama_cpp_folder() / "llama_cpp.py").read_text(encoding="utf-8")
    pattern = r"^LLAMA_FTYPE_(?:ALL|MOSTLY)_(\w+) = (\d+)"
    stated = {int(n): name for name, n in re.findall(pattern, source, re.MULTILINE)}
    assert len(stated) > 30
    assert {number: FILE_TYPES[number] for number in stated} == stated


def test_every_tensor_type_of_llama_cpp_has_its_name_and_size() -> None:
    library = next((llama_cpp_folder() / "lib").glob("libggml-base.*"))
    ggml = ctypes.CDLL(str(library))
    ggml.ggml_blck_size.restype = ctypes.c_int64
    ggml.ggml_type_size.restype = ctypes.c_size_t
    ggml.ggml_type_name.restype = ctypes.c_char_p
    source = (llama_cpp_folder() / "llama_cpp.py").read_text(encoding="utf-8")
    found = re.search(r"^GGML_TYPE_COUNT = (\d+)", source, re.MULTILINE)
    assert found is not None
    stated = {
        number: (
            ggml.ggml_type_name(number).decode().upper(),
            ggml.ggml_blck_size(number),
            ggml.ggml_type_size(number),
        )
        for number in range(int(found[1]))
        if ggml.ggml_type_size(number)
    }
    assert stated == {
        number: (each.name, each.elements, each.size)
        for number, each in TENSOR_TYPES.items()
    }


@pytest.mark.parametrize(
    ("number", "name"),
    # Names that were once wrong, because the two enumerations were mixed up.
    [
        (7, "Q8_0"),
        (8, "Q5_0"),
        (15, "Q4_K_M"),
        (18, "Q6_K"),
        (30, "IQ4_XS"),
        (32, "BF16"),
    ],
)
def test_a_file_type_is_not_a_tensor_type(number: int, name: str) -> None:
    assert file_type_name(number) == name


def test_a_guessed_file_type_has_the_name_of_the_type() -> None:
    assert file_type_name(GUESSED | 15) == "Q4_K_M"


def test_an_unknown_file_type_has_no_name() -> None:
    assert file_type_name(999) == ""
