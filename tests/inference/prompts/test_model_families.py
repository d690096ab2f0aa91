"""Each chat template has an output parser, and a row in the docs."""

from __future__ import annotations

import pytest

from tests.model_families import PAGE, REASONS, Row, rows, with_table

ROWS = {row.template: row for row in rows()}


def test_the_page_has_the_table_as_the_code_makes_it() -> None:
    assert with_table(PAGE.read_text()) == PAGE.read_text(), (
        "run: python -m tests.model_families"
    )


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_template_has_its_own_output_parser_or_a_reason(row: Row) -> None:
    is_generic = row.output_parser.name == "plain_json"
    assert is_generic is (row.template in REASONS)
    assert row.num_texts > 0
