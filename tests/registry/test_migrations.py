"""What migrations make of the rows that are there."""

from __future__ import annotations

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

BEFORE = [("registry", "0001_initial")]
AFTER = [("registry", "0002_load_settings")]


@pytest.mark.django_db(transaction=True)
def test_the_one_kv_type_becomes_that_of_k_and_of_v() -> None:
    executor = MigrationExecutor(connection)
    everything = executor.loader.graph.leaf_nodes()
    try:
        executor.migrate(BEFORE)
        old = executor.loader.project_state(BEFORE).apps.get_model("registry", "Model")
        for name, kind in (("a", "q8_0"), ("b", "")):
            old.objects.create(
                name=name, path=name, file_size=1, mtime_ns=1, kv_cache_type=kind
            )
        executor = MigrationExecutor(connection)
        executor.migrate(AFTER)
        new = executor.loader.project_state(AFTER).apps.get_model("registry", "Model")
        rows = new.objects.order_by("name").values_list("cache_type_k", "cache_type_v")
        assert list(rows) == [("q8_0", "q8_0"), ("", "")]
    finally:
        MigrationExecutor(connection).migrate(everything)
