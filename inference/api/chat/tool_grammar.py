"""Grammars of whole answers: reasoning, then tool calls or structured output.

A grammar applies to everything that a model writes. So if the model may reason first,
or may call a tool instead of answering, the grammar includes that, in the model's own
format.

The arguments of a strict tool match its schema exactly, or the request is refused. Of
another tool's schema, what cannot be enforced is left out.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inference.api.chat.notation_grammar import arguments_in_notation
from inference.api.errors import BadRequest
from inference.engine.structured_output import grammars
from inference.engine.structured_output.compiling import InvalidGrammar
from inference.engine.structured_output.grammar import Grammar
from inference.engine.structured_output.json_schema.preparation import (
    prepare_arguments,
)
from inference.engine.structured_output.json_schema.style import JsonStyle
from inference.engine.structured_output.loosening import loose_arguments
from inference.output_parsers.notations.pair_framing import TYPE
from inference.output_parsers.parameters import members, types_of_member
from llm_manager.lib.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from inference.api.chat.tool_use import ToolUse
    from inference.engine.structured_output.json_schema.prepared import PreparedSchema
    from inference.output_parsers import PairFraming
    from inference.prompts.chat import Prompt
    from inference.prompts.messages import Tool

PARAM = "tools"
#: White space between parts of an answer.
SPACE = r"/[ \t\r\n]{0,8}/"
#: Keywords that the arguments' schema may have if each argument has its own tag.
_OF_OBJECTS = {"type", "properties", "required", "additionalProperties"}
#: Keywords of a string's schema that can be enforced without quotes.
_OF_BARE_STRINGS = {"type", "enum", "const"}
#: Keys that cannot be written in a tag.
_UNTAGGABLE = re.compile(r"[<>\r\n]|^\s|\s$|^$")


@dataclass(frozen=True, slots=True)
class AnswerGrammar:
    """The grammar of an answer; None is anything.

    ``left_out`` are the places of the tools' schemas that it does not enforce: a tool's
    name, and a path in its parameters, "" for all of them.
    """

    grammar: Grammar | None
    left_out: tuple[tuple[str, str], ...] = ()


def answer_grammar(
    prompt: Prompt,
    use: ToolUse,
    answer: Grammar | None,
    style: JsonStyle = JsonStyle.FIXED,
) -> AnswerGrammar:
    """Return the grammar of an answer from its first token on.

    ``answer`` is the grammar of its content. The schemas of strict tools have been
    checked. Raises BadRequest if one cannot be enforced in the model's format.
    """
    if answer is None and not use.must_call:
        return AnswerGrammar(None)
    is_framed = prompt.reasons or bool(prompt.output_parser.framing.before_content)
    if answer is not None and not use.may_call and not is_framed:
        return AnswerGrammar(answer)
    writer = GrammarWriter(prompt, style)
    options = []
    if use.may_call:
        options.append(writer.calls(use))
    if answer is not None and not use.must_call:
        options.append(writer.content(answer))
    else:
        answer = None
    grammar = checked(
        Grammar(
            writer.source(options),
            PARAM if answer is None else answer.param,
            tuple(writer.control_tokens),
        )
    )
    return AnswerGrammar(grammar, tuple(writer.left_out))


def checked(grammar: Grammar) -> Grammar:
    """Return the grammar if it can be enforced. Raises BadRequest."""
    try:
        return grammars.checked(grammar)
    except InvalidGrammar as error:
        raise BadRequest(
            f"The answer cannot be constrained: {error.message}.",
            param=grammar.param,
        ) from None


class GrammarWriter:
    """Writes one grammar in Lark.

    ``control_tokens`` are those that it names, ``left_out`` is as in AnswerGrammar.
    """

    def __init__(self, prompt: Prompt, style: JsonStyle = JsonStyle.FIXED) -> None:
        self.prompt = prompt
        self.style = style
        self.left_out: list[tuple[str, str]] = []
        self.output_parser = prompt.output_parser
        self.framing = prompt.output_parser.framing
        self.rules: list[str] = []
        self.control_tokens: list[tuple[str, ...]] = []
        # Other grammars, by the names that rules have for them.
        self._inner: dict[str, str] = {}
        self._has_inputs = False
        longest_first = sorted(
            self.output_parser.preserved_tokens, key=len, reverse=True
        )
        self._mark = re.compile(f"({'|'.join(map(re.escape, longest_first))})")

    def source(self, options: list[str]) -> str:
        """Return the grammar of an answer that is one of these."""
        start = f"{self.thinking()} ({' | '.join(options)})"
        lark = "\n".join([f"start: {start}", *self.rules, ""])
        if not self._inner:
            return lark
        others = [
            {**_as_object(source), "name": name} for name, source in self._inner.items()
        ]
        return json.dumps(
            {"grammars": [{"lark_grammar": lark}, *others]}, ensure_ascii=False
        )

    def content(self, answer: Grammar) -> str:
        """Return the rule of an answer that is a text. Raises BadRequest."""
        if self._has_inputs and self._is_object:
            raise BadRequest(
                "In this model's format, an answer cannot be made to match anything "
                "beside tools whose input has a grammar.",
                param=answer.param,
            )
        self._inner["answer"] = answer.source
        return f"{self.text(self.framing.before_content)} @answer"

    def calls(self, use: ToolUse) -> str:
        """Return the rule of an answer that is calls."""
        framing = self.framing
        call = self.one_call(use)
        takes_several = framing.separator is not None
        if takes_several and use.max_calls is None and self.prompt.takes_several_calls:
            call = f"{call} ({self.text(framing.separator or '')} call)*"
            if use.must_call:
                call += f" {self._after_calls()}"
        return f"{self.text(framing.begin)} {call} {self.text(framing.end)}"

    def _after_calls(self) -> str:
        """Return what may follow required calls, if no tag ends them: any other text.

        Whoever reads the answer ends it there. Without this, a model that is done but
        for a text would have to call again.
        """
        between = self.framing.separator or ""
        if self.framing.end or between.strip():
            return ""
        opener = re.escape((between + self.framing.call.before_name).lstrip()[:1])
        self.rule("TEXT_AFTER_CALLS", rf"/[ \t\r\n]{{0,8}}[^ \t\r\n{opener}](?s:.*)/")
        self.rule("SPACE_AFTER_CALLS", r"/[ \t\r\n]{1,8}/")
        return "(TEXT_AFTER_CALLS | SPACE_AFTER_CALLS)?"

    def one_call(self, use: ToolUse) -> str:
        """Return the rule of a call of any of the tools."""
        self._has_inputs = any(tool.input_grammar for tool in use.may_call)
        names = [
            self.rule(f"call_{index}", self._call(index, tool))
            for index, tool in enumerate(use.may_call)
        ]
        return self.rule("call", " | ".join(names))

    def thinking(self) -> str:
        """Return what comes before the answer: reasoning, if the model may reason."""
        if not self.prompt.reasons:
            return ""
        reasoning = self.output_parser.reasoning
        after = self.text(self.framing.after_reasoning) or SPACE
        thought = f"{self.until(*reasoning.end)} {after}"
        if self.prompt.starts_in_reasoning:
            return thought
        begin = f"control_{self.number((reasoning.begin[0],))}"
        options = f"{begin} {thought}"
        if reasoning.ends_alone:
            options += f" | {self.text(reasoning.end[0])} {after}"
        return f"({options})?"

    def arguments(self, index: int, tool: Tool) -> str:
        """Return what matches the arguments of a tool's calls."""
        if tool.input_grammar:
            return self._input(index, tool)
        prepared = self._prepared(tool)
        if self.framing.notation is not None:
            return self.in_notation(index, tool, prepared)
        pair = self.framing.parameter
        if pair is None:
            return self.json(f"arguments_{index}", prepared.document())
        return " ".join(self._tagged(index, tool, prepared, pair))

    def in_notation(self, index: int, tool: Tool, prepared: PreparedSchema) -> str:
        """Return what matches arguments in the notation of the model's family."""

        def leave_out(path: str) -> None:
            self._leave_out(tool, path, "in this model's format")

        name = f"argument_{index}"
        return arguments_in_notation(self, name, self.framing, prepared, leave_out)

    def _input(self, index: int, tool: Tool) -> str:
        """Return what matches arguments of which the only one is a text with a grammar.

        Raises BadRequest.
        """
        (key,) = tool.parameters["properties"]
        if self.framing.notation is not None or self.framing.parameter is not None:
            reason = "in this model's format, no text has a grammar"
            raise _unenforceable(tool, f"properties.{key}", reason)
        name = f"input_{index}"
        self._inner[name] = tool.input_grammar
        before = json.dumps(f'{{"{key}": "')
        return f'{before} @{name} "}}"'

    @property
    def _is_object(self) -> bool:
        """Whether calls are JSON objects from their first character on."""
        first = self.framing.begin + self.framing.call.before_name
        return first.startswith("{")

    def _call(self, index: int, tool: Tool) -> str:
        pair = self.framing.call
        if self._is_object and not self._has_inputs:
            # The whole call is one schema: a lexer that waits for '{"name": ' would not
            # recognize the beginning of an answer that is JSON, too.
            prepared = self._prepared(tool)
            body = _object_of_call(pair, tool.name, prepared.body)
            return self.json(f"whole_{index}", prepared.document(body))
        head = self.text(self.head(tool))
        return f"{head} {self.arguments(index, tool)} {self.text(pair.after)}"

    def head(self, tool: Tool) -> str:
        """Return what comes before the arguments of a tool's calls."""
        return self.framing.call.head(tool.name)

    def _prepared(self, tool: Tool) -> PreparedSchema:
        """Return what can be enforced of the schema of a tool's arguments."""
        if tool.strict:
            return prepare_arguments(tool.parameters, self.style)
        loose = loose_arguments(tool.parameters, self.style)
        self.left_out += [(tool.name, path) for path in loose.left_out]
        return loose.prepared

    def _leave_out(self, tool: Tool, path: str, reason: str) -> None:
        """Note what this format cannot enforce. Raises BadRequest for a strict tool."""
        if tool.strict:
            raise _unenforceable(tool, path, reason)
        self.left_out.append((tool.name, path))

    # Arguments that stand in tags ----------------------------------------------

    def _tagged(
        self, index: int, tool: Tool, prepared: PreparedSchema, parameter: PairFraming
    ) -> Iterator[str]:
        """Yield the rules of arguments that come one by one, in the schema's order."""
        body = _resolved(prepared.body, prepared)
        properties: dict[str, Any] = dict(body.get("properties", {}))
        required = body.get("required", ())
        for keyword in body:
            if keyword not in _OF_OBJECTS:
                self._leave_out(tool, keyword, "in this model's format")
        for key in required:
            if key not in properties:
                properties[key] = body.get("additionalProperties", True)
        for number, (key, schema) in enumerate(properties.items()):
            if _UNTAGGABLE.search(key):
                self._leave_out(tool, f"properties.{key}", "it cannot be a tag")
                continue
            if schema is False:
                continue
            name = f"argument_{index}_{number}"
            types = types_of_member(tool.parameters, key)
            is_string = types == {"string"}
            pair = parameter.around(is_string=is_string)
            if is_string:
                value = self._bare(_resolved(schema, prepared), pair.after, tool, key)
            else:
                document = prepared.document({} if schema is True else schema)
                value = f"{self.json(f'{name}_value', document)} "
                value += self.text(pair.after)
            head = self.head_of_argument(pair, self.text(pair.before_name + key), types)
            argument = self.rule(name, f"{head} {value}")
            yield argument if key in required else f"{argument}?"
        others = body.get("additionalProperties", True)
        if others is not False:
            yield self._others(index, properties, others, prepared, parameter)

    def head_of_argument(
        self, pair: PairFraming, name: str, types: Collection[str] = ()
    ) -> str:
        """Return what comes before an argument's value, after the rule of its name."""
        before, mark, after = pair.between.partition(TYPE)
        if not mark:
            return f"{name} {self.text(before)}"
        known = {"number" if each == "integer" else each for each in types}
        options = sorted(known) or ["/[a-z]+/"]
        type_ = " | ".join(each if each[0] == "/" else f'"{each}"' for each in options)
        return f"{name} {self.text(before)} ({type_}) {self.text(after)}"

    def _others(
        self,
        index: int,
        properties: Mapping[str, Any],
        schema: Any,
        prepared: PreparedSchema,
        parameter: PairFraming,
    ) -> str:
        """Return the rule of arguments that the schema allows and does not name."""
        is_string = _resolved(schema, prepared).get("type") == "string"
        pair = parameter.around(is_string=is_string)
        key = self.key(pair)
        if names := "|".join(map(re.escape, properties)):
            slashless = names.replace("/", r"\/")
            key = self.rule(f"OTHER_{index}", f"{key} & ~/({slashless})/")
        if is_string or (schema is True and parameter.for_strings is None):
            value = self.up_to(pair.after)
        else:
            document = prepared.document({} if schema is True else schema)
            value = f"{self.json(f'other_{index}', document)} {self.text(pair.after)}"
        name = f"{self.text(pair.before_name)} {key}"
        return f"({self.head_of_argument(pair, name)} {value})*"

    def _bare(self, schema: Mapping[str, Any], after: str, tool: Tool, key: str) -> str:
        """Return the rule of an unquoted string and of what follows it."""
        given = members(tool.parameters).get(key)
        for keyword in schema:
            if keyword not in _OF_BARE_STRINGS:
                # Some formats and patterns are prepared as several patterns.
                named = [keyword, "format", "pattern"]
                said = next((each for each in named if each in (given or ())), keyword)
                where = f"properties.{key}.{said}"
                self._leave_out(tool, where, "this model writes texts unquoted")
        if "enum" in schema or "const" in schema:
            values = schema.get("enum", [schema.get("const")])
            texts = [value for value in values if isinstance(value, str)]
            return f"({' | '.join(self.text(text + after) for text in texts)})"
        return self.up_to(after)

    def key(self, pair: PairFraming) -> str:
        """Return what matches any key that can stand in a tag."""
        return rf"/[^<>\r\n{re.escape(pair.between[0])}]+/"

    def up_to(self, after: str) -> str:
        """Return what matches an unquoted text and what follows it."""
        end = after.strip()
        space = after[after.index(end) + len(end) :]
        return f"{self.until(end)} {self.text(space)}"

    # Pieces ---------------------------------------------------------------------

    def rule(self, name: str, body: str) -> str:
        """Add a rule; return its name."""
        self.rules.append(f"{name}: {body}")
        return name

    def json(self, name: str, schema: dict[str, Any]) -> str:
        """Add the rule of a schema's values; return its name."""
        return self.rule(name, f"%json {json.dumps(schema, ensure_ascii=False)}")

    def text(self, text: str) -> str:
        """Return what matches a text; marks in it may be control tokens."""
        parts = []
        for part in filter(None, self._mark.split(text)):
            if self._mark.fullmatch(part):
                parts.append(f"control_{self.number((part,))}")
            else:
                literal = json.dumps(part, ensure_ascii=False)
                parts.append(literal.replace("\x7f", "\\u007f"))
        return " ".join(parts)

    def until(self, *ends: str) -> str:
        """Return what matches any text up to the first of these, and that."""
        return f"until_{self.number(ends)}"

    def number(self, texts: tuple[str, ...]) -> int:
        """Return the number of an entry in ``control_tokens``."""
        if texts not in self.control_tokens:
            self.control_tokens.append(texts)
        return self.control_tokens.index(texts)


def _as_object(source: str) -> dict[str, Any]:
    """Return a grammar as llguidance's object."""
    if not source.startswith("{"):
        return {"lark_grammar": source}
    (grammar,) = json.loads(source)["grammars"]
    return dict(grammar)


def _object_of_call(pair: PairFraming, name: str, arguments: Any) -> dict[str, Any]:
    """Return the schema of a call that is a JSON object."""
    example = json.loads(pair.fill(name, "{}"))
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
    """Return the schema that a chain of references leads to."""
    seen: set[str] = set()
    while isinstance(schema, dict) and set(schema) == {"$ref"}:
        name = schema["$ref"].removeprefix("#/$defs/")
        if name in seen:
            break
        seen.add(name)
        schema = prepared.definitions[name]
    return schema if isinstance(schema, dict) else {}


def _unenforceable(tool: Tool, path: str, reason: str) -> BadRequest:
    return BadRequest(
        f"The calls of '{tool.name}' cannot be made to match 'parameters."
        f"{quote(path)}': {reason}.",
        param="tools",
    )
