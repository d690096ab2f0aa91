"""HTTP to strangers: which hosts and addresses may be connected to.

A name is resolved once, its addresses are checked, and the connection is made to one of
those: a name that answers otherwise the next time gains nothing. Every redirect passes
here again. Where connections are kept, so are addresses that were checked, for a while.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx2

from llm_manager.lib.processes.fair_threads import FairThreads
from registry.hub.async_transport import AsyncTransport
from registry.hub.errors import AddressRefused, BrokenConnection, NameServerAway

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
    #: Returns the addresses of a host. Raises OSError.
    Resolve = Callable[[str, int], Sequence[str]]
    _Finding = asyncio.Future[Sequence[str]]

_CONNECT_TIMEOUT_S = 10.0
#: Without a byte for so long, a connection counts as broken.
_READ_TIMEOUT_S = 20.0
_MAX_REDIRECTS = 10
#: IPv6 addresses that carry an IPv4 address in their last 32 bits: NAT64 (RFC 6052).
#: In the block for local use (RFC 8215) an operator chooses where they stand, so no
#: address of that one is known to be public.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
#: IANA gives public IPv6 addresses out of this block only. The library calls fec0::/10
#: global too, the addresses of sites (RFC 3879).
_PUBLIC_IPV6 = ipaddress.ip_network("2000::/3")


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """Whom downloads, or other fetches for strangers, may connect to.

    ``hosts``: names, ``*.name`` with all below it; empty permits any.
    ``is_private_permitted``: addresses that are not of the public internet, and http.
    ``private_hosts``: the same for these hosts only. ``section`` of the configuration
    has them.
    """

    hosts: tuple[str, ...] = ()
    is_private_permitted: bool = False
    private_hosts: tuple[str, ...] | None = None
    section: str = "downloads"

    def check_url(self, scheme: str, host: str) -> None:
        """Raise AddressRefused for what no address has to be known of."""
        if scheme != "https" and not (scheme == "http" and self._is_private(host)):
            raise AddressRefused(
                f"'{scheme}://{host}' is refused: only https is permitted "
                f"({self._setting})."
            )
        if self.hosts and not any(host_matches(host, each) for each in self.hosts):
            raise AddressRefused(
                f"The host '{host}' is refused: it is not in the list of hosts that "
                f"files may come from ({self.section}.hosts)."
            )

    def check_address(self, host: str, address: str) -> None:
        """Raise AddressRefused unless connections to this address are permitted."""
        if self._is_private(host) or is_public(address):
            return
        raise AddressRefused(
            f"The host '{host}' is refused: {address} is a private address "
            f"({self._setting})."
        )

    def _is_private(self, host: str) -> bool:
        """Whether a host may have a private address, and be spoken to by http."""
        if self.private_hosts is None:
            return self.is_private_permitted
        return any(host_matches(host, each) for each in self.private_hosts)

    @property
    def _setting(self) -> str:
        has_list = self.private_hosts is not None
        name = "private_hosts" if has_list else "private_addresses"
        return f"{self.section}.{name}"


def is_public(address: str) -> bool:
    """Return whether an IP address belongs to the public internet, for certain."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    return all(
        each.is_global
        and not (each.is_multicast or each.is_reserved)
        and (each.version == 4 or each in _PUBLIC_IPV6)
        for each in _with_embedded(ip)
    )


def _with_embedded(ip: IPAddress) -> list[IPAddress]:
    """Return an address and the IPv4 addresses that it may lead to."""
    if isinstance(ip, ipaddress.IPv4Address):
        return [ip]
    if ip.ipv4_mapped is not None:
        return [ip.ipv4_mapped]
    if ip in _NAT64:
        return [ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)]
    found: list[IPAddress] = [ip]
    if ip.sixtofour is not None:
        found.append(ip.sixtofour)
    if ip.teredo is not None:
        found += ip.teredo
    return found


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host, in the system's order. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


_resolving = FairThreads("resolving", threads=16)
#: A host that is asked again and again is resolved so often.
_KEPT_S = 30.0
#: No connection is kept: another host of the same address would get it unchecked.
_NO_KEEPING = httpx2.Limits(max_keepalive_connections=0)
_KEEPING = httpx2.Limits(
    max_connections=1000, max_keepalive_connections=1000, keepalive_expiry=60.0
)


class CheckedTransport(httpx2.BaseTransport):
    """Sends each request to an address that was checked.

    TLS goes on with the host's own name, so its certificate is checked as ever.
    """

    def __init__(self, policy: NetworkPolicy, resolve: Resolve = resolve) -> None:
        self._policy = policy
        self._resolve = resolve
        self._inner: httpx2.BaseTransport = httpx2.HTTPTransport(limits=_NO_KEEPING)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request. Raises AddressRefused and httpx2.TransportError."""
        failure: httpx2.TransportError | None = None
        for address in _addresses(request, self._policy, self._resolve):
            try:
                response = self._inner.handle_request(_sent_to(address, request))
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                failure = error
                continue
            if response.has_redirect_location:
                response.close()
                return _without_body(response)
            return response
        assert failure is not None  # noqa: S101 - there is an address
        raise failure

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()


class AsyncCheckedTransport(httpx2.AsyncBaseTransport):
    """Does as ``CheckedTransport``, so that a request can be cancelled at any point.

    ``keeps_connections``: for one host only, by HTTP/2 where it speaks that.
    """

    def __init__(
        self,
        policy: NetworkPolicy,
        resolve: Resolve = resolve,
        *,
        keeps_connections: bool = False,
    ) -> None:
        self._finder = _Finder(policy, resolve, _KEPT_S if keeps_connections else 0.0)
        self._inner: httpx2.AsyncBaseTransport = AsyncTransport(
            http2=keeps_connections,
            limits=_KEEPING if keeps_connections else _NO_KEEPING,
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request. Raises AddressRefused and httpx2.TransportError."""
        failure: httpx2.TransportError | None = None
        for address in await self._finder.addresses(request):
            sent = _sent_to(address, request)
            try:
                response = await self._inner.handle_async_request(sent)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                failure = error
                continue
            if response.has_redirect_location:
                await response.aclose()
                return _without_body(response)
            return response
        assert failure is not None  # noqa: S101 - there is an address
        self._finder.forget()
        raise failure

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


class _Finder:
    """Finds the addresses of requests, and keeps for ``kept_s`` what was checked.

    Requests for one host that come together wait for one answer.
    """

    def __init__(self, policy: NetworkPolicy, resolve: Resolve, kept_s: float) -> None:
        self._policy = policy
        self._resolve = resolve
        self._kept_s = kept_s
        #: By scheme, host and port: the addresses, and until when they hold.
        self._kept: dict[tuple[str, str, int | None], tuple[float, _Finding]] = {}

    async def addresses(self, request: httpx2.Request) -> Sequence[str]:
        """Return the addresses that a request may go to. Raises as ``_addresses``."""
        if not self._kept_s:
            return await self._find(request)
        url = request.url
        key, now = (url.scheme, url.host, url.port), time.monotonic()
        until, finding = self._kept.get(key, (0.0, None))
        if finding is None or now >= until or _has_failed(finding):
            finding = self._find(request)
            finding.add_done_callback(_has_failed)
            self._kept[key] = now + self._kept_s, finding
        # Who does not wait any more takes it from nobody else.
        return await asyncio.shield(finding)

    def forget(self) -> None:
        """Look again for all addresses: what was kept leads nowhere."""
        self._kept.clear()

    def _find(self, request: httpx2.Request) -> _Finding:
        # A name server may be silent for longer than the request is waited for.
        return asyncio.wrap_future(
            _resolving.submit(
                request.url.host,
                lambda: _addresses(request, self._policy, self._resolve),
            )
        )


def _has_failed(finding: _Finding) -> bool:
    """Whether it is over without addresses."""
    return finding.done() and (finding.cancelled() or finding.exception() is not None)


def _addresses(
    request: httpx2.Request, policy: NetworkPolicy, resolve: Resolve
) -> Sequence[str]:
    """Return the addresses that a request may go to.

    Raises AddressRefused, NameServerAway and BrokenConnection.
    """
    scheme, host = request.url.scheme, request.url.host
    policy.check_url(scheme, host)
    port = request.url.port or (443 if scheme == "https" else 80)
    try:
        addresses = resolve(host, port)
    except (OSError, UnicodeError) as error:
        is_away = isinstance(error, socket.gaierror) and (
            error.errno == socket.EAI_AGAIN
        )
        failure = NameServerAway if is_away else BrokenConnection
        raise failure(f"The host '{host}' cannot be found: {error}.") from None
    # All of them: one that is private says enough of the name.
    for address in addresses:
        policy.check_address(host, address)
    return addresses


def _sent_to(address: str, request: httpx2.Request) -> httpx2.Request:
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": request.url.host},
    )


def _without_body(redirect: httpx2.Response) -> httpx2.Response:
    """Return a redirect without its body, which the client would read to its end."""
    return httpx2.Response(
        redirect.status_code, headers={"location": redirect.headers["location"]}
    )


def checked_client(policy: NetworkPolicy, resolve: Resolve = resolve) -> httpx2.Client:
    """Return a client that connects to nobody but whom the policy permits.

    It follows redirects, each of them checked; a token stays with its first host. It
    uses no proxy: a proxy would resolve names itself, unchecked.
    """
    return httpx2.Client(
        transport=CheckedTransport(policy, resolve),
        follow_redirects=True,
        max_redirects=_MAX_REDIRECTS,
        timeout=httpx2.Timeout(_READ_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S),
        trust_env=False,
    )


def host_matches(host: str, permitted: str) -> bool:
    """Whether a host is the one that is permitted, or below ``*.`` of it."""
    host, permitted = host.lower().rstrip("."), permitted.lower()
    if permitted.startswith("*."):
        return host.endswith(permitted[1:])
    return host == permitted
