from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from inference.engine.sampling.detokenizer import Detokenizer

#: Few characters, one of them of three bytes, so that stops repeat and overlap.
ALPHABET = "ab\u20ac"
texts = st.text(alphabet=ALPHABET, max_size=30)
stops = st.lists(st.text(alphabet=ALPHABET, min_size=1, max_size=4), max_size=3)


def pieces(text: str, cuts: list[int]) -> list[bytes]:
    """Cut a text into tokens, in the middle of characters too."""
    data = text.encode()
    borders = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    return [data[start:end] for start, end in itertools.pairwise(borders)]


def read(detokenizer: Detokenizer, tokens: list[bytes]) -> str:
    text = ""
    for token in tokens:
        text += detokenizer.push(token)
        if detokenizer.is_stopped:
            break
    return text + detokenizer.flush()


def until_first_stop(text: str, stop: list[str]) -> tuple[str, str]:
    """Return the text before the first complete stop string, and that stop string."""
    for end in range(1, len(text) + 1):
        ending = [each for each in stop if text[:end].endswith(each)]
        if ending:
            longest = max(ending, key=len)
            return text[: end - len(longest)], longest
    return text, ""


def test_a_character_split_over_tokens_comes_whole() -> None:
    detokenizer = Detokenizer()
    parts = [detokenizer.push(bytes([byte])) for byte in "é€😀".encode()]
    assert "".join(parts) == "é€😀"
    assert set(parts) == {"", "é", "€", "😀"}


def test_bytes_that_are_no_character_become_a_replacement_at_the_end() -> None:
    detokenizer = Detokenizer()
    assert detokenizer.push("€".encode()[:2]) == ""
    assert detokenizer.flush() == "\ufffd"


def test_a_beginning_of_a_stop_string_is_held_back_until_it_is_none() -> None:
    detokenizer = Detokenizer(("END",))
    assert detokenizer.push(b"the E") == "the "
    assert detokenizer.push(b"N") == ""
    assert detokenizer.push(b"emy") == "ENemy"
    assert not detokenizer.is_stopped


def test_nothing_comes_after_a_stop_string() -> None:
    detokenizer = Detokenizer(("three", "two"))
    assert detokenizer.push(b"one two three") == "one "
    assert detokenizer.is_stopped
    assert detokenizer.push(b"more") == ""
    assert detokenizer.flush() == ""


def test_of_stop_strings_that_end_together_the_longest_counts() -> None:
    for stop in itertools.permutations(("b", "aab", "ab")):
        assert read(Detokenizer(stop), [b"xa", b"ab"]) == "x"


def test_a_stop_string_within_another_is_complete_first() -> None:
    for stop in itertools.permutations(("abc", "b")):
        for tokens in ([b"xabc"], [b"xa", b"bc"], [b"x", b"a", b"b", b"c"]):
            assert read(Detokenizer(stop), tokens) == "xa"


def test_a_stop_string_can_be_part_of_the_text() -> None:
    detokenizer = Detokenizer(("END",), includes_stop=True)
    assert detokenizer.push(b"the E") == "the "
    assert detokenizer.push(b"NDing") == "END"
    assert detokenizer.is_stopped


def test_what_was_held_back_comes_out_at_the_end() -> None:
    detokenizer = Detokenizer(("END",))
    detokenizer.push(b"so EN")
    assert detokenizer.flush() == "EN"


def test_no_stop_string_is_looked_for_before_the_least_number_of_tokens() -> None:
    detokenizer = Detokenizer((".",), min_tokens=2)
    assert [detokenizer.push(piece) for piece in (b"a.", b"b.", b"c.")] == [
        "a.",
        "b.",
        "c",
    ]
    assert detokenizer.is_stopped


@given(text=texts, stop=stops, cuts=st.lists(st.integers(0, 90), max_size=10))
def test_any_split_into_tokens_gives_the_text_before_the_first_stop(
    text: str, stop: list[str], cuts: list[int]
) -> None:
    detokenizer = Detokenizer(tuple(stop))
    before, found = until_first_stop(text, stop)
    assert read(detokenizer, pieces(text, cuts)) == before
    assert detokenizer.is_stopped == bool(found)


@given(text=texts, stop=stops, cuts=st.lists(st.integers(0, 90), max_size=10))
def test_with_the_stop_string_the_text_is_longer_by_it(
    text: str, stop: list[str], cuts: list[int]
) -> None:
    detokenizer = Detokenizer(tuple(stop), includes_stop=True)
    before, found = until_first_stop(text, stop)
    assert read(detokenizer, pieces(text, cuts)) == before + found


@given(
    text=texts,
    stop=stops,
    cuts=st.lists(st.integers(0, 90), max_size=10),
    least=st.integers(0, 5),
)
def test_stop_strings_are_those_of_the_text_after_the_least_number_of_tokens(
    text: str, stop: list[str], cuts: list[int], least: int
) -> None:
    tokens = pieces(text, cuts)
    detokenizer = Detokenizer(tuple(stop), min_tokens=least)
    first = b"".join(tokens[:least]).decode(errors="ignore")
    before, _ = until_first_stop(text[len(first) :], stop)
    assert read(detokenizer, tokens) == first + before


@given(text=texts, stop=stops, cuts=st.lists(st.integers(0, 90), max_size=10))
def test_no_beginning_of_a_stop_string_leaks(
    text: str, stop: list[str], cuts: list[int]
) -> None:
    detokenizer = Detokenizer(tuple(stop))
    before, _ = until_first_stop(text, stop)
    got = ""
    for token in pieces(text, cuts):
        got += detokenizer.push(token)
        assert before.startswith(got)
