"""Models without a file: what other servers compute, and routes."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, ClassVar

from django.core.exceptions import ValidationError

from registry.models.kinds import FileState, Kind
from registry.models.model import Alias, Model

if TYPE_CHECKING:
    from collections.abc import Collection


#: Columns that are empty here, and of no file.
_OF_FILES = ("fingerprint", "architecture", "file_name")


class NamedModel(Model):
    """A row of ``Model`` that no scan writes and no worker loads.

    Keys, limits, aliases, prices and usage know it as any other model.
    """

    own_kind: ClassVar[Kind]

    class Meta:
        abstract = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.kind:
            return
        self.kind = self.own_kind
        self.state = FileState.FOUND
        # No file has such a path: every row has one of its own.
        self.path = f"{self.own_kind}:{uuid.uuid4()}"
        self.file_size = self.mtime_ns = 0
        self.fingerprint = ""
        self.architecture = ""

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the row; its "file" has its name, as no other model has."""
        self.file_name = self.name
        super().save(*args, **kwargs)

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
        """Check the columns but those of files. Raises ValidationError."""
        super().clean_fields({*(exclude or ()), *_OF_FILES})

    def clean(self) -> None:
        """Check the name. Raises ValidationError."""
        if not self.name.strip() or self.name != self.name.strip():
            raise ValidationError({"name": "Give it a name without blanks around it."})
        if Alias.objects.filter(name=self.name).exists():
            raise ValidationError({"name": "This name is an alias of a model."})
