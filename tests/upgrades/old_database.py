"""Makes a database of an earlier state with rows in every table, and upgrades it.

``python -m tests.upgrades.old_database STATE`` works on the database of the
environment, which must be empty. It prints as JSON how many rows it compared, and what
was lost: values of columns that are still there.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

#: Earlier states, each by the last migrations of our applications. When a release is
#: made, its state comes here.
STATES = {
    "the first one": {
        "registry": "0001_initial",
        "accounts": "0001_initial",
        "inference": "0001_initial",
    },
    "before models on several machines": {
        "registry": "0018_itl_target",
        "accounts": "0020_batch_permissions",
        "inference": "0013_node_hears_redis",
    },
}
#: Columns that have another name since.
RENAMED = {("registry.model", "kv_cache_type"): "cache_type_k"}
#: Pages that read the tables, as administrators open them after an upgrade, with the
#: ids of rows that were there before.
PAGES = (
    "/admin/",
    "/admin/registry/model/",
    "/admin/registry/model/{registry.model}/change/",
    "/admin/accounts/apikey/",
    "/admin/accounts/apikey/{accounts.apikey}/change/",
    "/admin/inference/worker/",
    "/admin/inference/enginenode/",
)
_TIME = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def sample(field: Any) -> Any:
    """Return a value that a column may have, and that is not its default."""
    kind = field.get_internal_type()
    if field.choices:
        return field.choices[-1][0]
    match kind:
        case "CharField" | "TextField" | "SlugField":
            return f"{field.name} as it was"[: field.max_length]
        case "BooleanField":
            return True
        case "JSONField":
            return field.get_default() if field.has_default() else {}
        case "DateTimeField":
            return _TIME
        case "DateField":
            return date(2026, 5, 4)
        case "DecimalField":
            return Decimal(1)
        case "FloatField":
            return 0.5
        case "GenericIPAddressField":
            return "10.0.0.1"
        case "UUIDField":
            return UUID("019a0000-0000-7000-8000-000000000001")
        case "BinaryField":
            return b"bytes as they were"
    return 1


def _made(model: Any, rows: dict[Any, Any]) -> Any:
    """Save a row of a model whose every column has a value; ``rows`` are those before.

    Where the model's rules exclude that, optional columns are left empty.
    """
    from django.db import transaction

    values: dict[str, Any] = {}
    for field in model._meta.concrete_fields:
        if field.primary_key and "Auto" in field.get_internal_type():
            continue
        if field.is_relation:
            values[field.name] = rows.get(field.related_model._meta.label_lower)
        else:
            values[field.name] = sample(field)
    given = [
        values,
        {
            field.name: values[field.name]
            for field in model._meta.concrete_fields
            if field.name in values and not field.null and not field.has_default()
        },
    ]
    for number, attempt in enumerate(given):
        try:
            with transaction.atomic():
                return model.objects.create(**attempt)
        except Exception:
            if number:
                raise
    raise AssertionError


def fill(apps: Any) -> dict[str, list[dict[str, Any]]]:
    """Save a row in every table of ours; return all rows by their model."""
    rows: dict[Any, Any] = {}
    user = apps.get_model("auth", "User")
    rows["auth.user"] = user.objects.create(username="ann", is_superuser=True)
    rows["auth.group"] = apps.get_model("auth", "Group").objects.create(name="team")
    ours = [
        model
        for label in ("registry", "accounts", "inference")
        for model in apps.get_app_config(label).get_models(include_auto_created=False)
        if model._meta.managed and not model._meta.proxy
    ]
    while ours:
        ready = [model for model in ours if not _waits(model, ours)]
        for model in ready:
            rows[model._meta.label_lower] = _made(model, rows)
            ours.remove(model)
    return {
        label: list(type(row).objects.values())
        for label, row in rows.items()
        if not label.startswith("auth.")
    }


def _waits(model: Any, others: list[Any]) -> bool:
    """Whether a model points to another one that has no row yet."""
    return any(
        field.related_model in others and field.related_model is not model
        for field in model._meta.concrete_fields
        if field.is_relation
    )


def lost(before: dict[str, list[dict[str, Any]]], apps: Any) -> list[str]:
    """Return which rows and values are not as they were."""
    missing = []
    for label, rows in before.items():
        try:
            model = apps.get_model(label)
        except LookupError:
            missing.append(f"{label}: no table")
            continue
        names = {field.attname for field in model._meta.concrete_fields}
        for row in rows:
            key = row[model._meta.pk.attname]
            now = model.objects.filter(pk=key).values().first()
            if now is None:
                missing.append(f"{label}: no row {key}")
                continue
            for column, value in row.items():
                name = RENAMED.get((label, column), column)
                if name in names and now[name] != value:
                    missing.append(f"{label}.{name}: {value!r} is {now[name]!r}")
    return missing


def _address(page: str, before: dict[str, list[dict[str, Any]]]) -> str:
    for label, rows in before.items():
        page = page.replace(f"{{{label}}}", str(rows[0].get("id")))
    return page


def main() -> None:
    """Make it, upgrade it as a server's start does, and compare."""
    import django

    django.setup()
    from django.apps import apps
    from django.contrib.auth.models import User
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor
    from django.test import Client

    from llm_manager.launcher.project import database_migrate

    executor = MigrationExecutor(connection)
    state = list(STATES[sys.argv[1]].items())
    others = [
        node
        for node in executor.loader.graph.leaf_nodes()
        if node[0] in ("auth", "contenttypes", "sessions", "admin")
    ]
    executor.migrate([*state, *others])
    before = fill(executor.loader.project_state([*state, *others]).apps)
    database_migrate()
    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.create_superuser("root"))
    pages = {page: client.get(_address(page, before)).status_code for page in PAGES}
    found = {
        "rows": sum(map(len, before.values())),
        "tables": len(before),
        "lost": lost(before, apps),
        "pages": pages,
    }
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main()
