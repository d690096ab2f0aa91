"""The models below a folder, read from their files' headers and found by name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from inference.local.model import LocalModel
from llm_manager.lib.quoting import quote
from registry.errors import (
    InvalidGGUF,
    InvalidLoadSetting,
    ModelNotFound,
    ModelNotServed,
)
from registry.gguf.architectures import why_not_alone
from registry.gguf.lora import reason_unfit
from registry.load_settings import LIVE_SETTINGS
from registry.model_facts import GENERATIVE
from registry.own_settings import own_settings, setting_faults
from registry.scan.files import read_headers
from registry.scan.naming import choose_name
from registry.scan.pairing import PairingCandidate, choose_projector
from registry.scan.scanner import KnownModel, scan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llm_manager.config.schema import Config
    from registry.scan.files import ReadModel

#: The most names that an error lists.
_LISTED = 20


@dataclass(frozen=True, slots=True)
class _Found:
    """What a scan found: models by name, and why other files are none."""

    models: Mapping[str, ReadModel]
    unusable: Mapping[str, str]


class ModelFolder:
    """The models below some folders, as they are now. Any thread may use it.

    A name is only ever compared with what a scan has found: none of them is a path that
    would be opened.
    """

    def __init__(self, roots: Sequence[Path], config: Config) -> None:
        self._roots = tuple(roots)
        self._config = config
        self._read: dict[str, ReadModel] = {}

    def models(self) -> list[LocalModel]:
        """Return all models that answer requests, without settings of their own."""
        found = self._scan()
        return [
            replace(self._model(name, read), projector=self._projector(name, found))
            for name, read in found.models.items()
            if not _reason(read)
        ]

    def find(self, name: str, given: Mapping[str, Any] | None = None) -> LocalModel:
        """Return the model with this name or file name, with the settings given.

        Raises ModelNotFound, ModelNotServed, InvalidLoadSetting.
        """
        own = own_settings(given or {})
        for setting in own:
            if setting in LIVE_SETTINGS:
                raise InvalidLoadSetting(
                    f"'{setting}' is for servers; here a program says itself when a "
                    "model is loaded and unloaded.",
                    param=f"config.{setting}",
                )
        found = self._scan()
        key = self._resolve(name, found)
        if reason := _reason(found.models[key]):
            raise ModelNotServed(f"The model '{key}' answers no requests. {reason}")
        draft, adapters = own.pop("draft_model", ""), own.pop("adapters", ())
        if draft:
            own.setdefault("draft", "model")
        model = LocalModel(
            name=key,
            read=found.models[key],
            config=self._config,
            own=own,
            draft_model=self._part(draft, found) if draft else None,
            projector=self._projector(key, found),
            attached=tuple(self._part(each, found) for each in adapters),
        )
        self._check(model)
        return model

    def _model(self, name: str, read: ReadModel) -> LocalModel:
        return LocalModel(name=name, read=read, config=self._config)

    def _part(self, name: str, found: _Found) -> LocalModel:
        """Return a file that is loaded with a model."""
        key = self._resolve(name, found)
        return self._model(key, found.models[key])

    def _projector(self, name: str, found: _Found) -> LocalModel | None:
        """Return the projector that belongs to a model, as a server's scan pairs it."""
        folder = Path(found.models[name].files.path).parent
        beside = {
            key: read
            for key, read in found.models.items()
            if Path(read.files.path).parent == folder
        }
        names = list(beside)
        rows = {key: _candidate(n, beside[key]) for n, key in enumerate(names)}
        kinds = {key: read.description.kind for key, read in beside.items()}
        models = [row for key, row in rows.items() if kinds[key] in GENERATIVE]
        projectors = [row for key, row in rows.items() if kinds[key] == "projector"]
        if rows[name] not in models:
            return None
        chosen = choose_projector(rows[name], projectors, models)
        if chosen is None:
            return None
        return self._model(names[chosen.pk], beside[names[chosen.pk]])

    def _check(self, model: LocalModel) -> None:
        """Refuse settings and parts that do not fit. Raises InvalidLoadSetting."""
        for name, reason in setting_faults(model).items():
            raise InvalidLoadSetting(reason, param=f"config.{name}")
        for index, adapter in enumerate(model.attached):
            try:
                headers = read_headers(adapter.paths)
                reason = reason_unfit(headers, read_headers(model.paths))
            except (InvalidGGUF, OSError) as error:
                reason = f"The adapter '{adapter.name}' cannot be read: {error}."
            if reason:
                raise InvalidLoadSetting(reason, param=f"config.adapters[{index}]")

    def _resolve(self, name: str, found: _Found) -> str:
        """Return the id of the model with this name. Raises ModelNotFound."""
        if name in found.models:
            return name
        form = normalize("NFC", name)
        matches = [
            key
            for key, read in found.models.items()
            if form in (key, normalize("NFC", Path(read.files.path).name))
        ]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise ModelNotFound(
                f"Several models have the name '{quote(name)}'; use an id: "
                f"{', '.join(sorted(matches))}."
            )
        for path, reason in found.unusable.items():
            if form in (Path(path).stem, Path(path).name):
                raise ModelNotFound(
                    f"The file of the model '{quote(name)}' cannot be used: {reason}."
                )
        raise ModelNotFound(
            f"The model '{quote(name)}' does not exist. {self.what_there_is(found)}"
        )

    def what_there_is(self, found: _Found | None = None) -> str:
        """Return which models there are, as a sentence."""
        found = found or self._scan()
        where = ", ".join(map(str, self._roots))
        names = [name for name, read in found.models.items() if not _reason(read)]
        if names:
            listed = ", ".join(names[:_LISTED])
            more = f" and {len(names) - _LISTED} more" if names[_LISTED:] else ""
            return f"In {where} there are: {listed}{more}."
        reasons = "; ".join(f"{path}: {why}" for path, why in found.unusable.items())
        return f"There is no model in {where}." + (f" ({reasons})" if reasons else "")

    def _scan(self) -> _Found:
        """Return what is there now; only files that have changed are read."""
        # Another thread may replace it meanwhile.
        before = self._read
        known = [
            KnownModel(
                pk=number,
                name="",
                paths=read.files.paths,
                size=read.files.size,
                mtime_ns=read.files.mtime_ns,
                fingerprint=read.fingerprint,
                is_found=True,
            )
            for number, read in enumerate(before.values())
        ]
        disk = scan(self._roots, known)
        kept = {files.path: before[files.path] for files in disk.unchanged}
        kept |= {read.files.path: read for read in disk.read}
        now = self._read = dict(sorted(kept.items()))
        models: dict[str, ReadModel] = {}
        for read in now.values():
            models[choose_name(read, models)] = read
        return _Found(models, {each.path: each.reason for each in disk.unusable})


def _candidate(number: int, read: ReadModel) -> PairingCandidate:
    basename = read.description.metadata.get("general.basename", "")
    return PairingCandidate(number, Path(read.files.path).stem, str(basename))


def _reason(read: ReadModel) -> str:
    """Return why a file answers no requests alone; "" if it does."""
    return why_not_alone(read.description.kind, read.description.architecture)
