"""REST framework's parser of JSON bodies."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.parsers import BaseParser

from inference.api.body.parsing_pool import malformed
from inference.api.body.strict_json import MalformedJSON, parse_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inference.api.body.incoming_body import IncomingBody

_UTF8 = ("utf-8", "utf8", "us-ascii", "ascii")


class StrictJSONParser(BaseParser):
    """Gives the value of a request's ``IncomingBody``, which must be JSON in UTF-8.

    A large or compressed body was parsed elsewhere before; then this returns its value.
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the value; of the stream nothing is read.

        Raises BadRequest or UnsupportedMediaType.
        """
        check_type(media_type or "")
        incoming: IncomingBody = (parser_context or {})["request"].incoming_body
        if not incoming.is_parsed:
            try:
                incoming.value = parse_json(incoming.data)
            except MalformedJSON as error:
                raise malformed(str(error)) from None
            incoming.is_parsed = True
        return incoming.value


def check_type(media_type: str) -> None:
    """Refuse what is not JSON in UTF-8. Raises UnsupportedMediaType."""
    kind, *parameters = media_type.split(";")
    # REST framework gives any parser a body that is declared as */*.
    if kind.strip().lower() != StrictJSONParser.media_type:
        raise UnsupportedMediaType(media_type)
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        charset = value.strip().strip('"').lower()
        if name.strip().lower() == "charset" and charset not in _UTF8:
            raise UnsupportedMediaType(media_type, "The body must be JSON in UTF-8.")
