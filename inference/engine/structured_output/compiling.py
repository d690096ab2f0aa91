"""Compiles grammars by llguidance, within limits.

A check needs no model: a grammar is compiled for a vocabulary of single bytes. Only
special tokens that a grammar names must wait for the model's own.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache

from llguidance import LLMatcher, LLParserLimits, LLTokenizer

from inference.engine.structured_output.deep_stack import on_deep_stack

#: Limits of compiling and of a step: some 100 ms and 15 MB. A grammar that needs more
#: ends with an error, whatever is generated.
LIMITS = LLParserLimits(
    max_items_in_row=2_000,
    initial_lexer_fuel=1_000_000,
    step_lexer_fuel=200_000,
    step_max_items=100_000,
    max_lexer_states=50_000,
    max_grammar_size=200_000,
    verbose_errors=False,
)
#: Lines of llguidance's messages that quote the source, or name generated rules.
_EXCERPT = re.compile(r"\^*$|\d+ \||while processing json-schema:")


class InvalidGrammar(Exception):
    """A grammar that cannot be enforced; ``path`` is the place of the fault in it."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.path = path


def compile_grammar(tokenizer: LLTokenizer, source: str) -> LLMatcher:
    """Return the grammar's matcher in its initial state. Raises InvalidGrammar."""

    def compiled() -> LLMatcher:
        matcher = LLMatcher(tokenizer, source, log_level=0, limits=LIMITS)
        if not matcher.is_error():
            # This is where the parser's own limits apply first.
            matcher.compute_bitmask()
        return matcher

    matcher = on_deep_stack(compiled)
    if matcher.is_error():
        reason = _one_line(matcher.get_error())
        if reason == "NoExtensionBias":
            reason = "no text matches it"
        raise InvalidGrammar(reason)
    return matcher


@lru_cache(maxsize=64)
def check(source: str) -> None:
    """Raise InvalidGrammar if the grammar cannot be enforced."""
    try:
        matcher = compile_grammar(_tokens_of_bytes(), source)
    except InvalidGrammar:
        # Only a vocabulary has the special tokens that a grammar names, so this one
        # may be the model's. To validate takes as long as to compile: what compiles
        # has been validated.
        warnings = validate(source)
        if not warnings:
            raise
    else:
        warnings = matcher.get_grammar_warnings()
    if any(not warning.startswith("no tokenizer") for warning in warnings):
        raise InvalidGrammar(_one_line("; ".join(warnings)))


def validate(source: str) -> list[str]:
    """Return llguidance's warnings. Raises InvalidGrammar."""
    is_error, messages = on_deep_stack(
        lambda: LLMatcher.validate_grammar_with_warnings(source, limits=LIMITS)
    )
    if is_error:
        raise InvalidGrammar(_one_line(messages[0]))
    return messages


@cache
def _tokens_of_bytes() -> LLTokenizer:
    return LLTokenizer("byte")


def _one_line(message: str) -> str:
    """Return llguidance's message as one line, without its excerpts."""
    lines = [line.strip() for line in message.replace("<non-verbose/>", "").split("\n")]
    return " ".join(line for line in lines if not _EXCERPT.match(line))[:500]
