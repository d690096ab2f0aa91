"""The base of the views of /v1/admin."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db.models import ProtectedError

from accounts.models import Scope
from inference.api.errors import BadRequest
from inference.api.responses import json_response
from inference.api.view import ApiView

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

    from django.http import HttpResponse
    from rest_framework.request import Request

    from inference.api.administration.bodies import ListQuery
    from inference.api.body.request_body import Body
    from inference.api.openapi.operations import Description

_Q = TypeVar("_Q", bound="Body")
#: The members of bodies that have other names than their columns.
_MEMBERS = {"group": "name", "days": "days"}


class AdminView(ApiView):
    """A view for keys of the scope "admin"; ``on`` has what each method does.

    That runs in a thread, with the request and the parts of its path.
    """

    required_scope = Scope.ADMIN
    http_method_names = ["get", "head", "post", "patch", "delete"]
    on: ClassVar[Mapping[str, Callable[..., Any]]]

    def prepare(self, request: Request) -> Any:
        """Return the answer. Raises BadRequest for what the rows' rules refuse."""
        method = "GET" if request.method == "HEAD" else request.method
        with _rules():
            return self.on[method or ""](request, **self.kwargs)


def answering(
    description: Description, *, status: int = 200
) -> Callable[[AdminView, Request, Any], Awaitable[HttpResponse]]:
    """Return a handler that answers with what ``prepare`` returned."""

    async def answer(view: AdminView, request: Request, payload: Any) -> HttpResponse:
        return json_response(payload, status=status)

    return description(answer)


def query_of(request: Request, kind: type[_Q]) -> _Q:
    """Return the query's parameters. Raises BadRequest."""
    return kind.parse(request.query_params.dict())


def page(query: ListQuery, rows: Any, describe: Callable[[Any], Any]) -> dict[str, Any]:
    """Return the first rows as a list's object."""
    limit = min(int(query.limit), 1000)
    found = list(rows[: limit + 1])
    return {
        "object": "list",
        "data": [describe(row) for row in found[:limit]],
        "has_more": len(found) > limit,
    }


@contextmanager
def _rules() -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        raise _refusal(error) from None
    except ProtectedError as error:
        raise BadRequest(str(error.args[0]), code="in_use") from None


def _refusal(error: ValidationError) -> BadRequest:
    if not hasattr(error, "error_dict"):
        return BadRequest(_sentence(error.messages))
    name, messages = next(iter(error.message_dict.items()))
    if name == NON_FIELD_ERRORS:
        return BadRequest(_sentence(messages))
    name = _MEMBERS.get(name, name)
    return BadRequest(f"Invalid value for '{name}': {_sentence(messages)}", param=name)


def _sentence(messages: Iterable[str]) -> str:
    return " ".join(messages)
