"""What is known of a request that an upstream answers, before it is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from inference.api.errors import BadRequest
from inference.api.forwarding.addresses import addresses_in
from inference.api.forwarding.texts import counted_requests
from inference.upstreams.answers import reader_of
from inference.upstreams.calling import UpstreamRequest
from inference.upstreams.parameters import forwarded, refused
from llm_manager.config.in_force import config
from llm_manager.lib.quoting import quote
from registry.hub.network import host_matches
from registry.models import Api

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inference.engine.request import ModelRequest
    from inference.upstreams.answers import Reader
    from registry.models import Upstream, UpstreamModel

#: Headers of Anthropic's clients that say what the body means.
_HEADERS = ("anthropic-version", "anthropic-beta")
#: Of responses: what only the server that stores them can do.
_STORED = ("previous_response_id", "conversation", "background")


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A request for an upstream's model.

    ``requests`` are what limits count of it. ``shows_usage``: the client has asked for
    the usage of a stream.
    """

    request: UpstreamRequest
    public_name: str
    requests: Sequence[ModelRequest]
    is_stream: bool
    shows_usage: bool
    n: int

    def reader(self) -> Reader:
        """Return what reads the answer."""
        return reader_of(self.request.api, self.n)


def forwarded_request(
    model: UpstreamModel, api: str, body: Mapping[str, Any], headers: Mapping[str, str]
) -> Forwarded:
    """Return a valid body's request to an upstream.

    Raises BadRequest for what the upstream's model does not take.
    """
    upstream = model.upstream
    if api not in model.apis:
        raise BadRequest(
            f"The model '{model.name}' takes no requests of this kind: its upstream "
            f"'{upstream}' takes {_routes(model.apis)}.",
            param="model",
            code="model_without_api",
        )
    given = {name: value for name, value in body.items() if value is not None}
    fault = refused(given, api, upstream.dialect, model.refused_parameters)
    if fault is not None:
        raise BadRequest(
            f"The upstream '{upstream}' of the model '{model.name}' cannot take "
            f"'{quote(fault)}'; leave it out, or use another model.",
            param=fault,
            code="unsupported_parameter",
        )
    if api == Api.RESPONSES:
        _check_storing(given, model.name)
    _check_addresses(given, upstream)
    sent = forwarded(given, api, model.remote_name)
    options = given.get("stream_options")
    asked = isinstance(options, dict) and bool(options.get("include_usage"))
    requests = counted_requests(given, api)
    return Forwarded(
        UpstreamRequest(
            upstream,
            api,
            model.remote_name,
            sent,
            {name: headers[name] for name in _HEADERS if name in headers}
            if api == Api.MESSAGES
            else {},
        ),
        public_name=model.name,
        requests=requests,
        is_stream=bool(given.get("stream")),
        shows_usage=asked,
        n=len(requests),
    )


def _check_storing(given: Mapping[str, Any], name: str) -> None:
    """Refuse what needs stored responses. Raises BadRequest."""
    if given.get("store") is not False:
        raise BadRequest(
            f"The model '{name}' is an upstream's, whose responses are not stored "
            "here: send 'store': false.",
            param="store",
            code="unsupported_parameter",
        )
    for member in _STORED:
        if given.get(member):
            raise BadRequest(
                f"'{member}' needs stored responses, and those of the upstream's model "
                f"'{name}' are not stored here. Send the whole conversation as "
                "'input'.",
                param=member,
                code="unsupported_parameter",
            )


def _check_addresses(given: Mapping[str, Any], upstream: Upstream) -> None:
    """Refuse addresses that an upstream inside the network would fetch from there.

    Those of ``media.hosts`` may be fetched. Raises BadRequest.
    """
    settings = config()
    host = urlsplit(upstream.base_url).hostname or ""
    if not any(host_matches(host, each) for each in settings.upstreams.private_hosts):
        return
    for address in addresses_in(given):
        named = urlsplit(address).hostname or ""
        if not any(host_matches(named, each) for each in settings.media.hosts):
            raise BadRequest(
                f"The upstream '{upstream}' is inside the network of this server, and "
                f"would fetch '{quote(address)}' from there. Send the content itself "
                "('data:'), or an address of a host that is permitted (media.hosts).",
                code="address_not_allowed",
            )


def _routes(apis: Sequence[str]) -> str:
    return ", ".join(f"/v1{Api(each).label}" for each in apis)
