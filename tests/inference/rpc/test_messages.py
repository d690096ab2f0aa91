"""Proofs that both sides of the tunnel know the secret."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from inference.rpc.addresses import why_not_listen
from inference.rpc.messages import (
    SESSION,
    STATUS,
    Ask,
    ask_of,
    build,
)
from llm_manager.lib.tunnel.proofs import (
    is_proof,
    line,
    parsed,
    proof,
)

SECRET = "s" * 32
ASK = Ask(STATUS, build())


def test_a_proof_holds_for_one_request_of_one_connection() -> None:
    given = proof(SECRET, "client", b"cert", "nonce", ASK)
    assert is_proof(given, SECRET, "client", b"cert", "nonce", ASK)
    for other in (
        ("t" * 32, "client", b"cert", "nonce", ASK),
        (SECRET, "server", b"cert", "nonce", ASK),
        (SECRET, "client", b"other certificate", "nonce", ASK),
        (SECRET, "client", b"cert", "other nonce", ASK),
        (SECRET, "client", b"cert", "nonce", replace(ASK, purpose=SESSION)),
        (SECRET, "client", b"cert", "nonce", replace(ASK, build="older")),
        (SECRET, "client", b"cert", "nonce", Ask(STATUS, build())),
    ):
        assert not is_proof(given, *other)


@pytest.mark.parametrize("given", [None, 7, "", "ä", "\ud800", ["x"]])
def test_what_is_no_proof_is_none(given: object) -> None:
    assert not is_proof(given, SECRET, "client", b"cert", "nonce", ASK)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b'{"ask": []}',
        b'{"ask": {"purpose": "status"}}',
        line(ask={**asdict(ASK), "holder": 1}),
        line(ask={**asdict(ASK), "more": ""}),
        b"\xff\xfe",
        b"[" * 200_000,
    ],
)
def test_a_request_that_is_none_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        ask_of(parsed(text))


def test_a_request_is_read_as_it_was_written() -> None:
    assert ask_of(parsed(line(ask=asdict(ASK), proof=""))) == ASK


@pytest.mark.parametrize("host", ["127.0.0.1", "10.1.2.3", "192.168.0.7", "::1"])
def test_a_server_listens_on_private_addresses(host: str) -> None:
    assert why_not_listen(host) == ""


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("0.0.0.0", "every network"),  # noqa: S104 - it is refused
        ("::", "every network"),
        ("8.8.8.8", "public address"),
        ("node-b", "no IP address"),
    ],
)
def test_a_server_is_never_open_to_other_networks(host: str, reason: str) -> None:
    assert reason in why_not_listen(host)
