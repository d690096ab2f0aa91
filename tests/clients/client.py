"""A client under proof: what it is called, and what its users write to set it up."""

from __future__ import annotations

from dataclasses import dataclass, field
from textwrap import dedent
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.whole_server import Server

MODEL = "SmolLM2-135M-Instruct.Q4_1"
EMBEDDER = "all-MiniLM-L6-v2.Q8_0"
#: The same file in a folder: its id has slashes.
FOLDER_MODEL = f"acme/{MODEL}"
#: What an answer is not made by: the protocol, but a model of 135M parameters.
TOO_SMALL = "the model's, not the server's:"

_ADDRESS = "http://localhost:8000"
_KEY = "YOUR_KEY"


@dataclass(frozen=True, slots=True)
class Client:
    """A client as docs/clients.md describes it.

    ``setup`` is the text of that page and what the tests execute, so that the page
    cannot differ from what was proven. ``versions`` are those of ``packages`` that
    importlib.metadata does not know.
    """

    title: str
    packages: tuple[str, ...]
    setup: str
    language: str = "python"
    note: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """Return the lines that set it up, as the page shows them."""
        return dedent(self.setup).strip()

    def at(self, server: Server) -> str:
        """Return the lines that set it up for a server."""
        address = f"http://{server.host}:{server.port}"
        return self.text().replace(_ADDRESS, address).replace(_KEY, server.key)

    def names(self, server: Server) -> dict[str, Any]:
        """Execute the lines, which are Python; return what they define."""
        names: dict[str, Any] = {}
        exec(self.at(server), names)  # noqa: S102
        return names
