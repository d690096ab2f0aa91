"""Bodies: what every model of a request refuses, and in which words."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, Tag

from inference.api.body.request_body import Body
from inference.api.body.unsupported import Unsupported
from inference.api.errors import BadRequest
from inference.api.parameters.value_types import (
    Between,
    MaxItems,
    NonEmpty,
    Text,
    by_json_type,
)
from llm_manager.web.openapi_schemas import request_schemas


class Circle(Body):
    """A shape."""

    type: Literal["circle"]
    radius: Annotated[float, Between(0, 10, above=True)]


class Label(Body):
    """A shape that is text."""

    type: Literal["text"]
    text: Text


class Drawing(Body):
    """A body with a member of each kind."""

    name: NonEmpty
    count: Annotated[int, Between(1, 16)] = 1
    """How many
    of them."""
    title: Annotated[
        Annotated[Text, Tag("string")] | Annotated[list[NonEmpty], Tag("array")],
        by_json_type("a string or an array of strings"),
    ] = ""
    shapes: Annotated[
        list[Annotated[Circle | Label, Field(discriminator="type")]],
        MaxItems(lambda: 3, "shapes"),
    ] = []
    colour: Literal["red", "blue"] | None = None
    store: Annotated[Any, Unsupported((False,), hint=" Use 'name'.")] = None


def fault(**members: Any) -> tuple[str | None, str, str]:
    """Return the path, the code and the sentence of the error of a drawing."""
    with pytest.raises(BadRequest) as caught:
        Drawing.parse({"name": "x", **members})
    return caught.value.param, caught.value.code, caught.value.message


def shape(**members: Any) -> dict[str, Any]:
    return {"shapes": [{"type": "circle", "radius": 1}, members]}


@pytest.mark.parametrize(
    ("members", "path", "code", "words"),
    [
        ({"name": None}, "name", "missing_required_parameter", "'name'"),
        ({"name": ""}, "name", "invalid_value", "must not be empty"),
        ({"name": ["x"]}, "name", "invalid_type", "a string, got an array"),
        ({"name": "\ud800"}, "name", "invalid_value", "not valid Unicode"),
        ({"count": 0}, "count", "invalid_value", "between 1 and 16"),
        ({"count": True}, "count", "invalid_type", "an integer, got a boolean"),
        ({"count": 1.0}, "count", "invalid_type", "an integer, got a number"),
        ({"count": 10**40}, "count", "invalid_value", "between 1 and 16"),
        ({"title": 5}, "title", "invalid_type", "a string or an array of strings"),
        ({"title": ["a", ""]}, "title[1]", "invalid_value", "must not be empty"),
        ({"title": [None]}, "title[0]", "invalid_type", "a string, got null"),
        ({"shapes": [1]}, "shapes[0]", "invalid_type", "an object, got an integer"),
        (shape(), "shapes[1].type", "missing_required_parameter", "type"),
        (shape(type=None), "shapes[1].type", "missing_required_parameter", "type"),
        (shape(type="cube"), "shapes[1].type", "invalid_value", "of circle, text"),
        (shape(type=["text"]), "shapes[1].type", "invalid_type", "got an array"),
        (shape(type="circle", radius=0), "shapes[1].radius", "invalid_value", "10"),
        (shape(type="text"), "shapes[1].text", "missing_required_parameter", "text"),
        ({"shapes": [{}] * 4}, "shapes", "too_many_shapes", "4, and at most 3"),
        ({"colour": "green"}, "colour", "invalid_value", "must be red or blue"),
        ({"colour": 1}, "colour", "invalid_type", "a string, got an integer"),
        ({"Name": 1}, "Name", "unknown_parameter", "'Name'"),
        ({"weight": None}, "weight", "unknown_parameter", "'weight'"),
        ({"\ud800": 1}, "?", "unknown_parameter", "'?'"),
        ({"store": True}, "store", "unsupported_parameter", "false is accepted. Use"),
        (
            shape(type="image_url", url="x"),
            *("shapes[1].type", "unsupported_parameter", "Images are in"),
        ),
    ],
)
def test_a_fault_is_named_by_its_path_and_its_rule(
    members: dict[str, Any], path: str, code: str, words: str
) -> None:
    param, found, message = fault(**members)

    assert (param, found) == (path, code)
    assert words in message


def test_unknown_members_are_reported_before_missing_ones() -> None:
    assert fault(**shape(type="text", txt="x"))[0] == "shapes[1].txt"


def test_a_name_of_an_alternative_is_no_part_of_a_path() -> None:
    # "text" is both: the value of type, and a member.
    assert fault(**shape(type="text", text=5))[0] == "shapes[1].text"
    assert fault(**shape(type="circle", radius="x", text=5))[0] == "shapes[1].radius"


def test_a_body_that_is_no_object_is_refused() -> None:
    bodies: tuple[Any, ...] = ([], None, 7, "text")
    for body in bodies:
        with pytest.raises(BadRequest, match="expected an object"):
            Drawing.parse(body)


def test_null_is_not_given() -> None:
    given = {"count": None, "title": None, "shapes": None, "store": None}

    drawing = Drawing.parse({"name": "x", **given})

    assert drawing == Drawing.parse({"name": "x"})
    assert drawing.model_fields_set == {"name"}


def test_a_value_that_asks_for_nothing_is_accepted() -> None:
    assert Drawing.parse({"name": "x", "store": False}).name == "x"


def test_many_unknown_members_are_refused_at_the_first() -> None:
    assert fault(**{f"k{n}": n for n in range(100_000)})[0] == "k0"


def test_the_schema_says_the_same() -> None:
    schemas = request_schemas([Drawing])
    members = schemas["Drawing"]["properties"]

    assert next(iter(members)) == "name"
    assert members["count"] == {
        "anyOf": [
            {"type": "integer", "minimum": 1, "maximum": 16},
            {"type": "null"},
        ],
        "default": 1,
        "description": "How many of them.",
    }
    assert members["shapes"]["anyOf"][0]["maxItems"] == 3
    assert members["store"]["anyOf"][0] == {"enum": [False]}
    assert schemas["Circle"]["required"] == ["type", "radius"]
    assert schemas["Drawing"]["additionalProperties"] is False
