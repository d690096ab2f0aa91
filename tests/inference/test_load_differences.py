"""Which saved settings are not in force yet."""

from __future__ import annotations

from typing import Any

import pytest

from inference.load_differences import load_differences, load_time_settings
from tests.factories import make_model, make_node, make_worker

pytestmark = pytest.mark.django_db


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return what differs for a model that was loaded and then changed."""
    model = make_model(**before)
    worker = make_worker(
        model,
        make_node(),
        n_ctx=4096,
        n_seq_max=4,
        loaded_settings=load_time_settings(model),
    )
    worker.refresh_from_db()
    type(model).objects.filter(pk=model.pk).update(**after)
    model.refresh_from_db()
    return [str(each) for each in load_differences(worker, model)]


def test_nothing_differs_after_a_load() -> None:
    settings = {"n_ctx": 4096, "tensor_split": "3, 1", "draft": "lookup"}
    assert differences(settings, {}) == []


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"n_ctx": 4096}, {"n_ctx": 8192}, "context in force: 4,096, saved: 8,192"),
        ({}, {"n_ctx": 8192}, "context in force: 4,096, saved: 8,192"),
        ({"n_ctx": 4096}, {"n_ctx": None}, "context in force: 4,096, saved: automatic"),
        ({}, {"n_seq_max": 8}, "sequences in force: 4, saved: 8"),
        ({}, {"cache_type_k": "q8_0"}, "K type in force: f16, saved: q8_0"),
        (
            {"use_mmap": True},
            {"use_mmap": False},
            "map the file in force: yes, saved: no",
        ),
        (
            {"tensor_split": "3,1"},
            {"tensor_split": "1,1"},
            "shares of the GPUs in force: 3, 1, saved: 1, 1",
        ),
    ],
)
def test_a_setting_that_only_a_load_puts_in_force_is_said(
    before: dict[str, Any], after: dict[str, Any], said: str
) -> None:
    assert differences(before, after) == [said]


def test_an_explicit_default_is_no_difference() -> None:
    assert differences({}, {"cache_type_k": "f16", "n_batch": 512}) == []


def test_what_holds_at_once_is_no_difference() -> None:
    live = {
        "replicas": 2,
        "keep_alive": 60,
        "is_pinned": True,
        "is_preloaded": True,
        "temperature": 0.1,
        "template_override": "x",
    }
    assert differences({}, live) == []


def test_another_draft_model_is_said() -> None:
    first, second = make_model("small"), make_model("other")
    assert differences(
        {"draft": "model", "draft_model": first}, {"draft_model": second}
    ) == ["draft model in force: small, saved: other"]


def test_a_worker_of_an_earlier_version_has_no_differences() -> None:
    model = make_model(n_ctx=1024)
    assert load_differences(make_worker(model, make_node()), model) == []
