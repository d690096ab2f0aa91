"""Which hosts and addresses downloads connect to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
import pytest

from registry.hub.errors import AddressRefused, BrokenConnection
from registry.hub.network import (
    CheckedTransport,
    NetworkPolicy,
    checked_client,
    is_public,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.registry.hub.hub_server import FakeHub

PUBLIC = "93.184.216.34"


class Sent(httpx2.BaseTransport):
    """The network: notes where requests go; ``answers`` are given in turn."""

    def __init__(self, *answers: httpx2.Response | Exception) -> None:
        self.requests: list[httpx2.Request] = []
        self.answers = list(answers)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else httpx2.Response(200)
        if isinstance(answer, Exception):
            raise answer
        return answer


def client(
    names: Mapping[str, Sequence[str]], sent: Sent, policy: NetworkPolicy | None = None
) -> httpx2.Client:
    """Return a client in a world with these names."""
    transport = CheckedTransport(
        policy or NetworkPolicy(), lambda host, _port: list(names[host])
    )
    transport._inner = sent
    return httpx2.Client(transport=transport, follow_redirects=True)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",  # noqa: S104
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00::1",
        "fec0::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::a00:1",
        # 10.0.0.1, then what looks like another address.
        "64:ff9b:1:a00:0:100:808:808",
        "2002:7f00:1::",
    ],
)
def test_what_is_not_of_the_internet_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", [PUBLIC, "2606:2800:220:1::1", "::ffff:8.8.8.8"])
def test_what_is_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


def test_the_connection_goes_to_the_checked_address_with_the_hosts_name() -> None:
    sent = Sent()
    client({"hub.test": [PUBLIC]}, sent).get("https://hub.test:8443/x")
    (request,) = sent.requests
    assert str(request.url) == f"https://{PUBLIC}:8443/x"
    assert request.headers["Host"] == "hub.test:8443"
    assert request.extensions["sni_hostname"] == "hub.test"


def test_a_name_with_a_private_address_is_refused_though_it_has_a_public_one() -> None:
    sent = Sent()
    with pytest.raises(AddressRefused, match=r"10\.0\.0\.1 is a private address"):
        client({"hub.test": [PUBLIC, "10.0.0.1"]}, sent).get("https://hub.test/x")
    assert sent.requests == []


def test_a_redirect_to_a_name_with_a_private_address_is_refused() -> None:
    moved = httpx2.Response(302, headers={"Location": "https://inside.test/x"})
    sent = Sent(moved)
    names = {"hub.test": [PUBLIC], "inside.test": ["192.168.0.7"]}
    with pytest.raises(AddressRefused, match=r"192\.168\.0\.7 is a private address"):
        client(names, sent).get("https://hub.test/x")
    assert len(sent.requests) == 1


def test_a_name_is_resolved_once_so_that_it_cannot_answer_otherwise() -> None:
    answers = [[PUBLIC], ["127.0.0.1"]]
    transport = CheckedTransport(NetworkPolicy(), lambda *_: answers.pop(0))
    sent = Sent()
    transport._inner = sent
    httpx2.Client(transport=transport).get("https://rebinding.test/x")
    assert [each.url.host for each in sent.requests] == [PUBLIC]
    assert answers == [["127.0.0.1"]]


def test_the_next_address_is_tried_where_one_does_not_answer() -> None:
    sent = Sent(httpx2.ConnectError("refused"))
    found = client({"hub.test": [PUBLIC, "8.8.8.8"]}, sent).get("https://hub.test/")
    assert found.status_code == 200
    assert [each.url.host for each in sent.requests] == [PUBLIC, "8.8.8.8"]


@pytest.mark.parametrize("url", ["http://hub.test/x", "https://127.0.0.1/x"])
def test_http_and_addresses_of_this_machine_are_refused(url: str) -> None:
    with pytest.raises(AddressRefused, match=r"downloads\.private_addresses"):
        checked_client(NetworkPolicy()).get(url)


@pytest.mark.parametrize(
    ("host", "is_permitted"),
    [
        ("huggingface.co", True),
        ("HuggingFace.co", True),
        ("cdn.hf.co", True),
        ("hf.co", False),
        ("evilhf.co", False),
        ("huggingface.co.evil.test", False),
    ],
)
def test_a_list_of_hosts_names_all_that_may_be_asked(
    host: str, is_permitted: bool
) -> None:
    policy = NetworkPolicy(hosts=("huggingface.co", "*.hf.co"))
    sent = Sent()
    asking = client({host.lower(): [PUBLIC]}, sent, policy)
    if is_permitted:
        asking.get(f"https://{host}/x")
    else:
        with pytest.raises(AddressRefused, match=r"downloads\.hosts"):
            asking.get(f"https://{host}/x")
    assert len(sent.requests) == is_permitted


def test_a_host_that_cannot_be_found_is_said(hub: FakeHub) -> None:
    with pytest.raises(BrokenConnection, match="cannot be found"):
        checked_client(NetworkPolicy()).get("https://no-such-host.invalid/x")
