"""A model file with its settings, without a row."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from registry.gguf.memory_shape import MemoryShape
from registry.load_settings import setting_in_force, settings_in_force
from registry.model_facts import pooling_for, template_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_manager.config.schema import Config
    from registry.load_settings import LoadSettings
    from registry.scan.files import ReadModel


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalModel:
    """The facts of a file, as ``ModelFacts`` has them, and its own settings.

    ``own`` are its own settings, by the names of ``OwnSettings``; the configuration has
    the others. ``draft_model``, ``projector`` and ``attached`` are the files that it
    is loaded with.
    """

    name: str
    read: ReadModel
    config: Config
    own: Mapping[str, Any] = field(default_factory=dict)
    draft_model: LocalModel | None = None
    projector: LocalModel | None = None
    attached: tuple[LocalModel, ...] = ()
    is_found: bool = True
    is_enabled: bool = True
    #: Only rows know what requests needed.
    n_ctx_seen: None = None

    @property
    def kind(self) -> str:
        return self.read.description.kind

    @property
    def path(self) -> str:
        return self.read.files.path

    @property
    def paths(self) -> list[Path]:
        return [Path(path) for path in self.read.files.paths]

    @property
    def file_size(self) -> int:
        return self.read.files.size

    @property
    def fingerprint(self) -> str:
        return self.read.fingerprint

    @property
    def architecture(self) -> str:
        return self.read.description.architecture

    @property
    def quantization(self) -> str:
        return self.read.description.quantization

    @property
    def metadata(self) -> Mapping[str, Any]:
        return self.read.description.metadata

    @property
    def shape(self) -> MemoryShape | None:
        shape = self.read.description.memory_shape
        return MemoryShape.from_json(shape) if shape else None

    @property
    def parameter_count(self) -> int | None:
        return self.read.description.parameter_count

    @property
    def vocab_size(self) -> int | None:
        return self.read.description.vocab_size

    @property
    def context_length(self) -> int | None:
        return self.read.description.context_length

    @property
    def embedding_length(self) -> int | None:
        return self.read.description.embedding_length

    @property
    def head_count(self) -> int | None:
        return self.read.description.head_count

    @property
    def kv_elements_per_token(self) -> int | None:
        return self.read.description.kv_elements_per_token

    @property
    def supports_infill(self) -> bool:
        return self.read.description.supports_infill

    @property
    def n_ctx(self) -> int | None:
        return self.own.get("n_ctx")

    @property
    def n_seq_max(self) -> int | None:
        return self.own.get("n_seq_max")

    @property
    def max_tokens(self) -> int | None:
        return self.own.get("max_tokens")

    @property
    def temperature(self) -> float | None:
        return self.own.get("temperature")

    @property
    def top_p(self) -> float | None:
        return self.own.get("top_p")

    @property
    def top_k(self) -> int | None:
        return self.own.get("top_k")

    @property
    def min_p(self) -> float | None:
        return self.own.get("min_p")

    @property
    def repeat_penalty(self) -> float | None:
        return self.own.get("repeat_penalty")

    @property
    def output_parser_override(self) -> str:
        return str(self.own.get("output_parser_override", ""))

    @property
    def pooling_type(self) -> str:
        return str(self.own.get("pooling_type", ""))

    @property
    def pooling_in_force(self) -> str:
        return pooling_for(self.kind, self.setting_in_force("pooling_type"))

    def template_in_force(self, *, is_for_tools: bool = False) -> str:
        return template_for(
            self.own.get("template_override", ""),
            self.read.description.chat_template,
            self.metadata,
            is_for_tools=is_for_tools,
        )

    def setting_in_force(self, name: str) -> Any:
        return setting_in_force(name, self.config, SimpleNamespace(**self.own))

    def settings_in_force(self) -> LoadSettings:
        return settings_in_force(self.config, SimpleNamespace(**self.own))

    def tested_context(self, hardware: dict[str, Any] | None = None) -> None:
        """Return None: only rows know what tests found."""

    def adapters(self) -> tuple[LocalModel, ...]:
        return self.attached
