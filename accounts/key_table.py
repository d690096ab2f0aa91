"""Keys from a table in CSV, and the table of their secrets."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.expiry import expiry_parse
from accounts.models import ApiKey, Scope, Team
from accounts.models.allowed_networks import parse_networks
from accounts.services import api_key_create
from llm_manager.lib.tables.spreadsheet import as_text
from registry.models import Model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

#: The columns of a table; the first two must be there.
COLUMNS = (
    *("name", "owner", "team", "scopes", "models", "allowed_from"),
    *("rate_limit", "weight", "expires_at", "notes"),
)
#: The most keys of one table.
MAX_KEYS = 1000
#: In the column ``models``: all of them, also later ones.
ALL = "*"


class TableError(Exception):
    """What is wrong with a table, a sentence for each line at fault."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def keys_create(text: str, *, by: User | None) -> list[tuple[ApiKey, str]]:
    """Create a key for each line of a table, all of them or none.

    Returns the keys with their secrets. Several values of one field are between
    semicolons. Raises TableError.
    """
    lines = _lines(text)
    created, faults = [], []
    with transaction.atomic():
        for number, line in lines:
            try:
                with transaction.atomic():
                    created.append(_key(line, by))
            except ValidationError as error:
                faults.append(f"Line {number}: {_sentence(error)}")
        if faults:
            transaction.set_rollback(True)
    if faults:
        raise TableError(faults)
    return created


def secrets_table(created: Sequence[tuple[ApiKey, str]]) -> str:
    """Return a table of keys with their secrets."""
    output = io.StringIO()
    writer = csv.writer(output)
    writer.writerow(("name", "owner", "team", "prefix", "key"))
    for key, secret in created:
        team = str(key.team) if key.team else ""
        row = (key.name, key.owner.get_username(), team, key.prefix, secret)
        writer.writerow([as_text(cell) for cell in row])
    return output.getvalue()


def _lines(text: str) -> list[tuple[int, dict[str, str]]]:
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    try:
        header = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = header
        lines = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise TableError([f"This is no table in CSV: {error}."]) from None
    unknown = [name for name in header if name not in COLUMNS]
    if (
        unknown
        or not {"name", "owner"} <= set(header)
        or len(set(header)) < len(header)
    ):
        named = f"Unknown column: {', '.join(unknown)[:200]}. " if unknown else ""
        raise TableError(
            [
                f"{named}The first line must name the columns, each once: name and "
                f"owner, and perhaps {', '.join(COLUMNS[2:])}."
            ]
        )
    if not 0 < len(lines) <= MAX_KEYS:
        raise TableError([f"The table must have from 1 to {MAX_KEYS} keys."])
    longer = [number for number, row in lines if None in row or None in row.values()]
    if longer:
        raise TableError(
            [f"Line {longer[0]}: it must have {len(header)} fields, as the first one."]
        )
    return lines


def _key(line: dict[str, str], by: User | None) -> tuple[ApiKey, str]:
    cells = {name: (line.get(name) or "").strip() for name in COLUMNS}
    owner = User.objects.filter(username=cells["owner"], is_active=True).first()
    if owner is None:
        raise ValidationError({"owner": f"there is no user '{cells['owner']}'."})
    team = None
    if cells["team"]:
        team = Team.objects.filter(group__name=cells["team"]).first()
        if team is None:
            raise ValidationError({"team": f"there is no team '{cells['team']}'."})
    return api_key_create(
        name=cells["name"],
        owner=owner,
        team=team,
        scopes=_several(cells["scopes"]) or [Scope.INFERENCE],
        models=_models(cells["models"]),
        allowed_networks=_networks(cells["allowed_from"]),
        rate_limit=_number(cells["rate_limit"], "rate_limit", int, None),
        weight=_number(cells["weight"], "weight", float, 1.0),
        expires_at=_moment(cells["expires_at"]),
        notes=cells["notes"],
        created_by=by,
    )


def _several(cell: str) -> list[str]:
    return [part.strip() for part in cell.split(";") if part.strip()]


def _models(cell: str) -> list[Model] | None:
    if cell == ALL:
        return None
    names = _several(cell)
    if not names:
        raise ValidationError({"models": f"name models, or '{ALL}' for all of them."})
    found = {model.name: model for model in Model.objects.filter(name__in=names)}
    for name in names:
        if name not in found:
            raise ValidationError({"models": f"there is no model '{name}'."})
    return list(found.values())


def _networks(cell: str) -> list[str]:
    try:
        return parse_networks(cell.replace(";", " "))
    except ValidationError as error:
        raise ValidationError({"allowed_from": error.messages}) from None


def _number(cell: str, name: str, kind: type[Any], default: Any) -> Any:
    try:
        return kind(cell) if cell else default
    except ValueError:
        raise ValidationError({name: f"'{cell[:80]}' is no number."}) from None


def _moment(cell: str) -> datetime | None:
    if not cell:
        return None
    try:
        return expiry_parse(cell)
    except ValueError as error:
        raise ValidationError({"expires_at": f"'{cell[:80]}': {error}"}) from None


def _sentence(error: ValidationError) -> str:
    if not hasattr(error, "error_dict"):
        return " ".join(error.messages)
    return " ".join(
        f"{name}: {' '.join(messages)}" for name, messages in error.message_dict.items()
    )
