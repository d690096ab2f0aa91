"""Models that made room for others are written down, and shown in pairs."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from inference.evictions import eviction_note, evictions_prune, evictions_since
from inference.models import EvictionRecord
from tests.factories import make_model, make_node, make_worker

pytestmark = pytest.mark.django_db


def test_pairs_are_counted_and_old_ones_deleted() -> None:
    node = make_node()
    wanted = make_worker(make_model("large"), None)
    small = make_worker(make_model("small"), node, memory_bytes=5)
    other = make_worker(make_model("other"), node, memory_estimate=7)
    for worker in (small, other, small):
        eviction_note(worker.pk, wanted_by=wanted, node=node)
    since = timezone.now() - timedelta(days=1)
    pairs = evictions_since(since, most=5)
    assert [(each.model_name, each.for_name, each.times) for each in pairs] == [
        ("small", "large", 2),
        ("other", "large", 1),
    ]
    assert set(EvictionRecord.objects.values_list("memory_bytes", flat=True)) == {5, 7}
    EvictionRecord.objects.filter(model_name="small").update(
        at=timezone.now() - timedelta(days=31)
    )
    assert evictions_prune() == 2
    assert [each.model_name for each in evictions_since(since, most=5)] == ["other"]
