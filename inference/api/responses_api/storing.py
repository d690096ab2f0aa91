"""What a request asks of the store, where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.api.errors import BadRequest
from inference.api.responses_api.body.request import ResponseRequest

if TYPE_CHECKING:
    from inference.api.left_out import LeftOut
    from inference.api.responses_api.body.request import ResponseTask

#: Members that mean nothing without a store.
_NEED_A_STORE = ("previous_response_id", "conversation")


def check_storing(body: ResponseTask, left_out: LeftOut) -> None:
    """Refuse by name what needs stored responses. Raises BadRequest.

    A response that is to be stored is answered without, and that is said: OpenAI's
    clients ask for it by default.
    """
    for name in (*_NEED_A_STORE, "background"):
        if getattr(body, name, None):
            raise BadRequest(
                f"'{name}' needs stored responses, and this server stores none "
                "(api.store). Send the whole conversation as 'input'.",
                param=name,
                code="unsupported_parameter",
            )
    if isinstance(body, ResponseRequest) and body.store:
        left_out.add("store")
