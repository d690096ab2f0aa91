"""What people name when they want a model."""

from __future__ import annotations

import pytest

from registry.hub.errors import DownloadFailed, HostilePath, InvalidSource
from registry.hub.source import FileSource, HubSource, parse_source

HUB = "https://huggingface.co"


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("org/repo", HubSource("org/repo")),
        (" org/repo:Q4_K_M ", HubSource("org/repo", "Q4_K_M")),
        ("hf.co/org/repo:q8_0", HubSource("org/repo", "q8_0")),
        ("huggingface.co/org/repo", HubSource("org/repo")),
        ("org/repo:sub/m.gguf", HubSource("org/repo", "sub/m.gguf")),
        ("org/repo/sub/m.gguf", HubSource("org/repo", "sub/m.gguf")),
        ("org/repo@v1.2:Q4_0", HubSource("org/repo", "Q4_0", "v1.2")),
        (f"{HUB}/org/repo", HubSource("org/repo")),
        (f"{HUB}/org/repo/tree/dev", HubSource("org/repo", "", "dev")),
        (
            f"{HUB}/org/repo/resolve/main/s/m.gguf?download=true",
            HubSource("org/repo", "s/m.gguf", "main"),
        ),
        (
            f"{HUB}/org/repo/blob/main/m.gguf",
            HubSource("org/repo", "m.gguf", "main"),
        ),
        (
            "modelscope.cn/org/repo@v1:Q4_K_M",
            HubSource("org/repo", "Q4_K_M", "v1", is_modelscope=True),
        ),
        (
            "https://modelscope.cn/models/org/repo/files",
            HubSource("org/repo", is_modelscope=True),
        ),
        (
            "https://www.modelscope.cn/models/org/repo/resolve/master/s/m.gguf",
            HubSource("org/repo", "s/m.gguf", "master", is_modelscope=True),
        ),
        (
            "https://host.test/a/m%20b.gguf",
            FileSource("https://host.test/a/m%20b.gguf", "m b.gguf"),
        ),
    ],
)
def test_a_source_is_understood(text: str, source: object) -> None:
    assert parse_source(text, endpoint=HUB) == source


def test_a_source_of_modelscope_is_written_as_it_is_read() -> None:
    text = "modelscope.cn/org/repo@v1:Q4_K_M"
    assert str(parse_source(text, endpoint=HUB)) == text


def test_a_mirrors_own_address_is_the_hubs() -> None:
    found = parse_source(
        "http://mirror.test/hub/org/repo/resolve/main/m.gguf",
        endpoint="http://mirror.test/hub",
    )
    assert found == HubSource("org/repo", "m.gguf", "main")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "repo",
        "../etc/passwd",
        "org/../repo",
        "org/re po",
        "org/repo/more",
        "-o/repo",
        "org/repo:\x1b[2J",
        "org/repo@../x",
        "ftp://host.test/m.gguf",
        "https://",
        "https://[::1/m.gguf",
        "https://user:secret@host.test/m.gguf",
        "https://host.test/m.gguf?X-Signature=secret",
        "https://host.test/m.gguf#x",
        "org/repo" + "o" * 2000,
    ],
)
def test_what_is_no_source_is_refused(text: str) -> None:
    with pytest.raises(InvalidSource):
        parse_source(text, endpoint=HUB)


@pytest.mark.parametrize("text", ["https://host.test/m.zip", "https://host.test/"])
def test_an_address_is_of_a_gguf_file(text: str) -> None:
    with pytest.raises(HostilePath):
        parse_source(text, endpoint=HUB)


def test_no_message_repeats_a_secret() -> None:
    for text in (
        "https://user:secret@host.test/m.gguf",
        "https://host.test/m.gguf?sig=secret",
    ):
        with pytest.raises(DownloadFailed) as refused:
            parse_source(text, endpoint=HUB)
        assert "secret" not in str(refused.value).replace("may be a secret", "")
