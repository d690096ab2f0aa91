"""What a repository offers, and which of it is taken."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from registry.hub.errors import HostilePath, NoSuchFile
from registry.hub.offer import HubFile, Offer, choose, make_offer
from registry.hub.paths import checked_path, place_in


def offer(*paths: str) -> Offer:
    """Return an offer of files; each is larger than the one before."""
    return make_offer(
        "org/repo", "c0ffee", [HubFile(p, n + 1) for n, p in enumerate(paths)]
    )


def test_shards_are_one_model_and_the_projector_goes_with_it() -> None:
    found = offer(
        "README.md",
        "Q4_K_M/tiny-Q4_K_M-00001-of-00002.gguf",
        "Q4_K_M/tiny-Q4_K_M-00002-of-00002.gguf",
        "tiny-Q8_0.gguf",
        "mmproj-BF16.gguf",
        "mmproj-F16.gguf",
        "tiny.imatrix.gguf",
    )
    small, sharded = found.choices
    assert (small.quantization, sharded.quantization) == ("Q8_0", "Q4_K_M")
    assert [each.path for each in sharded.all_files] == [
        "Q4_K_M/tiny-Q4_K_M-00001-of-00002.gguf",
        "Q4_K_M/tiny-Q4_K_M-00002-of-00002.gguf",
        "mmproj-F16.gguf",
    ]
    assert sharded.size == 2 + 3 + 6
    assert [path for path, _ in found.left_out] == ["tiny.imatrix.gguf"]


def test_a_set_that_lacks_a_shard_is_left_out_with_the_reason() -> None:
    found = offer("m-00001-of-00002.gguf")
    assert found.choices == ()
    assert found.left_out == (
        (
            "m-00001-of-00002.gguf",
            "shard 2 of 2 is missing: m-00002-of-00002.gguf.",
        ),
    )


@pytest.mark.parametrize(
    ("path", "quantization"),
    [
        ("m.Q4_K_M.gguf", "Q4_K_M"),
        ("m-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
        ("m-iq2_xxs.gguf", "IQ2_XXS"),
        ("m-bf16.gguf", "BF16"),
        ("m-MXFP4_MOE.gguf", "MXFP4_MOE"),
        ("TQ1_0/m.gguf", "TQ1_0"),
        ("Qwen3-8B.gguf", ""),
    ],
)
def test_the_name_says_the_quantization(path: str, quantization: str) -> None:
    assert offer(path).choices[0].quantization == quantization


@pytest.mark.parametrize("wanted", ["", "q4_k_m", "m-Q4_K_M.gguf", "m-Q4_K_M"])
def test_a_model_is_chosen_by_quantization_file_or_custom(wanted: str) -> None:
    found = offer("m-Q2_K.gguf", "m-Q4_K_M.gguf", "m-Q8_0.gguf")
    assert choose(found, wanted).path == "m-Q4_K_M.gguf"


def test_the_only_model_needs_no_name() -> None:
    assert choose(offer("m.gguf"), "").path == "m.gguf"


@pytest.mark.parametrize(
    ("paths", "wanted", "said"),
    [
        (["a-Q2_K.gguf", "a-Q3_K_S.gguf"], "", "name one: Q2_K, Q3_K_S"),
        (["a-Q2_K.gguf"], "Q9", "has no 'Q9'; it has: Q2_K"),
        (["a-Q2_K.gguf", "b-Q2_K.gguf"], "Q2_K", "name a file: a-Q2_K"),
        (["model.safetensors"], "", "has no .gguf files"),
    ],
)
def test_what_is_not_clear_is_refused_by_what_there_is(
    paths: list[str], wanted: str, said: str
) -> None:
    with pytest.raises(NoSuchFile, match=said):
        choose(offer(*paths), wanted)


HOSTILE = [
    "../m.gguf",
    "/etc/m.gguf",
    "a//m.gguf",
    "a/../../m.gguf",
    "./m.gguf",
    ".hidden.gguf",
    "a/.ssh/m.gguf",
    "a\\m.gguf",
    "m\n.gguf",
    "m\x00.gguf",
    "m\u202efugg.gguf",
    "C:m.gguf",
    "m.gguf ",
    "m.safetensors",
    "a/b/c/d/e/f/g/h/m.gguf",
    "m" * 300 + ".gguf",
    "",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_refused(name: str) -> None:
    with pytest.raises(HostilePath):
        checked_path(name)


def test_hostile_names_are_left_out_of_an_offer() -> None:
    found = offer(*HOSTILE, "good.gguf")
    assert [each.path for each in found.choices] == ["good.gguf"]
    assert len(found.left_out) == sum(n.lower().endswith(".gguf") for n in HOSTILE)


def test_a_link_in_the_folder_leads_nowhere_else(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "org").symlink_to(tmp_path)
    with pytest.raises(HostilePath, match="leads out"):
        place_in(folder, PurePosixPath("org/repo/m.gguf"))
    assert place_in(folder, PurePosixPath("a/m.gguf")) == folder / "a" / "m.gguf"
