from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from inference.engine.detokenizer import Detokenizer


def test_a_character_split_over_tokens_comes_whole() -> None:
    detokenizer = Detokenizer()
    pieces = [bytes([byte]) for byte in "é€😀".encode()]
    parts = [detokenizer.push(piece) for piece in pieces]
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


def test_the_earliest_of_several_stop_strings_counts() -> None:
    detokenizer = Detokenizer(("three", "two"))
    assert detokenizer.push(b"one two three") == "one "
    assert detokenizer.is_stopped
    assert detokenizer.push(b"more") == ""
    assert detokenizer.flush() == ""


def test_what_was_held_back_comes_out_at_the_end() -> None:
    detokenizer = Detokenizer(("END",))
    detokenizer.push(b"so EN")
    assert detokenizer.flush() == "EN"


@given(
    text=st.text(alphabet="ab\u20ac", max_size=30),
    stop=st.lists(st.text(alphabet="ab\u20ac", min_size=1, max_size=4), max_size=3),
    cuts=st.lists(st.integers(0, 90), max_size=10),
)
def test_any_split_into_tokens_gives_the_text_before_the_first_stop(
    text: str, stop: list[str], cuts: list[int]
) -> None:
    data = text.encode()
    borders = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    detokenizer = Detokenizer(tuple(stop))
    got = ""
    for start, end in itertools.pairwise(borders):
        if not detokenizer.is_stopped:
            got += detokenizer.push(data[start:end])
    got += detokenizer.flush()
    ends = [at for at in (text.find(s) for s in stop) if at >= 0]
    if detokenizer.is_stopped:
        # A shorter stop string that starts later may be complete first.
        assert any(got + s == text[: len(got) + len(s)] for s in stop)
    else:
        assert not ends
        assert got == text
