"""Grammars of answers: calls, or a constrained answer, and what is thought before.

A grammar holds for all that a model writes. So where the model may think first, or
may call instead of answering, the grammar says that too, in the model's dialect.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from inference.dialects.parameters import types_of_member
from inference.engine.constraint import Constraint
from inference.engine.guidance import grammars
from inference.engine.guidance.json_schema import prepare_schema
from inference.openai.errors import InvalidRequest
from inference.openai.fields import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from inference.chat import Prompt
    from inference.chat_messages import Tool
    from inference.dialects import Slots
    from inference.engine.guidance.json_schema import PreparedSchema
    from inference.openai.tools import ToolUse

_PARAM = "tools"
_SPACE = r"/[ \t\r\n]{0,8}/"
#: What the arguments' schema may say where each stands in tags of its own.
_OF_OBJECTS = {"type", "properties", "required", "additionalProperties"}
#: What can be enforced of a string that is written without quotes.
_OF_BARE_STRINGS = {"type", "enum", "const"}
#: What cannot be in a key that stands in a tag.
_UNTAGGABLE = re.compile(r"[<>\r\n]|^\s|\s$|^$")


def answer_constraint(
    prompt: Prompt, use: ToolUse, answer: Constraint | None
) -> Constraint | None:
    """Return what an answer must be, from its first token on; None is anything.

    ``answer`` is what its content must be. The schemas of tools that must be called
    have been checked. Raises InvalidRequest where the model's format cannot hold to
    one.
    """
    if answer is None and not use.must_call:
        return None
    is_framed = prompt.reasons or bool(prompt.dialect.framing.before_content)
    if answer is not None and not use.may_call and not is_framed:
        return answer
    writer = _Writer(prompt)
    options = []
    if use.may_call:
        options.append(writer.calls(use))
    if answer is not None and not use.must_call:
        options.append(writer.content())
    else:
        answer = None
    lark = writer.lark(options)
    constraint = Constraint(
        lark if answer is None else _around(lark, answer.grammar),
        _PARAM if answer is None else answer.param,
        tuple(writer.marks),
    )
    try:
        return grammars.checked(constraint)
    except grammars.InvalidGrammar as error:
        raise InvalidRequest(
            f"The answer cannot be constrained: {error.message}.",
            param=constraint.param,
        ) from None


def _around(lark: str, answer: str) -> str:
    """Return the grammar with another in it, as ``@answer``."""
    inner = {"lark_grammar": answer}
    if answer.startswith("{"):
        (inner,) = json.loads(answer)["grammars"]
    return json.dumps(
        {"grammars": [{"lark_grammar": lark}, {**inner, "name": "answer"}]},
        ensure_ascii=False,
    )


class _Writer:
    """Writes one grammar in Lark; what may be control tokens goes to ``marks``."""

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt
        self._dialect = prompt.dialect
        self._framing = prompt.dialect.framing
        self._rules: list[str] = []
        self.marks: list[tuple[str, ...]] = []
        longest_first = sorted(self._dialect.marks, key=len, reverse=True)
        self._mark = re.compile(f"({'|'.join(map(re.escape, longest_first))})")

    def lark(self, options: list[str]) -> str:
        """Return the grammar of an answer that is one of these."""
        start = f"{self._thinking()} ({' | '.join(options)})"
        return "\n".join([f"start: {start}", *self._rules, ""])

    def content(self) -> str:
        """Return the rule of an answer that is a text."""
        return f"{self._text(self._framing.before_content)} @answer"

    def calls(self, use: ToolUse) -> str:
        """Return the rule of an answer that is calls."""
        framing = self._framing
        names = [
            self._rule(f"call_{index}", self._call(index, tool))
            for index, tool in enumerate(use.may_call)
        ]
        call = self._rule("call", " | ".join(names))
        takes_several = framing.separator is not None
        if takes_several and use.max_calls is None and self._prompt.takes_several_calls:
            call = f"{call} ({self._text(framing.separator or '')} call)*"
        return f"{self._text(framing.begin)} {call} {self._text(framing.end)}"

    def _thinking(self) -> str:
        """Return what comes before the answer: a thought, if the model wants one."""
        if not self._prompt.reasons:
            return ""
        reasoning = self._dialect.reasoning
        after = self._text(self._framing.after_reasoning) or _SPACE
        thought = f"{self._until(*reasoning.end)} {after}"
        if self._prompt.starts_in_reasoning:
            return thought
        return f"({self._text(reasoning.begin[0])} {thought})?"

    def _call(self, index: int, tool: Tool) -> str:
        slots = self._framing.call
        prepared = prepare_schema(tool.parameters)
        if (self._framing.begin + slots.before_name).startswith("{"):
            # All of it in one schema: a lexer that waits for '{"name": ' would not
            # see the beginning of an answer that is JSON, too.
            body = _object_of_call(slots, tool.name, prepared.body)
            return self._json(f"whole_{index}", prepared.document(body))
        if self._framing.parameter is None:
            arguments = self._json(f"arguments_{index}", prepared.document())
        else:
            parameter = self._framing.parameter
            arguments = " ".join(self._tagged(index, tool, prepared, parameter))
        head = self._text(slots.before_name + tool.name + slots.between)
        return f"{head} {arguments} {self._text(slots.after)}"

    # Arguments that stand in tags ----------------------------------------------

    def _tagged(
        self, index: int, tool: Tool, prepared: PreparedSchema, slots: Slots
    ) -> Iterator[str]:
        """Yield the rules of arguments that come one by one, in the schema's order."""
        body = _resolved(prepared.body, prepared)
        properties: dict[str, Any] = body.get("properties", {})
        required = body.get("required", ())
        for keyword in body:
            if keyword not in _OF_OBJECTS:
                raise _unenforceable(tool, keyword, "in this model's format")
        for key in required:
            if key not in properties:
                raise _unenforceable(tool, "required", f"'{key}' has no schema")
        for number, (key, schema) in enumerate(properties.items()):
            if _UNTAGGABLE.search(key):
                raise _unenforceable(tool, f"properties.{key}", "it cannot be a tag")
            if schema is False:
                continue
            name = f"argument_{index}_{number}"
            if types_of_member(tool.parameters, key) == {"string"}:
                path = f"properties.{key}"
                value = self._bare(_resolved(schema, prepared), slots.after, tool, path)
            else:
                document = prepared.document({} if schema is True else schema)
                value = f"{self._json(f'{name}_value', document)} "
                value += self._text(slots.after)
            head = self._text(slots.before_name + key + slots.between)
            argument = self._rule(name, f"{head} {value}")
            yield argument if key in required else f"{argument}?"

    def _bare(
        self, schema: Mapping[str, Any], after: str, tool: Tool, path: str
    ) -> str:
        """Return the rule of a string without quotes, and of what follows it."""
        for keyword in schema:
            if keyword not in _OF_BARE_STRINGS:
                where = f"{path}.{keyword}"
                raise _unenforceable(tool, where, "this model writes texts unquoted")
        if "enum" in schema or "const" in schema:
            values = schema.get("enum", [schema.get("const")])
            texts = [value for value in values if isinstance(value, str)]
            return f"({' | '.join(self._text(text + after) for text in texts)})"
        end = after.strip()
        space = after[after.index(end) + len(end) :]
        return f"{self._until(end)} {self._text(space)}"

    # Pieces ---------------------------------------------------------------------

    def _rule(self, name: str, body: str) -> str:
        self._rules.append(f"{name}: {body}")
        return name

    def _json(self, name: str, schema: dict[str, Any]) -> str:
        return self._rule(name, f"%json {json.dumps(schema, ensure_ascii=False)}")

    def _text(self, text: str) -> str:
        """Return what matches a text, its marks as control tokens where they are."""
        parts = []
        for part in filter(None, self._mark.split(text)):
            if self._mark.fullmatch(part):
                parts.append(f"mark_{self._number((part,))}")
            else:
                literal = json.dumps(part, ensure_ascii=False)
                parts.append(literal.replace("\x7f", "\\u007f"))
        return " ".join(parts)

    def _until(self, *ends: str) -> str:
        return f"until_{self._number(ends)}"

    def _number(self, texts: tuple[str, ...]) -> int:
        if texts not in self.marks:
            self.marks.append(texts)
        return self.marks.index(texts)


def _object_of_call(slots: Slots, name: str, arguments: Any) -> dict[str, Any]:
    """Return the schema of a call that is a JSON object."""
    example = json.loads(slots.fill(name, "{}"))
    members = {
        key: {"const": value} if value == name else arguments
        for key, value in example.items()
    }
    return {
        "type": "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }


def _resolved(schema: Any, prepared: PreparedSchema) -> dict[str, Any]:
    """Return what a schema that only refers to others refers to."""
    seen: set[str] = set()
    while isinstance(schema, dict) and set(schema) == {"$ref"}:
        name = schema["$ref"].removeprefix("#/$defs/")
        if name in seen:
            break
        seen.add(name)
        schema = prepared.definitions[name]
    return schema if isinstance(schema, dict) else {}


def _unenforceable(tool: Tool, path: str, reason: str) -> InvalidRequest:
    return InvalidRequest(
        f"The calls of '{tool.name}' cannot be made to match 'parameters."
        f"{quote(path)}': {reason}.",
        param="tools",
    )
