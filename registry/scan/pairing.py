"""Pairs vision projectors with the language models of the same folder.

Neither header names the other, so names have to match: the header's
``general.basename`` or the words of the file names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_QUANTIZATION = re.compile(
    r"(?:^|(?<=[-_. ]))(?:ud[-_])?(?:i?q|tq)\d(?:_[a-z0-9]+)*(?=$|[-. ])"
)
# 7b and v1.5 are single words; 7b.q4 is two.
_WORD = re.compile(r"[a-z0-9]+(?:\.\d+[a-z0-9]*)*")
# Words that do not identify a model.
_PRECISIONS = frozenset({"bf16", "f16", "f32", "fp16", "fp32", "mxfp4", "nvfp4"})
_NOISE = frozenset(
    {"clip", "gguf", "i1", "imat", "imatrix", "mmproj", "model", "proj", "vision"}
)
# Of several projectors of one model: precise, small and supported by every back end.
_PREFERRED = ("f16", "bf16", "q8_0", "f32")


@dataclass(frozen=True, slots=True)
class PairingCandidate:
    """A projector or a language model; ``pk`` is the id of its row."""

    pk: int
    stem: str
    basename: str = ""


def choose_projector(
    model: PairingCandidate,
    projectors: Iterable[PairingCandidate],
    models: Sequence[PairingCandidate],
) -> PairingCandidate | None:
    """Return the projector of ``model``, or None if none fits for certain.

    ``projectors`` and ``models`` are those of the folder. A projector fits if all
    words of its name are in the model's name. One without such words fits if all
    models of the folder are variants of one model.
    """
    fitting = [each for each in projectors if _fits(each, model, models)]
    return min(fitting, key=lambda each: _rank(each, model), default=None)


def words(name: str) -> frozenset[str]:
    """Return the words of a name that identify a model."""
    name = _QUANTIZATION.sub("", name.lower())
    return frozenset(_WORD.findall(name)) - _NOISE - _PRECISIONS


def _fits(
    projector: PairingCandidate,
    model: PairingCandidate,
    models: Sequence[PairingCandidate],
) -> bool:
    if of_name := words(projector.stem):
        return of_name <= _words(model)
    # A base name has no size, so several models may share it.
    of_header = words(projector.basename)
    alike = {words(each.stem) for each in models if of_header <= _words(each)}
    return of_header <= _words(model) and len(alike) == 1


def _words(model: PairingCandidate) -> frozenset[str]:
    return words(model.stem) | words(model.basename)


def _rank(projector: PairingCandidate, model: PairingCandidate) -> tuple[int, int, str]:
    """Return a sort key: most words in common, then the preferred precision."""
    common = words(projector.stem) & words(model.stem)
    name = projector.stem.lower()
    precision = next(
        (
            number
            for number, each in enumerate(_PREFERRED)
            if re.search(rf"(?<![a-z0-9]){each}(?![a-z0-9])", name)
        ),
        len(_PREFERRED),
    )
    return (-len(common), precision, name)
