"""Text completions with a suffix: filling in the middle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from tests.factories import make_model

if TYPE_CHECKING:
    from tests.fakes import FakeEngineClient
    from tests.inference.api.conftest import Api


async def error_of(api: Api, **body: Any) -> dict[str, Any]:
    response = await api.complete(**body)
    assert response.status_code == 400, response.content
    error: dict[str, Any] = response.json()["error"]
    return error


async def test_a_suffix_goes_to_the_worker(api: Api, engine: FakeEngineClient) -> None:
    await sync_to_async(make_model)("coder", supports_infill=True)

    response = await api.complete(
        model="coder", prompt=["def f(", "x"], suffix=":\n", n=2
    )

    assert response.status_code == 200
    assert [(request.prompt, request.suffix) for request in engine.requests] == [
        ("def f(", ":\n"),
        ("def f(", ":\n"),
        ("x", ":\n"),
        ("x", ":\n"),
    ]


async def test_a_model_that_cannot_is_named(api: Api) -> None:
    error = await error_of(api, suffix="x")

    assert (error["code"], error["param"]) == ("unsupported_parameter", "suffix")
    assert "no tokens to fill in a middle" in error["message"]


async def test_no_suffix_asks_for_nothing(api: Api, engine: FakeEngineClient) -> None:
    for suffix in ("", None):
        assert (await api.complete(suffix=suffix)).status_code == 200
    assert [request.suffix for request in engine.requests] == ["", ""]


async def test_a_suffix_has_no_echo_and_keeps_to_the_limits(api: Api) -> None:
    await sync_to_async(make_model)("coder", supports_infill=True)

    echoed = await error_of(api, model="coder", suffix="x", echo=True)
    long = await error_of(api, model="coder", suffix="x" * 10**6)

    assert echoed["param"] == "echo"
    assert (long["code"], long["param"]) == ("message_too_long", "suffix")


async def test_models_that_can_are_listed(api: Api) -> None:
    await sync_to_async(make_model)("coder", supports_infill=True, chat_template="x")

    models = {each["id"]: each for each in (await api.get("/v1/models")).json()["data"]}

    assert models["coder"]["capabilities"] == ["chat", "completion", "infill"]
    assert "infill" not in models["tiny"]["capabilities"]
