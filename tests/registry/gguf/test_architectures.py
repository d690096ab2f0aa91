"""The list of architectures, compared with the library that is installed."""

from __future__ import annotations

import re
from pathlib import Path

import llama_cpp

from registry.gguf.architectures import KNOWN

_LIBRARY = next((Path(llama_cpp.__file__).parent / "lib").glob("libllama.*"))


def installed_texts() -> list[str]:
    """Return the library's texts in their order, without those of one character."""
    data = _LIBRARY.read_bytes()
    return [text.decode() for text in re.findall(rb"[\x20-\x7e]{2,}(?=\0)", data)]


def test_each_architecture_of_the_list_is_in_the_installed_llama_cpp() -> None:
    data = _LIBRARY.read_bytes()
    # A linker stores "bert" as the end of "modern-bert".
    missing = {name for name in KNOWN if name.encode() + b"\0" not in data}
    assert missing == set()


def test_each_architecture_of_the_installed_llama_cpp_is_in_the_list() -> None:
    texts = installed_texts()
    # The names are stored beside each other: the first, the last, what is between.
    first = max(i for i in range(len(texts)) if texts[i : i + 2] == ["clip", "llama"])
    between = texts[first : texts.index("(unknown)", first)]
    assert len(between) > len(KNOWN) / 2
    assert set(between) - KNOWN == set()
