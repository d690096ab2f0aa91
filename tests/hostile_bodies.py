"""Bodies that no route may take: made from our own models of requests, always the same.

Most are a good request in which one place was changed; whether the change is wrong
is decided by the schema in /openapi.json, so a new member of a request is
covered without a word here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from tests.request_schemas import OTHER_REQUESTS, REQUESTS, request_schema
from tests.schema_samples import changed, samples

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

JSON = "application/json"
_MANY = 200_000
_DEEP = 100_000
#: Too deep for any use, and not too deep for Python's parser.
_RATHER_DEEP = 900
_NO_NUMBERS = (
    *("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 5000),
    *("0x10", "01", "+1", ".5", "1.", "1e", "--1", "1_000"),
)
#: Members that hold what a client likes.
_HOLDS_ANYTHING = {
    "tools": '[{"type": "function", "function": {"name": "f", "parameters": %s}}]',
    "response_format": '{"type": "json_schema", "json_schema": {"name": "n", '
    '"schema": %s}}',
    "structured_outputs": '{"json": %s}',
    "guided_json": "%s",
    "json_schema": "%s",
    "chat_template_kwargs": '{"tools": %s}',
    "format": "%s",
}


@dataclass(frozen=True, slots=True)
class Hostile:
    """A request that must be refused.

    ``param`` is the member of the body that is to blame; "" where it is none.
    """

    path: str
    what: str
    body: bytes
    param: str = ""
    content_type: str = JSON
    status: int = 400

    def __str__(self) -> str:
        return f"{self.path} {self.what}: {self.body[:200]!r}"


#: Every route that takes a body of JSON from clients of models.
ROUTES = {**REQUESTS, **OTHER_REQUESTS}


def check_refusal(hostile: Hostile, status: int, content: bytes) -> None:
    """Fail unless this answer refuses the request, in the shape of the route's API."""
    answer = f"{hostile}: {status} {content[:500]!r}"
    assert status == hostile.status, answer
    error = json.loads(content)["error"]
    if hostile.path.startswith("/api/"):
        assert isinstance(error, str), answer
        assert error, answer
        return
    if hostile.path.startswith("/v1/messages"):
        assert set(error) == {"message", "type"}, answer
        assert error["type"] == "invalid_request_error", answer
        assert error["message"], answer
        return
    assert set(error) == {"message", "type", "param", "code"}, answer
    assert error["type"] == "invalid_request_error", answer
    assert error["message"], answer
    # The place in the member is named too: messages[0].content.
    assert (error["param"] or "").startswith(hostile.param), answer


def hostile_bodies(model: str) -> Iterator[Hostile]:
    """Yield them all, thousands, for a model that writes text."""
    tried: set[tuple[str, str]] = set()
    for path in ROUTES:
        good = _good_body(path, model)
        yield from _wrong_values(path, good, tried)
        yield from _wrong_members(path, good)
        yield from _no_json(path, good)
        yield from _wrong_types(path, good)
    yield from _too_many(model)


def odd_bodies(model: str, routes: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Yield paths and bodies that the schemas accept; few of them make sense.

    Each may be answered or refused; none may be the server's fault.
    """
    for path in routes:
        good = _good_body(path, model)
        for name, schema in _schema(path)["properties"].items():
            validator = Draft202012Validator(schema)
            for text in {*_wrong_texts(schema), *_deep_texts(name)}:
                if validator.is_valid(json.loads(text)):
                    yield path, _with(good, name, text)


def _schema(path: str) -> dict[str, Any]:
    return request_schema(ROUTES[path])


def _good_body(path: str, model: str) -> dict[str, Any]:
    schema = _schema(path)
    members = schema["properties"]
    good = {name: next(samples(members[name])) for name in schema.get("required", ())}
    return {**good, "model": model} if "model" in members else good


def _with(good: dict[str, Any], name: str, text: str) -> bytes:
    """Return a body with this JSON as one of its members."""
    members = {key: json.dumps(value) for key, value in good.items()} | {name: text}
    pairs = (f"{json.dumps(key)}: {value}" for key, value in members.items())
    return f"{{{', '.join(pairs)}}}".encode()


def _wrong_values(
    path: str, good: dict[str, Any], tried: set[tuple[str, str]]
) -> Iterator[Hostile]:
    """Yield bodies in which one place of one member has a value that does not fit.

    ``tried`` has what was yielded for other routes: members of the same kind are
    the same code.
    """
    required = _schema(path).get("required", ())
    for name, schema in _schema(path)["properties"].items():
        validator = Draft202012Validator(schema)
        kind = f"{name} {json.dumps(schema)}"
        for text in _wrong_texts(schema):
            if (kind, text) in tried:
                continue
            tried.add((kind, text))
            wrong = json.loads(text)
            is_missing = wrong is None and name in required
            if is_missing or not validator.is_valid(wrong):
                yield Hostile(path, f"wrong {name}", _with(good, name, text), name)


def _wrong_texts(schema: dict[str, Any]) -> Iterator[str]:
    """Yield values as JSON, most of which do not fit the schema."""
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        yield opening * _RATHER_DEEP + "0" + closing * _RATHER_DEEP
    for sample in samples(schema):
        yield from map(json.dumps, changed(sample))


def _deep_texts(name: str) -> Iterator[str]:
    """Yield JSON that is rather deep where a member may hold anything."""
    deep = '{"items":' * _RATHER_DEEP + "{}" + "}" * _RATHER_DEEP
    template = _HOLDS_ANYTHING.get(name)
    if template:
        yield template % deep


def _wrong_members(path: str, good: dict[str, Any]) -> Iterator[Hostile]:
    for name in _schema(path).get("required", ()):
        rest = {key: value for key, value in good.items() if key != name}
        yield Hostile(path, "lacks a member", json.dumps(rest).encode(), name)
    for name in ("colour", "", "Model", "model ", "\x00", "\ud800", "é" * 5000):
        body = json.dumps({**good, name: 1}).encode()
        # The name is quoted, shortened and in Unicode, so it is not compared.
        yield Hostile(path, "has a stranger", body)
    for name in good:
        twice = json.dumps(good)[:-1] + f", {json.dumps(name)}: 1}}"
        yield Hostile(path, "has a member twice", twice.encode())
    keys = ", ".join(f'"k{number}": 0' for number in range(_MANY))
    yield Hostile(path, "has too many members", f"{{{keys}}}".encode())


def _no_json(path: str, good: dict[str, Any]) -> Iterator[Hostile]:
    text = json.dumps(good).encode()
    first = next(iter(good))
    name = b'"' + first[:2].encode()
    for end in range(0, len(text), 2):
        yield Hostile(path, "is cut off", text[:end])
    for number in _NO_NUMBERS:
        yield Hostile(path, "has no number", _with(good, first, number))
    for opening in (b"[", b'{"a":', b'[{"a":'):
        yield Hostile(path, "is nested too deep", opening * _DEEP)
    for junk in (b"\xff", b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80"):
        yield Hostile(path, "is no UTF-8", text.replace(name, name + junk))
        yield Hostile(path, "is no UTF-8", text + junk)
    for encoding in ("utf-8-sig", "utf-16", "utf-16-be", "utf-32"):
        yield Hostile(path, encoding, text.decode().encode(encoding))
    for body in (b"[]", b"null", b"7", b'"text"', b"true", b"[" + text + b"]"):
        yield Hostile(path, "is no object", body)
    for body in (
        *(text + text, text + b",", b"/* */" + text, text.replace(b'"', b"'")),
        *(text[:-1] + b",}", text[:-1] + b', "a"}', b"{" + text + b"}", b"\x00" + text),
        *(text.replace(name, name + b"\n"), text.replace(name, b'"\\u12')),
        *(text.replace(name, b'"\\x'), b"model=a&messages=b", b"<xml/>"),
        *(b"{a: 1}", b"--x\r\nContent-Disposition: form-data\r\n", b"\x1f\x8b\x08\x00"),
    ):
        yield Hostile(path, "is no JSON", body)


def _wrong_types(path: str, good: dict[str, Any]) -> Iterator[Hostile]:
    text = json.dumps(good).encode()
    for content_type in (
        *("", "text/plain", "application/x-www-form-urlencoded", "text/json"),
        *("multipart/form-data; boundary=x", "application/jsonx", "*/*", "json"),
        *("application/json; charset=latin-1", "application/json; charset=utf-16"),
        *("application/xml", "application/octet-stream", ";;;", "application/"),
    ):
        yield Hostile(path, "content type", text, "", content_type, 415)


def _too_many(model: str) -> Iterator[Hostile]:
    for path, member, value in (
        ("/v1/completions", "prompt", ["x"] * 2000),
        ("/v1/completions", "prompt", [[1]] * 2000),
        ("/v1/completions", "prompt", [7] * _MANY + ["x"]),
        ("/v1/completions", "prompt", "x" * 2_000_000),
        ("/v1/completions", "stop", ["x"] * _MANY),
        ("/v1/embeddings", "input", ["x"] * 2049),
        ("/v1/embeddings", "input", ["x" * 110_000]),
        ("/v1/embeddings", "input", ["x" * 90_000] * 20),
        ("/v1/rerank", "documents", ["x"] * 2049),
        ("/v1/rerank", "documents", [{}] * _MANY),
        ("/v1/tokenize", "content", "é" * 1_000_000),
        ("/v1/detokenize", "tokens", [0] * 900_000),
        ("/v1/chat/completions", "messages", [{}] * _MANY),
        ("/v1/chat/completions", "messages", [{"role": "user", "content": "x"}] * 2000),
        (
            *("/v1/chat/completions", "messages"),
            [{"role": "user", "content": "x" * 9_000_000}],
        ),
        ("/v1/chat/completions", "tools", [{}] * _MANY),
        ("/v1/chat/completions", "user", "x" * 9_000_000),
        ("/v1/chat/completions", "model", "x" * 9_000_000),
        ("/v1/chat/completions", "stop", ["x" * 2_000_000]),
        ("/v1/chat/completions", "logit_bias", {str(n): 1 for n in range(_MANY)}),
    ):
        body = json.dumps({**_good_body(path, model), member: value}).encode()
        yield Hostile(path, f"too much {member}", body, member)
