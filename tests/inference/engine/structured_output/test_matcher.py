"""Matchers on a vocabulary of single bytes: what they allow, and how they fail."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from llguidance import LLTokenizer

from inference.engine.errors import GrammarError, InvalidRequest
from inference.engine.structured_output import compiling, grammars, matcher
from inference.engine.structured_output.grammar import Grammar
from inference.engine.structured_output.matcher import GrammarCompiler, GrammarMatcher

TOKENS = LLTokenizer("byte")
(END,) = TOKENS.eos_tokens


@pytest.fixture
def compiler() -> GrammarCompiler:
    return GrammarCompiler(TOKENS)


def allowed(matcher: GrammarMatcher) -> set[str]:
    """Return what may come next; "" is the end."""
    logits = np.zeros(TOKENS.vocab_size, np.float32)
    mask = matcher.mask(logits)
    tokens = np.flatnonzero(np.isfinite(logits))
    assert tokens.tolist() == np.flatnonzero(mask).tolist()
    return {"" if token == END else chr(token) for token in tokens}


def walk(matcher: GrammarMatcher, text: str) -> None:
    for byte in text.encode():
        matcher.accept(byte)


def test_only_what_fits_may_come(compiler: GrammarCompiler) -> None:
    matcher = compiler.matcher(grammars.regex("[ab]c?"))

    assert allowed(matcher) == {"a", "b"}
    walk(matcher, "a")
    assert allowed(matcher) == {"c", ""}
    assert not matcher.is_done


def test_logits_of_what_may_come_stay_as_they_are(compiler: GrammarCompiler) -> None:
    matcher = compiler.matcher(grammars.choice(["a", "b"]))
    logits = np.arange(TOKENS.vocab_size, dtype=np.float32)
    matcher.mask(logits)

    assert (logits[ord("a")], logits[ord("b")]) == (ord("a"), ord("b"))
    assert np.isneginf(np.delete(logits, [ord("a"), ord("b")])).all()


def test_a_matcher_is_done_once_nothing_but_the_end_may_follow(
    compiler: GrammarCompiler,
) -> None:
    matcher = compiler.matcher(grammars.json_schema({"enum": [True, 12]}))
    walk(matcher, "1")
    assert not matcher.is_done
    walk(matcher, "2")

    assert matcher.is_done
    # An engine that does not ask gets the end by sampling it.
    assert allowed(matcher) == {""}
    matcher.accept(END)
    assert matcher.is_done


def test_tokens_without_a_choice_follow_at_once(compiler: GrammarCompiler) -> None:
    matcher = compiler.matcher(grammars.regex("a(bcd|bce)f|g"))
    assert bytes(matcher.accept_with_forced(ord("a"))) == b"bc"
    assert allowed(matcher) == {"d", "e"}
    assert bytes(matcher.accept_with_forced(ord("d"))) == b"f"
    assert matcher.is_done


def test_the_end_may_come_wherever_the_grammar_allows_it(
    compiler: GrammarCompiler,
) -> None:
    matcher = compiler.matcher(grammars.regex("a+"))
    assert "" not in allowed(matcher)
    walk(matcher, "aa")
    assert allowed(matcher) == {"a", ""}
    matcher.accept(END)

    assert matcher.is_done


def test_a_matcher_that_starts_after_an_output_is_where_it_was(
    compiler: GrammarCompiler,
) -> None:
    grammar = grammars.json_schema({"type": "array", "items": {"const": 7}})
    walked = compiler.matcher(grammar)
    walk(walked, "[7")
    resumed = compiler.matcher(grammar, list(b"[7"))

    assert allowed(resumed) == allowed(walked) == {",", "]"}
    assert compiler.matcher(grammar, list(b"[7]")).is_done


def test_sequences_with_one_grammar_do_not_know_each_other(
    compiler: GrammarCompiler,
) -> None:
    grammar = grammars.choice(["ab", "cd"])
    first, second = compiler.matcher(grammar), compiler.matcher(grammar)
    walk(first, "a")

    assert allowed(first) == {"b"}
    assert allowed(second) == {"a", "c"}


def test_an_output_that_does_not_match_is_an_error(compiler: GrammarCompiler) -> None:
    with pytest.raises(GrammarError, match="grammar cannot go on"):
        compiler.matcher(grammars.regex("ab"), list(b"xy"))


def test_a_token_that_may_not_come_is_an_error_for_its_sequence_alone(
    compiler: GrammarCompiler,
) -> None:
    grammar = grammars.regex("ab*")
    wrong, right = compiler.matcher(grammar), compiler.matcher(grammar)
    with pytest.raises(GrammarError):
        wrong.accept(ord("x"))
    with pytest.raises(GrammarError):
        allowed(wrong)
    wrong.close()

    walk(right, "abb")
    assert allowed(right) == {"b", ""}


def test_a_grammar_that_gets_too_complex_is_an_error_and_not_an_end(
    compiler: GrammarCompiler,
) -> None:
    # llguidance's own mask has the end tokens then: the answer would look whole.
    matcher = compiler.matcher(Grammar("start: /((a{1000}){1000}){1000}/"))
    with pytest.raises(GrammarError, match="too many expressions"):
        walk(matcher, "aaa")
    with pytest.raises(GrammarError):
        allowed(matcher)
    matcher.close()


@pytest.mark.parametrize("source", ["start: foo", "", 'start: <|no_such_token|> "a"'])
def test_a_grammar_that_the_vocabulary_cannot_have_is_refused(
    compiler: GrammarCompiler, source: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        compiler.compile(Grammar(source, "guided_grammar"))

    assert caught.value.param == "guided_grammar"
    assert "\n" not in caught.value.message


def test_a_grammar_is_compiled_once(
    compiler: GrammarCompiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[str] = []

    def compile_grammar(tokenizer: LLTokenizer, grammar: str) -> object:
        compiled.append(grammar)
        return compiling.compile_grammar(tokenizer, grammar)

    monkeypatch.setattr(matcher, "compile_grammar", compile_grammar)
    monkeypatch.setattr(compiler._compiled, "_kept", 2)
    first, second, third = (grammars.choice([text]) for text in "abc")
    threads = [
        threading.Thread(target=compiler.compile, args=(first,)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    compiler.matcher(first)
    assert compiled == [first.source]

    for grammar in (second, first, third, first, second):
        compiler.compile(grammar)
    # The one that was used longest ago went.
    assert compiled == [c.source for c in (first, second, third, second)]
