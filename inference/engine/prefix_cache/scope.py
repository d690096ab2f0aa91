"""The scope within which cached prefixes are shared."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from inference.engine.config.adapters import Adapters


class PrefixScope(NamedTuple):
    """A cached prefix is found only in the scope that it was computed in.

    ``owner`` keeps one owner's prefixes from another (vLLM's cache_salt); it is ""
    where all owners share them. Cells depend on the ``adapters``.
    """

    owner: str
    adapters: Adapters = ()
