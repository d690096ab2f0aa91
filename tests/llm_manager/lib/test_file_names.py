"""What clients see of paths in messages."""

from __future__ import annotations

import pytest

from llm_manager.lib.file_names import without_folders


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (
            "gguf_init_from_file: failed to open GGUF file '/srv/my models/a.gguf'",
            "gguf_init_from_file: failed to open GGUF file 'a.gguf'",
        ),
        ("llama.cpp cannot load /srv/models/a.gguf.", "llama.cpp cannot load a.gguf."),
        (
            "/build/llama.cpp/src/llama-model.cpp:123: GGML_ASSERT(n > 0) failed",
            "llama-model.cpp:123: GGML_ASSERT(n > 0) failed",
        ),
        (
            "[Errno 2] No such file or directory: '/a/b-00001-of-00002.gguf'",
            "[Errno 2] No such file or directory: 'b-00001-of-00002.gguf'",
        ),
        ('open("/x") failed', 'open("x") failed'),
        ("in /a/b, /c/d and (/e/f)", "in b, d and (f)"),
        ("no path: 1/2, a/b, and/or, https://a.b/c/d", None),
        ("it needs 3 GiB / 2 GiB are free", None),
    ],
)
def test_an_absolute_path_is_its_last_part(text: str, seen: str | None) -> None:
    assert without_folders(text) == (text if seen is None else seen)
