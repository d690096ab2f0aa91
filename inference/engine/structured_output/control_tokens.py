"""Resolves a grammar's control tokens in a vocabulary: to token ids or to text."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inference.engine.structured_output.grammar import Grammar

_RULE = re.compile(r"\b(control|until|without|open)_(\d+)\b")
_SPECIAL = re.compile(r"[.*+?()\[\]{}|^$\\/#&~-]")
_ANYTHING = "/(?s:.*)/"
_NOTHING = '""'


def resolve_control_tokens(grammar: Grammar, controls: Mapping[str, int | None]) -> str:
    """Return the source with rules for its control tokens in a vocabulary.

    ``controls`` are the ids of control tokens by name; None is a token that ends the
    generation, which a grammar must not name.
    """
    if not grammar.control_tokens:
        return grammar.source
    if not grammar.source.startswith("{"):
        return _with_rules(grammar.source, grammar.control_tokens, controls)
    document = json.loads(grammar.source)
    outer = document["grammars"][0]
    lark = outer["lark_grammar"]
    outer["lark_grammar"] = _with_rules(lark, grammar.control_tokens, controls)
    return json.dumps(document, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class _Entry:
    """The texts of an entry, in a vocabulary.

    ``tokens`` are those that are control tokens, ``plain`` those that are text, and
    ``mixed`` those with control tokens in them: the text before the first, and what
    matches the rest.
    """

    tokens: list[str] = field(default_factory=list)
    plain: list[str] = field(default_factory=list)
    mixed: list[tuple[str, str]] = field(default_factory=list)


def _entry(texts: tuple[str, ...], controls: Mapping[str, int | None]) -> _Entry:
    entry = _Entry()
    for text in texts:
        if text in controls:
            if (token := controls[text]) is not None:
                entry.tokens.append(f"<[{token}]>")
        elif mixed := _mixed(text, controls):
            entry.mixed.append(mixed)
        else:
            entry.plain.append(text)
    return entry


def _mixed(text: str, controls: Mapping[str, int | None]) -> tuple[str, str] | None:
    """Return the text before the first control token, and what matches the rest.

    None if there is none.
    """
    inside = [name for name, token in controls.items() if name in text and token]
    if not inside:
        return None
    longest_first = sorted(inside, key=len, reverse=True)
    pattern = "|".join(map(re.escape, longest_first))
    before, *rest = re.split(f"({pattern})", text)
    tokens = (
        f"<[{controls[part]}]>" if part in inside else _quoted(part)
        for part in rest
        if part
    )
    return before, " ".join(tokens)


def _with_rules(
    lark: str, entries: tuple[tuple[str, ...], ...], controls: Mapping[str, int | None]
) -> str:
    rules = []
    for kind, number in sorted(set(_RULE.findall(lark))):
        texts = entries[int(number)]
        entry = _entry(texts, controls)
        name = f"{kind}_{number}"
        if kind == "open":
            opener = _entry(texts[:1], controls)
            rules.append(_open(name, texts[0], opener, entry.plain))
        else:
            rules.append(_WRITERS[kind](name, entry))
    return "\n".join([lark, *rules, ""])


def _control(name: str, entry: _Entry) -> str:
    options = [*entry.tokens, *map(_quoted, entry.plain)]
    options += [f"{_quoted(before)} {rest}" for before, rest in entry.mixed]
    return f"{name}: {' | '.join(options) or _NOTHING}"


def _until(name: str, entry: _Entry) -> str:
    options = []
    lines = []
    if entry.tokens:
        options.append(f"{name}_text ({' | '.join(entry.tokens)})")
        lines.append(_without(f"{name}_text", entry))
    for index, (before, rest) in enumerate(entry.mixed):
        text = f"{name}_mixed_{index}".upper()
        options.append(f"{text} {rest}")
        lines.append(f"{text}: {text}_BEFORE {_quoted(before)}")
        lines.append(f"{text}_BEFORE: {_text_without(entry.plain)}")
    if entry.plain:
        options.append(f"{name}_plain")
        lines.append(f"{name}_plain[lazy]: /(?s:.*)({_one_of(entry.plain)})/")
    return "\n".join([f"{name}: {' | '.join(options) or _ANYTHING}", *lines])


def _without(name: str, entry: _Entry) -> str:
    # Text has no control tokens, so it has no text with one in it either.
    if not entry.plain:
        return f"{name}: {_ANYTHING}"
    terminal = name.upper()
    return f"{name}: {terminal}\n{terminal}: {_text_without(entry.plain)}"


def _open(name: str, text: str, opener: _Entry, plain: list[str]) -> str:
    terminal = name.upper()
    before_opener = f"{terminal}_TEXT: {_text_without(plain)}"
    if opener.tokens:
        return f"{name}: {terminal}_TEXT {opener.tokens[0]}\n{before_opener}"
    if opener.mixed:
        ((before, rest),) = opener.mixed
        rule = f"{name}: {terminal} {rest}"
        head = f"{terminal}: {terminal}_TEXT {_quoted(before)}"
        return "\n".join([rule, head, before_opener])
    head = f"{terminal}: {terminal}_TEXT {_quoted(text)}"
    return "\n".join([f"{name}[lazy]: {terminal}", head, before_opener])


def _text_without(plain: list[str]) -> str:
    if not plain:
        return _ANYTHING
    # A complement alone would also match what is not text, such as control tokens.
    return f"{_ANYTHING} & ~/(?s:.*)({_one_of(plain)})(?s:.*)/"


def _one_of(texts: list[str]) -> str:
    escaped = [_SPECIAL.sub(r"\\\g<0>", text) for text in texts]
    return "|".join(escaped).replace("\n", r"\n")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


_WRITERS: dict[str, Callable[[str, _Entry], str]] = {
    "control": _control,
    "until": _until,
    "without": _without,
}
