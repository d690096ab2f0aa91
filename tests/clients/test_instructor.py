"""Instructor, which turns answers into objects."""

from __future__ import annotations

from typing import Any

import instructor
import pytest
from instructor.core import IncompleteOutputException, InstructorRetryException

from tests.clients.client import MODEL, TOO_SMALL, Client
from tests.clients.subjects import PERSON, Person, said

CLIENT = Client(
    "Instructor",
    ("instructor",),
    """
    import instructor
    from openai import OpenAI

    server = OpenAI(base_url="http://localhost:8000/v1", api_key="YOUR_KEY")
    client = instructor.from_openai(server)
    """,
    note="The modes `TOOLS` and `JSON_SCHEMA` enforce the schema while the answer is "
    "written; `JSON` describes it in the prompt.",
)
ASK: dict[str, Any] = {
    "model": MODEL,
    "messages": said(PERSON),
    "temperature": 0,
    "max_tokens": 200,
    "max_retries": 0,
}


def test_the_lines_of_the_page_make_an_object(names: dict[str, Any]) -> None:
    assert isinstance(names["client"].create(response_model=Person, **ASK), Person)


@pytest.mark.parametrize(
    "mode",
    [
        "TOOLS",
        "JSON_SCHEMA",
        pytest.param(
            "JSON",
            marks=pytest.mark.xfail(
                raises=(IncompleteOutputException, InstructorRetryException),
                reason=f"{TOO_SMALL} given a schema in words it repeats the schema",
            ),
        ),
    ],
)
def test_every_mode_makes_an_object(names: dict[str, Any], mode: str) -> None:
    client = instructor.from_openai(names["server"], mode=instructor.Mode[mode])
    assert isinstance(client.create(response_model=Person, **ASK), Person)


def test_an_object_comes_with_the_completion(names: dict[str, Any]) -> None:
    person, completion = names["client"].create_with_completion(
        response_model=Person, **ASK
    )
    assert isinstance(person, Person)
    assert completion.usage.completion_tokens > 0


def test_a_partial_object_grows_in_a_stream(names: dict[str, Any]) -> None:
    parts = list(names["client"].create_partial(response_model=Person, **ASK))
    assert len(parts) > 1
    Person.model_validate(parts[-1].model_dump())
