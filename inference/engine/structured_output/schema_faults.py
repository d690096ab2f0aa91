"""Where in a schema an error of llguidance comes from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inference.engine.structured_output.compiling import InvalidGrammar, validate

if TYPE_CHECKING:
    from inference.engine.structured_output.json_schema.prepared import PreparedSchema

#: The maximum of compilations of a schema's parts while looking for the fault.
_MAX_TRIALS = 300
_ONE_OF = (
    "no value may match two of the options, and that is only seen where they differ "
    "in type or in a constant of a required property; use anyOf"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """The smallest part of a prepared schema that cannot be compiled.

    ``keyword`` is the one of its keywords without which it can be, None if there is no
    such one.
    """

    body: dict[str, Any]
    keyword: str | None
    path: str
    message: str

    def error(self) -> InvalidGrammar:
        """Return the error with the place of the fault."""
        return InvalidGrammar(self.message, self.path)


def schema_grammar(document: dict[str, Any]) -> str:
    """Return the source of the grammar of a prepared schema."""
    return json.dumps({"grammars": [{"json_schema": document}]}, ensure_ascii=False)


def find_fault(prepared: PreparedSchema, error: InvalidGrammar) -> Fault:
    """Return the smallest part of a schema that causes the error."""
    trials = iter(range(_MAX_TRIALS))

    def fails(body: dict[str, Any]) -> str | None:
        if next(trials, None) is None:
            return None
        try:
            validate(schema_grammar(prepared.document(body)))
        except InvalidGrammar as error:
            return error.message
        return None

    body, message = prepared.body, error.message
    seen: set[int] = set()
    while id(body) not in seen:
        seen.add(id(body))
        for part in prepared.parts(body):
            reason = None if id(part) in seen else fails(part)
            if reason and (reason == message or _both_unsatisfiable(reason, message)):
                body, message = part, reason
                break
    path = prepared.places.get(id(body), "")
    faulty = None
    for keyword in sorted(body, key=lambda name: (name not in message, name == "type")):
        less = {name: value for name, value in body.items() if name != keyword}
        if fails(body) and not fails(less):
            faulty = keyword
            path = f"{path}.{keyword}" if path else keyword
            break
    return Fault(body, faulty, path, _ONE_OF if "oneOf" in message else message)


def _both_unsatisfiable(*messages: str) -> bool:
    return all(message.startswith("Unsatisfiable") for message in messages)
