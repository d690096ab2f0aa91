"""The listening socket that all web processes share."""

from __future__ import annotations

import errno
import ipaddress
import socket
from contextlib import suppress

from llm_manager.launcher.errors import StartupError

_BACKLOG = 1024


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises StartupError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError:
        raise StartupError(
            f"{host!r} is not an address of this machine; choose one with --host."
        ) from None
    sock = socket.socket(family, kind, protocol)
    try:
        # So that a restart need not wait for old connections to time out.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise StartupError(_why_not(host, port, error)) from None
    return sock


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} on {host} is in use; stop the other program, or choose "
            "another port with --port (make run PORT=…)."
        )
    if error.errno == errno.EACCES:
        return f"Port {port} needs root; choose one above 1023 with --port."
    return (
        f"Cannot listen on {host}, port {port} ({error.strerror}); choose another "
        "address with --host."
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to ``host``."""
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def reachable_host(host: str) -> str:
    """Return the address at which this machine reaches a server on ``host``."""
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        if address.is_unspecified:
            return "127.0.0.1" if address.version == 4 else "::1"
    return host


def accepts(address: tuple[str, int]) -> bool:
    """Whether something listens at the address."""
    with suppress(OSError), socket.create_connection(address, timeout=1):
        return True
    return False


def base_url(host: str, port: int) -> str:
    """Return the server's URL for a client on this machine."""
    host = reachable_host(host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
