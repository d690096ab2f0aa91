"""Base class and field types of the configuration's sections."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Section(BaseModel):
    """One section of the configuration; immutable.

    Unknown keys are ignored, since the environment may contain variables that only
    look like ours. ``config.reading`` refuses them in the file.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        allow_inf_nan=False,
    )


def _as_choice(value: Any) -> Any:
    # YAML 1.1 reads a bare on or off as a boolean.
    if isinstance(value, bool):
        return "on" if value else "off"
    return value.lower() if isinstance(value, str) else value


def _as_folder(value: Any) -> Any:
    if isinstance(value, (str, Path)):
        return Path(value).expanduser().absolute()
    return value


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


#: For a Literal: upper and lower case are the same.
AnyCase = BeforeValidator(_as_choice)
#: A folder's absolute path; `~` is the home of the user that runs the server.
Folder = Annotated[Path, BeforeValidator(_as_folder)]
#: For a tuple: YAML has lists.
FromList = BeforeValidator(_as_tuple)
Seconds = Annotated[int, Field(ge=1, le=86_400)]
Texts = Annotated[tuple[str, ...], FromList]
