"""What an OpenID Connect provider says of a user. Knows no Django."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Django's limit of a group's name.
MAX_NAME = 150
#: More groups than a person has; a claim with more is cut off there, and that is said.
MAX_GROUPS = 500


def groups_in(claims: Mapping[str, Any], name: str) -> list[str] | None:
    """Return the groups of a user, in order; None if the provider says nothing of them.

    The claim is in the ID token or in what the provider tells of the user. Raises
    ValueError if it is no list of names.
    """
    for part in ("id_token", "userinfo"):
        found = (claims.get(part) or {}).get(name)
        if found is None:
            continue
        groups = [found] if isinstance(found, str) else found
        if not isinstance(groups, list) or not all(
            isinstance(group, str) and 0 < len(group) <= MAX_NAME for group in groups
        ):
            raise ValueError(f"The claim '{name}' is no list of names.")
        if len(groups) > MAX_GROUPS:
            raise ValueError(f"The claim '{name}' has more than {MAX_GROUPS} groups.")
        return sorted(set(groups))
    return None
