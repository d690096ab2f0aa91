from __future__ import annotations

from benchmarks.workloads.schemas import SCHEMAS
from inference.engine.structured_output import grammars


def test_there_are_50_schemas_and_each_can_be_enforced() -> None:
    assert len(SCHEMAS) == 50
    for wanted in SCHEMAS:
        grammars.json_schema(wanted.schema)
