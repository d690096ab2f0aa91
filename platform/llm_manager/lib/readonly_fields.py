"""Read-only fields of admin pages that say what holds where nothing is set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import Field, Model


def shown_as(model: type[Model], name: str, text: Callable[[Any], str]) -> Any:
    """Return a read-only field in the place of the model's field ``name``.

    It has that field's label and help, and shows ``text(row)``. It goes into an
    admin's fieldsets, where Django takes functions as well as names.
    """

    def field(row: Any) -> str:
        return text(row)

    # Django finds the help text by the function's name.
    field.__name__ = name
    column = cast("Field[Any, Any]", model._meta.get_field(name))
    field.short_description = column.verbose_name  # type: ignore[attr-defined]
    return field


def with_fields(fieldsets: Any, replaced: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Return an admin's fieldsets with the fields in ``replaced`` in their places."""

    def line(fields: Any) -> Any:
        if isinstance(fields, (list, tuple)):
            return tuple(line(each) for each in fields)
        return replaced.get(fields, fields) if isinstance(fields, str) else fields

    return [
        (title, {**options, "fields": line(options["fields"])})
        for title, options in fieldsets
    ]


def without_field(fieldsets: Any, name: str) -> list[tuple[Any, Any]]:
    """Return an admin's fieldsets without a field."""

    def line(fields: Any) -> Any:
        if isinstance(fields, (list, tuple)):
            return tuple(line(each) for each in fields if each != name)
        return fields

    return [
        (title, {**options, "fields": line(options["fields"])})
        for title, options in fieldsets
    ]
