"""Rows for tests. Each function saves one, with what the test cares about."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import Group, Permission, User
from django.utils import timezone

from accounts.models import ApiKey, Scope, Team
from inference.models import EngineNode, Worker, WorkerState
from registry.models import Api as UpstreamApi
from registry.models import (
    ContextMeasurement,
    ContextTest,
    Dialect,
    Kind,
    Model,
    Route,
    RouteTarget,
    Upstream,
    UpstreamModel,
    measured_settings,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

GIB = 1024**3
_numbers = itertools.count(1)


def make_user(
    username: str | None = None,
    *permissions: str,
    password: str | None = None,
    **overrides: Any,
) -> User:
    """Save a user with these permissions, written ``registry.view_model``.

    Without a password nothing is hashed, which takes half a second.
    """
    user = User(username=username or f"user-{next(_numbers)}", **overrides)
    user.set_password(password)
    user.save()
    for permission in permissions:
        app, codename = permission.split(".")
        user.user_permissions.add(
            Permission.objects.get(content_type__app_label=app, codename=codename)
        )
    return user


def make_model(name: str | None = None, **overrides: Any) -> Model:
    """Save a chat model of 8 B parameters."""
    name = name or f"model-{next(_numbers)}"
    fields: dict[str, Any] = {
        "name": name,
        "kind": Kind.CHAT,
        "path": f"/models/{name}.gguf",
        "file_name": f"{name}.gguf",
        "file_size": 5 * GIB,
        "mtime_ns": 1,
        "fingerprint": f"{next(_numbers):064x}",
        "architecture": "llama",
        "quantization": "Q4_K_M",
        "context_length": 131_072,
        "embedding_length": 4096,
        "kv_elements_per_token": 65_536,
        "vocab_size": 128_256,
        **overrides,
    }
    return Model.objects.create(**fields)


def make_upstream(name: str = "there", **overrides: Any) -> Upstream:
    """Save another server, which is checked by nobody."""
    fields = {"base_url": "https://upstream.example/v1", "dialect": Dialect.VLLM}
    key = overrides.pop("key", "sk-of-upstream")
    upstream = Upstream(name=name, **{**fields, **overrides})
    upstream.key = key
    upstream.save()
    return upstream


def make_upstream_model(
    name: str = "far", upstream: Upstream | None = None, **overrides: Any
) -> UpstreamModel:
    """Save a model that an upstream serves under the name "far-away"."""
    fields = {"remote_name": "far-away", "apis": list(UpstreamApi.values)}
    return UpstreamModel.objects.create(
        name=name, upstream=upstream or make_upstream(), **{**fields, **overrides}
    )


def make_route(name: str, *targets: tuple[Model, int], **overrides: Any) -> Route:
    """Save a route with these targets and their weights."""
    route = Route.objects.create(name=name, **overrides)
    for model, weight in targets:
        RouteTarget.objects.create(route=route, model_id=model.pk, weight=weight)
    return route


def make_team(name: str | None = None, *members: User, **overrides: Any) -> Team:
    """Save a team with these members, whose keys may use all models."""
    group = Group.objects.create(name=name or f"team-{next(_numbers)}")
    group.user_set.set(members)
    return Team.objects.create(group=group, **{"all_models": True, **overrides})


def make_api_key(
    owner: User | None = None,
    *,
    models: Iterable[Model] | None = None,
    **overrides: Any,
) -> tuple[ApiKey, str]:
    """Save a key for these models, or for all, and return it with its secret."""
    key, secret = ApiKey.objects.issue(
        **{
            "name": "a key",
            "scopes": [Scope.INFERENCE],
            "owner": owner or make_user(),
            "all_models": models is None,
            **overrides,
        }
    )
    key.allowed_models.set(models or ())
    return key, secret


def make_node(name: str = "node-1", **overrides: Any) -> EngineNode:
    """Save a machine whose engine beats now."""
    now: datetime = timezone.now()
    fields: dict[str, Any] = {
        "name": name,
        "pid": 100,
        "version": "1.0.0",
        "cpu_count": 8,
        "memory_total": 32 * GIB,
        "memory_available": 20 * GIB,
        "memory_limit": 24 * GIB,
        "max_models": 4,
        "started_at": now,
        "heartbeat_at": now,
        **overrides,
    }
    return EngineNode.objects.create(**fields)


def make_worker(model: Model, node: EngineNode | None, **overrides: Any) -> Worker:
    """Save a worker that is ready."""
    fields = {"state": WorkerState.READY, "progress": 1, **overrides}
    return Worker.objects.create(model=model, node=node, **fields)


def make_context_test(
    model: Model | None = None,
    kv_type: str = "f16",
    *,
    passed: Sequence[int] = (512, 8192),
    failed: Sequence[int] = (),
    **overrides: Any,
) -> ContextTest:
    """Save a finished test with its measurements; every size is recommended."""
    model = model or make_model()
    largest = max(passed, default=None)
    fields: dict[str, Any] = {
        "state": ContextTest.State.DONE,
        "fingerprint": model.fingerprint,
        "settings": measured_settings(model),
        "tested_ctx": largest,
        "failed_ctx": min(failed, default=None),
        "sane_ctx": largest,
        "recommended": {
            str(n): {"n_ctx": largest, "bound": "tested"} for n in (1, 4, 16)
        },
        **overrides,
    }
    test = ContextTest.objects.create(
        model=model, cache_type_k=kv_type, cache_type_v=kv_type, **fields
    )
    outcome = ContextMeasurement.Outcome
    for n_ctx in passed:
        test.measurements.create(
            n_ctx=n_ctx,
            outcome=outcome.PASSED,
            memory=[GIB + n_ctx * 1000],
            speeds=[
                {"depth": int(n_ctx * share), "prefill": 100.0, "decode": 10.0}
                for share in (0.1, 0.5, 1.0)
            ],
            knows_fact=True,
            knows_control=True,
        )
    for n_ctx in failed:
        test.measurements.create(
            n_ctx=n_ctx, outcome=outcome.KILLED, reason="killed by SIGKILL"
        )
    return test
