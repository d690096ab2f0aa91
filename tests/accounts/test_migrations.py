"""What migrations make of the keys that are there."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from accounts.models import UsagePoint
from accounts.usage.ingestion import store
from tests.accounts.usage.test_ingestion import entry

# The registry goes back too: its rows are made as they were.
BEFORE = [("accounts", "0005_teams"), ("registry", "0013_deterministic")]
AFTER = [("accounts", "0006_key_access"), ("registry", "0013_deterministic")]


@pytest.mark.django_db(transaction=True)
def test_a_key_without_a_list_of_models_keeps_all_of_them() -> None:
    executor = MigrationExecutor(connection)
    everything = executor.loader.graph.leaf_nodes()
    try:
        executor.migrate(BEFORE)
        old = executor.loader.project_state(BEFORE).apps
        owner = old.get_model("auth", "User").objects.create(username="anna")
        model = old.get_model("registry", "Model").objects.create(
            name="m", path="m", file_size=1, mtime_ns=1
        )
        for name in ("free", "narrow"):
            old.get_model("accounts", "ApiKey").objects.create(
                name=name, owner=owner, prefix=name, scopes=["inference"]
            )
        narrow = old.get_model("accounts", "ApiKey").objects.get(name="narrow")
        narrow.allowed_models.add(model)
        executor = MigrationExecutor(connection)
        executor.migrate(AFTER)
        new = executor.loader.project_state(AFTER).apps.get_model("accounts", "ApiKey")
        rows = new.objects.order_by("name").values_list("name", "all_models", "lineage")
        assert list(rows) == [("free", True, "free"), ("narrow", False, "narrow")]
    finally:
        MigrationExecutor(connection).migrate(everything)


@pytest.mark.django_db(transaction=True)
def test_points_of_charts_are_made_of_the_requests_that_are_there() -> None:
    now = timezone.now()
    entries = [
        entry(
            now - timedelta(days=number % 4, hours=number % 7),
            key_id=number % 2,
            failed=number % 5 == 0,
            status=500 if number % 5 == 0 else 200,
            first_token_ms=None if number % 3 == 0 else number * 40,
            tokens_per_second=number * 1.5,
        )
        for number in range(60)
    ]
    store(entries)
    counts = [
        field.attname for field in UsagePoint._meta.fields if field.attname != "id"
    ]
    added = set(UsagePoint.objects.values_list(*counts))
    executor = MigrationExecutor(connection)
    everything = executor.loader.graph.leaf_nodes()
    try:
        executor.migrate([("accounts", "0011_notices")])
    finally:
        MigrationExecutor(connection).migrate(everything)
    assert len(added) > 20
    assert set(UsagePoint.objects.values_list(*counts)) == added
