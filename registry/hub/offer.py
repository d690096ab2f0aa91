"""What a repository offers: models by quantization, with shards and projector."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from llm_manager.lib.quoting import printable, quote
from registry.hub.errors import HostilePath, NoSuchFile
from registry.hub.paths import SUFFIX, checked_path
from registry.scan.files import group_files
from registry.scan.folders import FoundFile
from registry.scan.pairing import PairingCandidate, choose_projector

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: As file names write it: Q4_K_M, UD-Q4_K_XL, IQ2_XXS, TQ1_0, BF16, MXFP4_MOE.
_QUANTIZATION = re.compile(
    r"(?<![A-Za-z0-9])((?:UD-)?(?:I?Q\d+(?:_[A-Z0-9]+)*|TQ\d_\d|B?F16|FP16|F32|FP32|"
    r"MXFP4(?:_MOE)?|NVFP4))(?![A-Za-z0-9])",
    re.IGNORECASE,
)
#: What is taken where nobody says, as llama.cpp does for its `-hf`.
_USUAL = ("Q4_K_M", "Q8_0")
_PROJECTOR = "mmproj"
#: Data for quantizing, which is in some repositories: no model.
_IMPORTANCE = "imatrix"


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository: its path there, its bytes, its sha256 ("": unknown)."""

    path: str
    size: int
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """One model of a repository: its files, shards in order, and its projector."""

    stem: str
    quantization: str
    files: tuple[HubFile, ...]
    projector: HubFile | None = None

    @property
    def path(self) -> str:
        """The file, or the first shard."""
        return self.files[0].path

    @property
    def size(self) -> int:
        """Bytes of all files, with the projector."""
        return sum(file.size for file in self.all_files)

    @property
    def all_files(self) -> tuple[HubFile, ...]:
        """Everything that is downloaded."""
        return self.files if self.projector is None else (*self.files, self.projector)


@dataclass(frozen=True, slots=True)
class Offer:
    """The models of a repository, small ones first, and why other files are none."""

    repo: str
    commit: str
    choices: tuple[ModelChoice, ...]
    left_out: tuple[tuple[str, str], ...] = ()


def make_offer(repo: str, commit: str, files: Iterable[HubFile]) -> Offer:
    """Return what a repository offers. Files with hostile names are left out."""
    found, projectors, left_out = {}, [], []
    for file in files:
        if not file.path.lower().endswith(SUFFIX):
            continue
        name = file.path.rpartition("/")[2].lower()
        try:
            checked_path(file.path)
        except HostilePath as error:
            left_out.append((printable(quote(file.path)), str(error)))
            continue
        if _IMPORTANCE in name:
            left_out.append((file.path, "It is data for quantizing, no model."))
        elif _PROJECTOR in name:
            projectors.append(file)
        else:
            found[file.path] = file
    models, incomplete = group_files(
        FoundFile(file.path, file.size, 0) for file in found.values()
    )
    left_out += [(each.path, f"{each.reason}.") for each in incomplete]
    stems = [model.stem for model in models]
    choices = [
        ModelChoice(
            model.stem,
            _quantization(model.path),
            tuple(found[path] for path in model.paths),
            _projector(model.stem, projectors, stems),
        )
        for model in models
    ]
    choices.sort(key=lambda choice: (choice.size, choice.path))
    return Offer(repo, commit, tuple(choices), tuple(left_out))


def choose(offer: Offer, wanted: str) -> ModelChoice:
    """Return the model that is wanted: by its quantization or a file of it.

    "" is the usual quantization, or the only model. Raises NoSuchFile, which names
    what there is.
    """
    if not offer.choices:
        raise NoSuchFile(f"'{offer.repo}' has no {SUFFIX} files of a model.")
    if not wanted:
        for usual in _USUAL:
            found = [each for each in offer.choices if each.quantization == usual]
            if len(found) == 1:
                return found[0]
        if len(offer.choices) == 1:
            return offer.choices[0]
        raise NoSuchFile(
            f"'{offer.repo}' has several models; name one: {_names(offer.choices)}."
        )
    found = [each for each in offer.choices if _is_named(each, wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        paths = ", ".join(each.path for each in found)
        raise NoSuchFile(f"'{wanted}' are several models; name a file: {paths}.")
    raise NoSuchFile(
        f"'{offer.repo}' has no '{printable(quote(wanted))}'; it has: "
        f"{_names(offer.choices)}."
    )


def is_named(path: str, wanted: str) -> bool:
    """Return whether a file, its name, its stem or its quantization is wanted."""
    file = PurePosixPath(path)
    is_quantization = wanted.lower() == _quantization(path).lower()
    return wanted in (path, file.name, file.stem) or is_quantization


def _is_named(choice: ModelChoice, wanted: str) -> bool:
    return wanted == choice.stem or any(
        is_named(file.path, wanted) for file in choice.files
    )


def _names(choices: Sequence[ModelChoice]) -> str:
    quantizations = [each.quantization for each in choices]
    is_clear = all(quantizations) and len(set(quantizations)) == len(quantizations)
    return ", ".join(quantizations if is_clear else [each.path for each in choices])


def _quantization(path: str) -> str:
    """Return the last quantization in a file's name, else in its folder's, or ""."""
    for part in reversed(path.split("/")):
        if found := _QUANTIZATION.findall(part):
            return str(found[-1]).upper()
    return ""


def _projector(
    stem: str, projectors: Sequence[HubFile], stems: Sequence[str]
) -> HubFile | None:
    """Return the projector that a scan would pair with a model in one folder."""
    number = choose_projector(
        PairingCandidate(0, stem),
        [
            PairingCandidate(number, PurePosixPath(file.path).stem)
            for number, file in enumerate(projectors)
        ],
        [PairingCandidate(0, each) for each in stems],
    )
    return None if number is None else projectors[number.pk]
