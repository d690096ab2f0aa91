"""Projectors and language models find each other by what they are called."""

from __future__ import annotations

import pytest

from registry.scan.pairing import PairingCandidate, choose_projector, words


def chosen(
    model: str,
    projectors: list[str],
    others: list[str] | None = None,
    *,
    basename: str = "",
    of_projectors: str = "",
) -> str | None:
    """Return the stem of the projector that is chosen for a model's stem.

    ``basename`` is what the headers of all models say, ``of_projectors`` what
    those of the projectors do.
    """
    models = [
        PairingCandidate(number, stem, basename)
        for number, stem in enumerate([model, *(others or [])])
    ]
    found = choose_projector(
        models[0],
        [
            PairingCandidate(number, stem, of_projectors)
            for number, stem in enumerate(projectors, start=100)
        ],
        models,
    )
    return found.stem if found else None


@pytest.mark.parametrize(
    ("model", "projector"),
    [
        ("gemma-3-4b-it-Q4_K_M", "mmproj-gemma-3-4b-it-f16"),
        ("Qwen2.5-VL-7B-Instruct-Q4_K_M", "mmproj-Qwen2.5-VL-7B-Instruct-Q8_0"),
        ("SmolVLM-500M-Instruct-Q8_0", "mmproj-SmolVLM-500M-Instruct-f16"),
        ("llava-v1.5-7b.Q4_K", "llava-v1.5-7b-mmproj-model-f16"),
        ("gemma-3-4b-it-UD-IQ2_XXS", "mmproj-F16"),
        ("gemma-3-4b-it-Q4_K_M", "mmproj-model-f16"),
        ("Moondream2_Q4_0", "moondream2-mmproj-bf16"),
    ],
)
def test_names_as_they_are_published_are_paired(model: str, projector: str) -> None:
    assert chosen(model, [projector]) == projector


@pytest.mark.parametrize(
    ("model", "projector"),
    [
        ("gemma-3-27b-it-Q4_K_M", "mmproj-gemma-3-4b-it-f16"),
        ("Qwen2.5-7B-Instruct-Q4_K_M", "mmproj-Qwen2.5-VL-7B-Instruct-f16"),
        ("Qwen2-VL-7B-Instruct-Q4_K_M", "mmproj-Qwen2.5-VL-7B-Instruct-f16"),
        ("llama-3-8b-Q4_K_M", "mmproj-gemma-3-4b-it-f16"),
    ],
)
def test_another_model_or_size_is_not_paired(model: str, projector: str) -> None:
    assert chosen(model, [projector]) is None


def test_the_projector_with_most_words_in_common_is_chosen() -> None:
    projectors = ["mmproj-gemma-3", "mmproj-gemma-3-4b-it"]
    assert chosen("gemma-3-4b-it-Q4_0", projectors) == "mmproj-gemma-3-4b-it"


def test_of_several_precisions_f16_is_chosen() -> None:
    projectors = ["mmproj-F32", "mmproj-BF16", "mmproj-F16", "mmproj-Q8_0"]
    assert chosen("gemma-3-4b-it-Q4_K_M", projectors) == "mmproj-F16"


def test_a_nameless_projector_serves_all_quantisations_of_one_model() -> None:
    models = ["gemma-3-4b-it-Q8_0", "gemma-3-4b-it-UD-Q4_K_XL"]
    assert chosen("gemma-3-4b-it-Q4_K_M", ["mmproj-F16"], models) == "mmproj-F16"


def test_a_nameless_projector_among_several_models_belongs_to_none() -> None:
    assert chosen("gemma-3-4b-it-Q4_K_M", ["mmproj-F16"], ["llama-3-8b-Q4_0"]) is None


def test_a_nameless_projector_is_paired_by_the_name_in_its_header() -> None:
    projector = chosen(
        "gemma-3-4b-it-Q4_K_M",
        ["mmproj-F16"],
        ["llama-8b-Q4_0"],
        of_projectors="Gemma-3",
    )
    assert projector == "mmproj-F16"


def test_the_name_in_the_models_header_counts() -> None:
    projector = chosen(
        "my-favourite", ["mmproj-F16"], basename="Gemma-3", of_projectors="Gemma-3"
    )
    assert projector == "mmproj-F16"


def test_a_base_name_that_two_sizes_share_pairs_neither() -> None:
    projector = chosen(
        "gemma-3-4b-Q4_0", ["mmproj-F16"], ["gemma-3-27b-Q4_0"], of_projectors="Gemma-3"
    )
    assert projector is None


def test_words_leave_out_quantisations_and_keep_sizes_and_versions() -> None:
    assert words("Qwen2.5-0.5B-Instruct.IQ4_XS") == {"qwen2.5", "0.5b", "instruct"}
    assert words("mmproj-model-f16") == set()
