"""Values of load settings that are lists, and how people write them."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator

#: llama_max_devices() of every build.
MAX_DEVICES = 16

#: A node's label: a word, or a name with a value.
_LABEL = re.compile(r"[A-Za-z0-9][\w./-]*(=[\w./-]+)?", re.ASCII)


def parse_split(shares: str) -> tuple[float, ...]:
    """Return the shares of the GPUs, written ``3,1``. Raises ValueError."""
    try:
        split = tuple(float(share) for share in shares.split(",") if share.strip())
    except ValueError:
        raise ValueError("The shares of the GPUs must be numbers, as in 3,1.") from None
    if not all(math.isfinite(share) and share >= 0 for share in split):
        raise ValueError("A GPU's share must be 0 or more.")
    if split and not any(split):
        raise ValueError("At least one GPU must have a share above 0.")
    if len(split) > MAX_DEVICES:
        raise ValueError(f"llama.cpp splits a model over at most {MAX_DEVICES} GPUs.")
    return split


def labels_in(text: str) -> frozenset[str]:
    """Return the labels that a text names, between commas. Raises ValueError."""
    labels = frozenset(each.strip() for each in text.split(",") if each.strip())
    for label in labels:
        if not _LABEL.fullmatch(label):
            raise ValueError(
                f"{label!r} is no label: they are written as gpu or zone=a, of "
                "letters, digits and . _ / -."
            )
    return labels


def _as_labels(value: Any) -> Any:
    if isinstance(value, list):
        value = ",".join(map(str, value))
    return ", ".join(sorted(labels_in(value))) if isinstance(value, str) else value


NodeLabels = Annotated[str, BeforeValidator(_as_labels)]


def as_shares(value: Any) -> Any:
    """Return the shares of a list or a text. Raises ValueError."""
    if isinstance(value, list):
        value = ",".join(str(share) for share in value)
    return parse_split(value) if isinstance(value, str) else value


#: A name or an IPv4 address, and a port.
_ADDRESS = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9])?:(\d{1,5})")


def parse_servers(servers: str) -> tuple[str, ...]:
    """Return the addresses of RPC servers, written ``10.0.0.2:50052, b:50052``.

    Raises ValueError.
    """
    found = tuple(each.strip() for each in servers.split(",") if each.strip())
    for each in found:
        match = _ADDRESS.fullmatch(each)
        if match is None or not 0 < int(match[1]) < 65_536:
            raise ValueError(
                f"An RPC server is a host and a port, as in 10.0.0.2:50052, not {each}."
            )
    if len(set(found)) < len(found):
        raise ValueError("An RPC server may be named once only.")
    if len(found) >= MAX_DEVICES:
        raise ValueError(f"A model uses at most {MAX_DEVICES - 1} RPC servers.")
    return found


def as_servers(value: Any) -> Any:
    """Return the servers of a list or a text. Raises ValueError."""
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        value = ",".join(value)
    return parse_servers(value) if isinstance(value, str) else value


#: Addresses of RPC servers: a list, or text with commas.
RpcServers = Annotated[tuple[str, ...], BeforeValidator(as_servers)]
#: The shares of the GPUs: a list, or text with commas.
GpuShares = Annotated[tuple[float, ...], BeforeValidator(as_shares)]
