"""The keys of a GGUF header that begin with the model's architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from registry.gguf.header import GGUFHeader, Value


class ArchitectureKeys:
    """Reads ``<architecture>.<name>``: one value, or one per layer."""

    def __init__(self, header: GGUFHeader, architecture: str) -> None:
        self.architecture = architecture
        self._fields = header.fields

    def get(self, name: str) -> Value | None:
        """Return the value of a key, or None."""
        return self._fields.get(f"{self.architecture}.{name}")

    def numbers(self, name: str) -> list[int] | None:
        """Return one number, or one per layer; None if there is none."""
        value = self.get(name)
        numbers = list(value) if isinstance(value, tuple) else [value]
        if numbers and all(type(number) is int and number >= 0 for number in numbers):
            return [number for number in numbers if isinstance(number, int)]
        return None

    def per_layer(self, name: str, count: int, default: int = 0) -> list[int]:
        """Return a number for each of ``count`` layers."""
        numbers = self.numbers(name) or [default]
        if len(numbers) == 1:
            return numbers * count
        return (numbers + [default] * count)[:count]

    def flags(self, name: str) -> list[bool] | None:
        """Return a boolean per layer, or None if there is no such array."""
        value = self.get(name)
        if not isinstance(value, tuple):
            return None
        return [bool(item) for item in value]

    def integer(self, name: str, default: int = 0) -> int:
        """Return the number, or ``default``."""
        numbers = self.numbers(name)
        return numbers[0] if numbers and len(numbers) == 1 else default

    def heads_kv(self) -> list[int] | None:
        """Return the number of KV heads; if it is not stated, that of all heads."""
        return self.numbers("attention.head_count_kv") or self.numbers(
            "attention.head_count"
        )
