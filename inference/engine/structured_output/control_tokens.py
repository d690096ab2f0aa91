"""Resolves a grammar's control tokens in a vocabulary: to token ids or to text."""

from __future__ import annotations

import json
import re
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


def _with_rules(
    lark: str, entries: tuple[tuple[str, ...], ...], controls: Mapping[str, int | None]
) -> str:
    rules = []
    for kind, number in sorted(set(_RULE.findall(lark))):
        texts = entries[int(number)]
        ids = [controls[text] for text in texts if text in controls]
        tokens = [f"<[{token}]>" for token in ids if token is not None]
        plain = [text for text in texts if text not in controls]
        name = f"{kind}_{number}"
        if kind == "open":
            rules.append(_open(name, plain, texts[0], controls))
        else:
            rules.append(_WRITERS[kind](name, tokens, plain))
    return "\n".join([lark, *rules, ""])


def _control(name: str, tokens: list[str], plain: list[str]) -> str:
    quoted = [json.dumps(text, ensure_ascii=False) for text in plain]
    return f"{name}: {' | '.join([*tokens, *quoted]) or _NOTHING}"


def _until(name: str, tokens: list[str], plain: list[str]) -> str:
    options = []
    lines = []
    if tokens:
        options.append(f"{name}_text ({' | '.join(tokens)})")
        lines.append(_without(f"{name}_text", tokens, plain))
    if plain:
        options.append(f"{name}_plain")
        lines.append(f"{name}_plain[lazy]: /(?s:.*)({_one_of(plain)})/")
    return "\n".join([f"{name}: {' | '.join(options) or _ANYTHING}", *lines])


def _without(name: str, tokens: list[str], plain: list[str]) -> str:
    if not plain:
        return f"{name}: {_ANYTHING}"
    terminal = name.upper()
    return f"{name}: {terminal}\n{terminal}: {_text_without(plain)}"


def _open(
    name: str, plain: list[str], opener: str, controls: Mapping[str, int | None]
) -> str:
    terminal = name.upper()
    if controls.get(opener) is not None:
        text = _without(f"{name}_text", [], plain)
        return f"{name}: {name}_text <[{controls[opener]}]>\n{text}"
    return "\n".join(
        [
            f"{name}[lazy]: {terminal}",
            f"{terminal}: {terminal}_TEXT {json.dumps(opener, ensure_ascii=False)}",
            f"{terminal}_TEXT: {_text_without(plain)}",
        ]
    )


def _text_without(plain: list[str]) -> str:
    # A complement alone would also match what is not text, such as control tokens.
    return f"{_ANYTHING} & ~/(?s:.*)({_one_of(plain)})(?s:.*)/"


def _one_of(texts: list[str]) -> str:
    escaped = [_SPECIAL.sub(r"\\\g<0>", text) for text in texts]
    return "|".join(escaped).replace("\n", r"\n")


_WRITERS: dict[str, Callable[[str, list[str], list[str]], str]] = {
    "control": _control,
    "until": _until,
    "without": _without,
}
