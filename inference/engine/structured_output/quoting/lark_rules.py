"""Parses Lark grammars into rules over characters.

This is Lark as llguidance has it, of which it takes what says how a text is made up:
rules, terminals, literals, ranges, regular expressions, repetitions, and imports from
``common``. Refused by name are tokens, schemas, other grammars, options of rules, and
the operators ``&`` and ``~`` of terminals.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import NoReturn

from inference.engine.structured_output.gbnf.expressions import (
    Expression,
    Ref,
    Rules,
    chars,
    either,
    repeat,
    sequence,
    text,
)
from inference.engine.structured_output.gbnf.parser import (
    MAX_DEPTH,
    MAX_REPETITIONS,
    MAX_RULES,
    GrammarSyntaxError,
)
from inference.engine.structured_output.quoting.regexes import parse_regex

_STRING = r'"(?:\\.|[^"\\\n])*"'
_TOKENS = re.compile(
    rf"""
      (?P<space>(?:[ \t]|(?://|\#)[^\n]*)+)
    | (?P<import>%import\s+common\.(?P<one>[A-Z_]+)
        (?:[ ]*->[ ]*(?P<to>_?[A-Z][A-Z_0-9]*))?)
    | (?P<imports>%import\s+common\s*\((?P<many>[A-Z_,\s]*)\))
    | (?P<line>\r?\n[\s]*)
    | (?P<range>{_STRING}[ ]*\.\.[ ]*{_STRING})
    | (?P<string>{_STRING}i?)
    | (?P<regex>/(?:\\.|[^/\\\n])+/[a-z]*)
    | (?P<counts>\{{\d*,?\d*\}}|~[ ]*\d+(?:[ ]*\.\.[ ]*\d+)?)
    | (?P<alias>->[ ]*[\w-]+)
    | (?P<name>!?[?_]*[a-z][\w-]*|_*[A-Z][\w-]*)
    | (?P<priority>\.-?\d+)
    | (?P<sign>[:|()\[\]*+?])
    | (?P<refused>%[a-z]+|<[^<>\s]*>|@[\w-]+|\{{|.)
    """,
    re.VERBOSE,
)
_SIMPLE: dict[str, tuple[int, int | None]] = {
    "*": (0, None),
    "+": (1, None),
    "?": (0, 1),
}
#: llguidance's definitions: its parser/src/lark/common.rs.
_FLOAT = r"([0-9]+\.[0-9]*|\.[0-9]+)([eE](\+|-)?[0-9]+)?|[0-9]+[eE](\+|-)?[0-9]+"
_COMMON = {
    "DIGIT": "[0-9]",
    "HEXDIGIT": "[a-fA-F0-9]",
    "INT": "[0-9]+",
    "SIGNED_INT": r"(\+|-)?[0-9]+",
    "DECIMAL": r"([0-9]+\.[0-9]*)|(\.[0-9]+)",
    "FLOAT": _FLOAT,
    "SIGNED_FLOAT": rf"(\+|-)?({_FLOAT})",
    "NUMBER": f"([0-9]+)|{_FLOAT}",
    "SIGNED_NUMBER": rf"(\+|-)?(([0-9]+)|{_FLOAT})",
    "ESCAPED_STRING": r'"([^"\\]|\\.)*"',
    "LCASE_LETTER": "[a-z]",
    "UCASE_LETTER": "[A-Z]",
    "LETTER": "[A-Za-z]",
    "WORD": "[A-Za-z]+",
    "CNAME": "[_A-Za-z][_A-Za-z0-9]*",
    "WS_INLINE": r"[ \t]+",
    "WS": r"[ \t\f\r\n]+",
    "CR": r"\r",
    "LF": r"\n",
    "NEWLINE": r"(\r?\n)+",
    "SH_COMMENT": r"#[^\n]*",
    "CPP_COMMENT": r"//[^\n]*",
    "C_COMMENT": r"/\*[^*]*\*+(?:[^/*][^*]*\*+)*/",
    "SQL_COMMENT": r"--[^\n]*",
}


def parse_lark(source: str) -> Rules:
    """Return the rules of a grammar, ``start`` among them. Raises GrammarSyntaxError.

    Its syntax is known to be llguidance's.
    """
    return _Parser(source).parse()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


class _Parser:
    def __init__(self, source: str) -> None:
        self._source = source
        self._rules: Rules = {}
        self._depth = 0
        self._at = 0
        self._tokens: list[_Token] = []
        for found in _TOKENS.finditer(source):
            kind = found.lastgroup or ""
            if kind in ("import", "imports"):
                self._import(found)
            elif kind != "space":
                self._tokens.append(_Token(kind, found[0], found.start()))
        self._tokens.append(_Token("end", "", len(source)))

    def parse(self) -> Rules:
        while self._peek().kind != "end":
            if self._peek().kind == "line":
                self._at += 1
                continue
            name = self._name()
            if self._peek().kind == "priority":
                self._at += 1
            self._expect(":")
            self._rules[name] = self._alternatives()
            if len(self._rules) > MAX_RULES:
                self._refuse(f"more than {MAX_RULES} rules")
            if self._peek().kind not in ("line", "end"):
                self._refuse(f"'{self._peek().text}'")
        if "start" not in self._rules:
            raise GrammarSyntaxError("there is no rule 'start'")
        return self._rules

    def _import(self, found: re.Match[str]) -> None:
        names = [found["one"]] if found["one"] else re.findall("[A-Z_]+", found["many"])
        for name in names:
            if name not in _COMMON:
                raise GrammarSyntaxError(f"'common.{name}' is unknown")
            self._rules[found["to"] or name] = parse_regex(_COMMON[name])

    def _alternatives(self) -> Expression:
        options = [self._sequence()]
        while self._goes_on():
            self._at += 1
            options.append(self._sequence())
        return either(options)

    def _goes_on(self) -> bool:
        """Return whether another alternative follows, perhaps in the next line."""
        here = self._at
        self._skip_lines()
        if self._peek().text == "|":
            return True
        if not self._depth:
            self._at = here
        return False

    def _sequence(self) -> Expression:
        items: list[Expression] = []
        while True:
            if self._depth:
                self._skip_lines()
            token = self._peek()
            if token.kind in ("line", "end") or token.text in ("|", ")", "]"):
                break
            if token.kind == "alias":
                self._at += 1
                continue
            items.append(self._repeated())
        return sequence(items)

    def _repeated(self) -> Expression:
        item = self._item()
        token = self._peek()
        if token.text in _SIMPLE:
            self._at += 1
            return repeat(item, *_SIMPLE[token.text])
        if token.kind != "counts":
            return item
        self._at += 1
        numbers = re.findall(r"\d+", token.text)
        low = int(numbers[0]) if numbers else 0
        high: int | None = int(numbers[-1]) if numbers else None
        if token.text.endswith(",}"):
            high = None
        elif token.text.startswith("{,"):
            low = 0
        if max(low, high or 0) > MAX_REPETITIONS:
            self._refuse(f"more than {MAX_REPETITIONS} repetitions")
        return repeat(item, low, high)

    def _item(self) -> Expression:
        token = self._peek()
        self._at += 1
        match token.kind:
            case "string":
                is_any_case = token.text.endswith("i")
                value = self._decoded(token.text.removesuffix("i"))
                if is_any_case:
                    return parse_regex(re.escape(value), "i")
                return text(value)
            case "range":
                first, last = map(self._decoded, re.findall(_STRING, token.text))
                if len(first) == len(last) == 1 and first <= last:
                    return chars([(ord(first), ord(last))])
            case "regex":
                body, _, flags = token.text[1:].rpartition("/")
                if set(flags) <= {"i", "s", "u"}:
                    known = flags.replace("u", "")
                    return parse_regex(body.replace(r"\/", "/"), known)
            case "name":
                return Ref(token.text.lstrip("!?"))
            case "sign" if token.text in "([":
                return self._group(")" if token.text == "(" else "]")
        self._at -= 1
        raise self._fault(f"'{token.text}'")

    def _group(self, end: str) -> Expression:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._refuse(f"groups that are nested deeper than {MAX_DEPTH}")
        group = self._alternatives()
        self._skip_lines()
        self._expect(end)
        self._depth -= 1
        return group if end == ")" else repeat(group, 0, 1)

    def _decoded(self, literal: str) -> str:
        # Beside JSON's escapes, llguidance knows two digits.
        spelt = re.sub(r"(?<!\\)((?:\\\\)*)\\x(..)", r"\1\\u00\2", literal)
        try:
            return str(json.loads(spelt))
        except ValueError:
            self._refuse(literal)

    def _name(self) -> str:
        token = self._peek()
        if token.kind != "name":
            self._refuse(f"'{token.text}'")
        self._at += 1
        return token.text.lstrip("!?")

    def _peek(self) -> _Token:
        return self._tokens[self._at]

    def _skip_lines(self) -> None:
        while self._peek().kind == "line":
            self._at += 1

    def _expect(self, text: str) -> None:
        if self._peek().text != text:
            self._refuse(f"'{self._peek().text}'")
        self._at += 1

    def _refuse(self, what: str) -> NoReturn:
        raise self._fault(what)

    def _fault(self, what: str) -> GrammarSyntaxError:
        line = self._source.count("\n", 0, self._peek().at) + 1
        return GrammarSyntaxError(
            f"{what} is not supported in the grammar of a tool's input, at line {line}"
        )
