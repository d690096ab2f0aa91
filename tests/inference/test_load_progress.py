"""What is said of a load that is not finished."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from inference.api.failures import failure_of
from inference.errors import QueueFull
from inference.load_progress import LoadProgress
from inference.models import WorkerState
from inference.serving import serving_statuses
from tests.factories import make_model, make_node, make_worker


@pytest.mark.parametrize(
    ("elapsed_s", "share", "left", "words"),
    [
        (10, 0.25, 30, "25% is done, about 30 s are left."),
        (10, 0.999, 1, "100% is done, about 1 s are left."),
        (10, 1.0, 1, "100% is done, about 1 s are left."),
        (10, 0.0, None, "0% is done."),
        # Another machine's clock is ahead.
        (-5, 0.5, 1, "50% is done, about 1 s are left."),
    ],
)
def test_the_rest_of_a_load_takes_as_long_as_what_is_done(
    elapsed_s: float, share: float, left: int | None, words: str
) -> None:
    progress = LoadProgress.after(elapsed_s, share)
    assert (progress.share, progress.seconds_left) == (share, left)
    assert str(progress) == f"The model is being loaded: {words}"


def test_an_error_says_how_far_the_model_is_loaded_and_when_to_come_back() -> None:
    error = QueueFull("Full.", retry_after=5).while_loading(LoadProgress(0.5, 12))
    assert error.retry_after == 12
    assert error.message.startswith("Full. The model is being loaded: 50%")
    assert QueueFull("Full.", retry_after=5).while_loading(None).message == "Full."


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("columns", "share"),
    [
        ({"state": WorkerState.LOADING, "progress": 0.4}, 0.4),
        ({"state": WorkerState.READY}, None),
        ({"state": WorkerState.LOADING, "is_desired": False}, None),
    ],
)
def test_a_model_is_loading_until_a_worker_serves_it(
    columns: dict[str, Any], share: float | None
) -> None:
    began = timezone.now() - timedelta(seconds=20)
    model: Any = make_model()
    make_worker(model, make_node(), last_used_at=began, **columns)
    loading = serving_statuses([model.pk])[model.pk].loading
    assert (loading.share if loading else None) == share
    if loading is not None:
        assert loading.seconds_left in (30, 31)


def test_the_answer_has_the_progress_in_its_body_and_its_headers() -> None:
    error = QueueFull("Full.", retry_after=5).while_loading(LoadProgress(0.456, 12))
    failure = failure_of(error)
    assert failure.status == 503
    assert failure.headers["Retry-After"] == "12"
    assert failure.headers["x-llm-manager-load-progress"] == "0.46"
    loading = failure.body()["error"]["loading"]
    assert loading == {"progress": 0.46, "seconds_left": 12}
    assert "loading" not in failure_of(QueueFull("Full.")).body()["error"]
