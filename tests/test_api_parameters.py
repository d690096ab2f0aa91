"""What docs/parameters.md says of each member of a request."""

from __future__ import annotations

import pytest

from tests.api_parameters import APIS, Api, rows
from tests.openai_schema import members_of

EVERY = [api for apis in APIS.values() for api in apis]


@pytest.mark.parametrize("api", EVERY, ids=lambda api: str(api.heading))
def test_each_member_has_a_meaning_or_a_reason(api: Api) -> None:
    assert [row.member for row in rows(api) if not row.about] == []


@pytest.mark.parametrize(
    "api", [api for api in EVERY if api.schema], ids=lambda api: str(api.heading)
)
def test_no_member_of_openais_is_missing_and_no_other_counts_as_openais(
    api: Api,
) -> None:
    fates = {row.member: row.fate for row in rows(api)}
    openais = members_of(api.schema)

    assert openais <= set(fates)
    supported = {member for member, fate in fates.items() if fate == "supported"}
    assert supported <= openais


def test_each_fate_has_an_example() -> None:
    fates = {row.member: row for row in rows(APIS["OpenAI's API"][0])}

    assert fates["temperature"].fate == "supported"
    assert fates["top_k"].fate == "extension"
    assert fates["verbosity"].fate == "left out"
    assert fates["audio"].fate == "refused"
    assert str(fates["service_tier"]) == (
        '| `service_tier` | left out | `"auto"` or `"default"` is what happens anyway. '
        "There is one tier. |"
    )
