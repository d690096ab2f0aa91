"""Structured output: every way to ask for it, and every way to be refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from inference.errors import RequestRejected
from tests.fakes import FakeEngineClient, accepted, hello
from tests.inference.engine.structured_output.recogniser import allows

if TYPE_CHECKING:
    from inference.engine.structured_output.grammar import Grammar
    from tests.inference.api.conftest import Api

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
ALICE = '{"name": "Alice", "age": 30}'
GBNF = 'root ::= "(" root ")" | "x"'
LARK = 'start: "(" start ")" | "x"'


def format_of(schema: Any, **more: Any) -> dict[str, Any]:
    """Return OpenAI's response_format for a schema."""
    named = {"name": "person", "schema": schema, **more}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def grammar_of(engine: FakeEngineClient) -> Grammar:
    grammar: Grammar | None = engine.requests[-1].params.grammar
    assert grammar is not None
    return grammar


@pytest.mark.parametrize(
    ("body", "good", "bad"),
    [
        (format_of(PERSON), ALICE, "{}"),
        (format_of(PERSON, strict=True, description="A person."), ALICE, "{}"),
        (format_of(PERSON, strict=False), ALICE, "{}"),
        (format_of(PERSON, strict=None), ALICE, "{}"),
        ({"response_format": {"type": "json_object"}}, '{"a": 1}', "[]"),
        (
            {"response_format": {"type": "json_object", "schema": PERSON}},
            ALICE,
            '{"a": 1}',
        ),
        ({"structured_outputs": {"json": PERSON}}, ALICE, "{}"),
        ({"structured_outputs": {"json": json.dumps(PERSON)}}, ALICE, "{}"),
        ({"structured_outputs": {"regex": "[a-z]+", "json": None}}, "abc", "ABC"),
        ({"structured_outputs": {"choice": ["yes", "no"]}}, "no", "maybe"),
        ({"structured_outputs": {"grammar": GBNF}}, "((x))", "(x"),
        ({"structured_outputs": {"grammar": LARK}}, "((x))", "(x"),
        ({"structured_outputs": {"json_object": True}}, "{}", "[]"),
        ({"guided_json": PERSON}, ALICE, "{}"),
        ({"guided_json": json.dumps(PERSON)}, ALICE, "{}"),
        ({"guided_regex": r"\d{3}-\d{4}"}, "555-1234", "5551234"),
        ({"guided_choice": ["red", "green"]}, "red", "blue"),
        ({"guided_grammar": GBNF}, "((x))", "(x"),
        ({"guided_grammar": LARK}, "((x))", "(x"),
        ({"grammar": GBNF}, "((x))", "(x"),
        ({"grammar": {"type": "gbnf", "value": GBNF}}, "((x))", "(x"),
        ({"grammar": {"type": "lark", "value": LARK}}, "((x))", "(x"),
        ({"json_schema": PERSON}, ALICE, "{}"),
    ],
)
async def test_the_answer_matches_the_requested_format(
    api: Api, engine: FakeEngineClient, body: dict[str, Any], good: str, bad: str
) -> None:
    for response in (await api.chat(**body), await api.complete(**body)):
        assert response.status_code == 200, response.content
        grammar = grammar_of(engine)
        assert allows(grammar, good)
        assert not allows(grammar, bad)
        assert grammar.param.split(".")[0] == next(iter(body))


_DECIMAL = {
    "anyOf": [
        {"type": "number", "maximum": 1e20},
        {"type": "string", "pattern": r"^\d+(?!\.0)\.?\d*$"},
    ]
}


@pytest.mark.parametrize("stream", [False, True])
async def test_what_libraries_write_is_left_out_of_a_format_that_is_not_strict(
    api: Api, engine: FakeEngineClient, stream: bool
) -> None:
    schema = {"type": "object", "properties": {"price": _DECIMAL}}
    engine.enqueue(*hello())

    response = await api.chat(**format_of(schema), stream=stream)
    strict = await api.chat(**format_of(schema, strict=True))

    path = "response_format.json_schema.schema.properties.price.anyOf"
    assert response.status_code == 200
    assert response.headers["x-llm-manager-left-out"] == (
        f"{path}[0].maximum, {path}[1].pattern"
    )
    assert allows(grammar_of(engine), '{"price": "1.50"}')
    assert not allows(grammar_of(engine), '{"price": true}')
    assert strict.status_code == 400
    assert strict.json()["error"]["param"] == f"{path}[0].maximum"


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"type": "integer", "format": "int64"}, "format"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"type": "string", "pattern": 5}, "pattern"),
        ({"items": {"nullable": True}}, "items.nullable"),
    ],
)
async def test_nothing_else_is_left_out_of_a_format(
    api: Api, engine: FakeEngineClient, schema: dict[str, Any], path: str
) -> None:
    response = await api.chat(**format_of(schema))

    assert response.status_code == 400
    param = f"response_format.json_schema.schema.{path}"
    assert response.json()["error"]["param"] == param


@pytest.mark.parametrize(
    "body",
    [
        {"response_format": {"type": "text"}},
        {"response_format": None, "guided_json": None},
        {"structured_outputs": {}},
        {"structured_outputs": {"json_object": False}},
        {"grammar": ""},
    ],
)
async def test_a_format_that_asks_for_nothing_has_no_grammar(
    api: Api, engine: FakeEngineClient, body: dict[str, Any]
) -> None:
    response = await api.chat(**body)

    assert response.status_code == 200, response.content
    assert engine.requests[-1].params.grammar is None


async def test_every_answer_and_a_stream_are_constrained(
    api: Api, engine: FakeEngineClient
) -> None:
    response = await api.chat(
        **format_of(PERSON), n=3, stream=True, stop=["!"], logprobs=True, seed=1
    )
    assert response.status_code == 200

    grammars = {request.params.grammar for request in engine.requests}
    assert len(engine.requests) == 3
    assert len(grammars) == 1


@pytest.mark.parametrize(
    ("body", "param", "reason"),
    [
        # One of them
        (
            {"response_format": {"type": "json_object"}, "guided_json": PERSON},
            "guided_json",
            "'response_format' and 'guided_json' both say",
        ),
        (
            {"guided_regex": "a", "grammar": GBNF},
            "grammar",
            "'guided_regex' and 'grammar' both say",
        ),
        (
            {"structured_outputs": {"regex": "a", "choice": ["a"]}},
            "structured_outputs.choice",
            "'structured_outputs.regex' and 'structured_outputs.choice' both say",
        ),
        (
            {"structured_outputs": {"json_object": True, "regex": "a"}},
            "structured_outputs.regex",
            "'structured_outputs.json_object' and 'structured_outputs.regex' both",
        ),
        # What takes the end away from the grammar
        (
            {"guided_regex": "a", "ignore_eos": True},
            "ignore_eos",
            "'ignore_eos' is not allowed with 'guided_regex'",
        ),
        (
            {**format_of(PERSON), "min_tokens": 5},
            "min_tokens",
            "'min_tokens' is not allowed with 'response_format'",
        ),
        # The shape of the fields
        ({"response_format": "json"}, "response_format", "expected an object"),
        ({"response_format": {}}, "response_format.type", "Missing"),
        (
            {"response_format": {"type": "xml"}},
            "response_format.type",
            "one of text, json_object, json_schema",
        ),
        (
            {"response_format": {"type": "json_schema"}},
            "response_format.json_schema",
            "Missing",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}},
            "response_format.json_schema.schema",
            "Missing",
        ),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"schema": PERSON},
                }
            },
            "response_format.json_schema.name",
            "Missing",
        ),
        (
            format_of(PERSON, name="a person"),
            "response_format.json_schema.name",
            "only a-z, A-Z, 0-9",
        ),
        (
            format_of(PERSON, strict="yes"),
            "response_format.json_schema.strict",
            "expected a boolean",
        ),
        (
            {"response_format": {"type": "text", "schema": PERSON}},
            "response_format.schema",
            "Unknown parameter",
        ),
        ({"guided_json": "{"}, "guided_json", "not valid JSON"),
        ({"guided_json": "[" * 100_000}, "guided_json", "not valid JSON"),
        ({"guided_json": []}, "guided_json", "expected a JSON schema, got an array"),
        ({"json_schema": "{}"}, "json_schema", "expected a JSON schema, got a string"),
        ({"guided_choice": []}, "guided_choice", "at least 1"),
        ({"guided_choice": ["a", ""]}, "guided_choice[1]", "must not be empty"),
        ({"guided_choice": ["a"] * 1001}, "guided_choice", "at most 1000"),
        ({"guided_regex": ""}, "guided_regex", "must not be empty"),
        ({"grammar": {"type": "ebnf", "value": GBNF}}, "grammar.type", "gbnf or lark"),
        ({"grammar": {"type": "lark"}}, "grammar.value", "Missing"),
        ({"grammar": 5}, "grammar", "expected a string"),
        (
            {"structured_outputs": {"structural_tag": "{}"}},
            "structured_outputs.structural_tag",
            "Unknown parameter",
        ),
        # What cannot be enforced
        (
            format_of({**PERSON, "if": {}}),
            "response_format.json_schema.schema.if",
            "this keyword cannot be enforced",
        ),
        (
            format_of({"properties": {"a": {"pattern": "(?=a)"}}}, strict=True),
            "response_format.json_schema.schema.properties.a.pattern",
            "look-around",
        ),
        (
            {"structured_outputs": {"json": {"$ref": "http://example.com/"}}},
            "structured_outputs.json.$ref",
            "only references like",
        ),
        ({"guided_json": {"not": {}}}, "guided_json.not", "cannot be enforced"),
        ({"guided_regex": "("}, "guided_regex", "unclosed group"),
        ({"guided_regex": "a" * 40_000}, "guided_regex", "larger than"),
        ({"guided_grammar": "root ::= x"}, "guided_grammar", "no rule 'x'"),
        ({"guided_grammar": "start: x"}, "guided_grammar", 'unknown name: "x"'),
        ({"grammar": LARK}, "grammar", "expected ::="),
    ],
)
async def test_an_unsupported_format_is_400_and_names_its_place(
    api: Api, engine: FakeEngineClient, body: dict[str, Any], param: str, reason: str
) -> None:
    response = await api.chat(**body)

    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, param)
    assert reason in error["message"]
    assert error["type"] == "invalid_request_error"
    assert engine.requests == []


async def test_a_grammar_that_the_model_cannot_have_is_400(
    api: Api, engine: FakeEngineClient
) -> None:
    refusal = RequestRejected(
        "The answer cannot be constrained: unknown special token.",
        code="invalid_request",
        param="guided_grammar",
    )
    engine.enqueue(refusal)
    response = await api.chat(guided_grammar="start: <|python_tag|>")

    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "guided_grammar")
    assert error["message"] == refusal.message


async def test_a_grammar_that_gets_too_complex_ends_with_an_error(
    api: Api, engine: FakeEngineClient
) -> None:
    failure = RequestRejected("Too complex.", code="constraint_failed")
    engine.enqueue([accepted()], failure)
    response = await api.chat(guided_regex="a+")

    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "constraint_failed")
