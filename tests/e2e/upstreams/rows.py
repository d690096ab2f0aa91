"""Rows of real servers as upstreams, and the requests that are put to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

    from tests.e2e.upstreams.engines import Engine

CHAT = "/v1/chat/completions"
HI = [{"role": "user", "content": "Name three colours of the rainbow."}]
COLOUR = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "green"]}},
    "required": ["colour"],
    "additionalProperties": False,
}


def add(api: httpx.Client, engine: Engine, name: str) -> str:
    """Add an upstream and its model by the admin API; return the model's name here."""
    server, model = f"server-{name}", f"far-{name}"
    added = {
        "name": server,
        "base_url": engine.base_url,
        "dialect": engine.dialect,
        "key": engine.key,
    }
    assert api.post("/v1/admin/upstreams", json=added).status_code == 201
    served = {
        "name": model,
        "upstream": server,
        "remote_name": next(iter(engine.models.values())),
        "apis": list(engine.models),
    }
    response = api.post("/v1/admin/upstream-models", json=served)
    assert response.status_code == 201, response.text
    checked = api.post(f"/v1/admin/upstreams/{server}/check", json={}).json()
    assert (checked["state"], checked["fault"]) == ("healthy", "")
    return model


def remove(api: httpx.Client, name: str) -> None:
    """Remove what ``add`` added."""
    api.delete(f"/v1/admin/upstream-models/far-{name}").raise_for_status()
    api.delete(f"/v1/admin/upstreams/server-{name}").raise_for_status()


def chat(model: str, **more: Any) -> dict[str, Any]:
    """Return a short chat whose answer is the same each time."""
    return {"model": model, "messages": HI, "max_tokens": 16, "temperature": 0, **more}
