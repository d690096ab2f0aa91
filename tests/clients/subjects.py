"""The tasks of the clients: small enough for a small model."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

CAPITAL = "Name the capital of France."
WEATHER = "What is the weather in Paris?"
PERSON = "Alice is 30 years old. Answer in JSON."
STORY = "Write a very long story."


class Person(BaseModel):
    """Somebody whose name and age are known."""

    # A model this small would go on with members of its own.
    model_config = ConfigDict(extra="forbid")

    name: Literal["Alice", "Bob"]
    age: int = Field(ge=0, le=150)


City = Literal["Paris", "London", "Berlin"]


def said(text: str) -> list[Any]:
    """Return a conversation that begins with this."""
    return [{"role": "user", "content": text}]
