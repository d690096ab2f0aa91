"""The order among one key's requests."""

from __future__ import annotations

from typing import Annotated

from inference.api.body.request_body import Body
from inference.api.parameters.value_types import Between

MAX_PRIORITY = 100


class PriorityParameter(Body):
    """A request with a priority in its key's queue."""

    priority: Annotated[int, Between(-MAX_PRIORITY, MAX_PRIORITY)] = 0
    """Of your key's waiting requests, the one with the lowest number starts first. Not
    in OpenAI's API."""
