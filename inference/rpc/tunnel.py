"""A client's side of the tunnel: to ask an RPC server, and to hold it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from inference.rpc.errors import RpcRefused, RpcUnreachable
from inference.rpc.messages import (
    STATUS,
    Ask,
    RpcOffer,
    build,
)
from llm_manager.lib.tunnel.addresses import host_and_port
from llm_manager.lib.tunnel.certificate import client_tls
from llm_manager.lib.tunnel.closing import closed
from llm_manager.lib.tunnel.proofs import (
    is_proof,
    line,
    parsed,
    proof,
)

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

#: Connecting, TLS and the two messages may take this long together.
CONNECTS_WITHIN_S = 10.0
#: How much is buffered and passed on at once.
CHUNK = 256 * 1024


async def rpc_status(address: str, secret: str) -> RpcOffer:
    """Return what an RPC server offers now. Raises RpcUnreachable, RpcRefused."""
    _, writer, offer = await connect(address, secret, STATUS)
    await closed(writer)
    return offer


async def connect(
    address: str, secret: str, purpose: str, *, session: str = "", holder: str = ""
) -> tuple[StreamReader, StreamWriter, RpcOffer]:
    """Return a connection to an RPC server that has proved to know the secret.

    Raises RpcUnreachable, RpcRefused.
    """
    ask = Ask(purpose, build(), session, holder)
    try:
        async with asyncio.timeout(CONNECTS_WITHIN_S):
            return await _connect(address, secret, ask)
    except TimeoutError:
        reason = f"it did not answer within {CONNECTS_WITHIN_S:.0f} s"
    except OSError as error:
        # A name that nobody knows has no text of the system's.
        reason = str(error.strerror or error).lower()
    except (ValueError, EOFError):
        reason = "what answers there is no RPC server of LLM Manager"
    raise RpcUnreachable(f"The RPC server {address} cannot be reached: {reason}.")


async def _connect(
    address: str, secret: str, ask: Ask
) -> tuple[StreamReader, StreamWriter, RpcOffer]:
    host, port = host_and_port(address)
    reader, writer = await asyncio.open_connection(
        host, port, ssl=client_tls(), limit=CHUNK
    )
    try:
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        nonce = str((await _message(reader))["nonce"])
        given = proof(secret, "client", certificate, nonce, ask)
        writer.write(line(ask=asdict(ask), proof=given))
        await writer.drain()
        answer = await _message(reader)
        if "proof" not in answer:
            raise RpcRefused(
                f"The RPC server {address} has another secret than rpc.secret here."
            )
        if not is_proof(answer["proof"], secret, "server", certificate, nonce, ask):
            raise RpcRefused(
                f"What answers at {address} does not know the secret: it is no RPC "
                "server of yours, or somebody is in between."
            )
        if refused := answer.get("refused"):
            kind = RpcRefused if answer.get("is_final") else RpcUnreachable
            raise kind(f"The RPC server {address} refuses: {refused}")
        offer = answer["offer"]
        return reader, writer, RpcOffer(tuple(offer["devices"]), offer["holder"])
    except KeyError as error:
        await closed(writer)
        raise ValueError(f"no {error}") from None
    except BaseException:
        await closed(writer)
        raise


async def _message(reader: StreamReader) -> dict[str, Any]:
    """Return the next message. Raises ValueError, EOFError."""
    text = await reader.readline()
    if not text:
        raise EOFError
    return parsed(text)


async def pass_on(reader: StreamReader, writer: StreamWriter) -> bool:
    """Pass bytes on until one side ends; return whether the reader's ended by itself.

    If not, a connection is broken.
    """
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    except OSError:
        return False
    return True
