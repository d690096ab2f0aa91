"""Which addresses an upstream may have, and its key at rest."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from registry.hub.errors import AddressRefused
from registry.hub.network import AsyncCheckedTransport
from registry.upstreams.addresses import base_url_fault, upstream_policy
from registry.upstreams.sealing import KeyUnreadable, seal, unseal


@pytest.mark.parametrize(
    "url", ["https://api.example.org/v1", "http://gpu-1:8000/v1", "http://10.0.0.5/v1"]
)
def test_public_hosts_by_https_and_listed_ones_may_be_upstreams(url: str) -> None:
    assert base_url_fault(url, ("gpu-1", "10.0.0.5")) == ""


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.org/v1",
        "http://127.0.0.1:6379",
        "https://10.0.0.1/v1",
        "https://[::1]/v1",
        "ftp://gpu-1/",
        "https://user:secret@api.example.org",
        "https://api.example.org/v1?x=1",
        "https://[",
        "gpu-1",
    ],
)
def test_other_addresses_are_refused(url: str) -> None:
    assert base_url_fault(url, ("gpu-1",))


async def _get(url: str, private: tuple[str, ...], *addresses: str) -> Any:
    transport = AsyncCheckedTransport(
        upstream_policy(private), lambda *_: list(addresses), keeps_connections=True
    )
    async with httpx2.AsyncClient(transport=transport, trust_env=False) as client:
        return await asyncio.wait_for(client.get(url), 60)


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.0.0.1", "::1"])
async def test_a_public_name_with_a_private_address_is_not_connected_to(
    address: str,
) -> None:
    with pytest.raises(AddressRefused, match=r"upstreams\.private_hosts"):
        await _get("https://api.example.org/", ("gpu-1",), "93.184.216.34", address)


async def test_a_listed_name_is_connected_to_where_it_was_resolved_to() -> None:
    with pytest.raises(httpx2.ConnectError):
        await _get("http://gpu-1:1/", ("gpu-1",), "127.0.0.1")


def test_a_key_is_encrypted_at_rest(settings: Any) -> None:
    sealed = seal("sk-secret")
    assert "sk-secret" not in sealed
    assert unseal(sealed) == "sk-secret"
    assert seal("") == unseal("") == ""
    settings.SECRET_KEY = "another"
    with pytest.raises(KeyUnreadable):
        unseal(sealed)
