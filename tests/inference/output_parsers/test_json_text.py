"""JSON is passed on unchanged, apart from three mistakes that are corrected."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.output_parsers.json_text import whole_value

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
).map(
    lambda value: json.dumps(
        value, indent=1, ensure_ascii=len(str(value)) % 2 == 0, allow_nan=True
    )
)


@given(_JSON.filter(lambda text: "NaN" not in text and "Infinity" not in text))
def test_json_is_passed_on_to_the_letter(text: str) -> None:
    assert whole_value(text) == text


@given(
    st.lists(
        st.sampled_from([*'{}[]:,"\\ \nuabtn0-.e', "true", "None", "\\u00e9", '"a"'])
    ).map("".join)
)
def test_what_is_passed_on_as_whole_is_json(text: str) -> None:
    value = whole_value(text)
    if value is not None:
        json.loads(value)
    else:
        with pytest.raises(ValueError, match=r".*"):
            json.loads(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[True, False, None]", [True, False, None]),
        ('"a\nb\tc\x00"', "a\nb\tc\x00"),
        (r'"\d+ \' \x41 \u12 \u00e9"', "\\d+ \\' \\x41 \\u12 é"),
    ],
)
def test_mistakes_that_are_put_right(text: str, value: object) -> None:
    whole = whole_value(text)
    assert whole is not None
    assert json.loads(whole) == value


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"a"}', "[1,]", '{"a": 1,}', "01", "+1", "1.", "nul", "'a'", "1 2", '"'],
)
def test_what_is_no_json_stays_none(text: str) -> None:
    assert whole_value(text) is None
