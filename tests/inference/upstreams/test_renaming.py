"""The model's name here in answers, and everything else as it was."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from inference.upstreams.renaming import renamed

#: Names that JSON escapes, that look like members, and that nobody gives.
NAMES = st.sampled_from(
    ["far", "fär/away", 'a"model":"far"', "a\\b", "\ud800", "x" * 2000, ""]
)
_KEYS = st.sampled_from(["model", "message", "response", "tools", "text"])
_VALUES = st.recursive(
    NAMES | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner),
    max_leaves=8,
)
ANSWERS = st.dictionaries(_KEYS, _VALUES)
SPELLINGS: list[dict[str, Any]] = [
    {},
    {"separators": (",", ":")},
    {"separators": (" , ", " : ")},
    {"indent": 1},
]


def _expected(answer: dict[str, Any]) -> dict[str, Any]:
    expected = copy.deepcopy(answer)
    for each in (expected, expected.get("message"), expected.get("response")):
        if isinstance(each, dict) and isinstance(each.get("model"), str):
            each["model"] = "here"
    return expected


@given(ANSWERS, st.sampled_from(SPELLINGS))
def test_only_the_name_changes_however_it_is_written(
    answer: dict[str, Any], spelling: dict[str, Any]
) -> None:
    data = json.dumps(answer, **spelling).encode()
    assert json.loads(renamed(data, copy.deepcopy(answer), "here")) == _expected(answer)


@given(ANSWERS)
def test_an_event_stays_an_event_with_its_other_lines(answer: dict[str, Any]) -> None:
    data = json.dumps(answer).encode()
    event = b"event: message\r\nid: 7\r\ndata: " + data + b"\r\n\r\n"
    found = renamed(event, copy.deepcopy(answer), "here", is_event=True)
    name, number, said, *empty = found.splitlines()
    assert (name, number) == (b"event: message", b"id: 7")
    assert json.loads(said.removeprefix(b"data: ")) == _expected(answer)
    assert empty == [b""]
    assert found.endswith((b"\n\n", b"\r\n\r\n"))


def test_bytes_that_need_no_change_stay_as_they_came() -> None:
    data = b'{"id" :  1, "model":"far", "text":"\\u00e4"}'
    found = renamed(data, json.loads(data), "here")
    assert found == data.replace(b"far", b"here")
