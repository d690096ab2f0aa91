"""Requests that name LoRA adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async

from registry.models import Attachment, Kind
from tests.factories import make_model
from tests.inference.api.conftest import chat_body
from tests.llm_manager.web.test_docs import fits

if TYPE_CHECKING:
    from registry.models import Model
    from tests.fakes import FakeEngineClient
    from tests.inference.api.conftest import Api


@pytest.fixture
async def adapters(model: Model) -> None:
    """The model has two adapters; a third is there and not its own."""

    def attach() -> None:
        for name in ("pirate", "poet"):
            adapter = make_model(name, kind=Kind.LORA)
            Attachment.objects.create(model=model, adapter=adapter)
        make_model("stranger", kind=Kind.LORA)

    await sync_to_async(attach)()


pytestmark = pytest.mark.usefixtures("adapters")


@pytest.mark.parametrize(
    ("lora", "expected"),
    [
        ([{"name": "pirate"}], (("pirate", 1.0),)),
        ([{"name": "pirate", "scale": 0.8}], (("pirate", 0.8),)),
        ([{"name": "pirate", "scale": 0}], ()),
        (
            [{"name": "poet", "scale": 2}, {"name": "pirate", "scale": -1}],
            (("pirate", -1.0), ("poet", 2.0)),
        ),
        ([], ()),
        (None, ()),
    ],
)
async def test_a_request_chooses_adapters_and_their_scales(
    api: Api, engine: FakeEngineClient, lora: Any, expected: Any
) -> None:
    answer = await api.chat(lora=lora)
    assert answer.status_code == 200
    assert answer.json()["model"] == "tiny"
    assert engine.requests[0].adapters == expected
    assert (await api.complete(lora=lora)).status_code == 200
    assert engine.requests[1].adapters == expected


async def test_an_adapter_is_named_with_the_model(
    api: Api, engine: FakeEngineClient
) -> None:
    answer = await api.chat(model="tiny:pirate")
    assert answer.json()["model"] == "tiny:pirate"
    assert engine.requests[0].adapters == (("pirate", 1.0),)
    assert engine.queues[0].model_name == "tiny"


@pytest.mark.parametrize(
    ("body", "code", "param", "words"),
    [
        ({"lora": [{"name": "nobody"}]}, "adapter_not_found", "lora[0].name", "pirate"),
        ({"lora": [{"name": "stranger"}]}, "adapter_not_found", "lora[0].name", "no"),
        (
            {"lora": [{"id": 0, "scale": 1}]},
            "unsupported_parameter",
            "lora[0].id",
            "Use 'name'",
        ),
        (
            {"lora": [{"name": "poet", "scale": 11}]},
            "invalid_value",
            "lora[0].scale",
            "between -10 and 10",
        ),
        (
            {"lora": [{"name": "poet"}, {"name": "poet"}]},
            "invalid_value",
            "lora[1].name",
            "twice",
        ),
        (
            {"model": "tiny:pirate", "lora": [{"name": "poet"}]},
            "invalid_value",
            "lora",
            "already",
        ),
        ({"lora": [{"name": "poet"}] * 9}, "invalid_value", "lora", "at most 8"),
    ],
)
async def test_unavailable_adapters_are_refused_by_name(
    api: Api,
    engine: FakeEngineClient,
    body: dict[str, Any],
    code: str,
    param: str,
    words: str,
) -> None:
    answer = await api.chat(**body)
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert (error["code"], error["param"]) == (code, param)
    assert words in error["message"]
    assert engine.requests == []


async def test_an_adapter_alone_is_no_model_and_says_so(api: Api) -> None:
    answer = await api.chat(model="pirate")
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "model_not_served"
    assert "LoRA adapter" in answer.json()["error"]["message"]


@pytest.mark.parametrize("name", ["tiny:stranger", "tiny:", ":pirate"])
async def test_an_invalid_name_is_no_model(api: Api, name: str) -> None:
    assert (await api.chat(model=name)).status_code == 404


async def test_models_are_listed_with_and_without_their_adapters(api: Api) -> None:
    listed = {m["id"]: m for m in (await api.get("/v1/models")).json()["data"]}
    assert list(listed) == ["tiny", "tiny:pirate", "tiny:poet"]
    assert listed["tiny"]["adapters"] == ["pirate", "poet"]
    assert listed["tiny"]["parent"] is None
    assert listed["tiny:pirate"]["parent"] == "tiny"
    one = await api.get("/v1/models/tiny:pirate")
    assert one.json() == listed["tiny:pirate"]


async def test_the_document_knows_them() -> None:
    for lora, is_right in (
        ([{"name": "x", "scale": 0.5}], True),
        ([{"name": "x"}], True),
        ([{"scale": 0.5}], False),
        ([{"id": 0}], False),
        ([{"name": "x", "scale": 11}], False),
    ):
        body = chat_body(lora=lora)
        assert fits("ChatCompletionRequest", body) == is_right
