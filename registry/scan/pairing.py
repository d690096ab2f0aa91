"""Which vision projector belongs to which language model of the same folder.

Neither header names the other, so what both are called has to do: the name in
the header (``general.basename``) or the words of the file name.
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
# 7b and v1.5 are words; "7b.q4" are two.
_WORD = re.compile(r"[a-z0-9]+(?:\.\d+[a-z0-9]*)*")
# What says nothing about which model it is.
_PRECISIONS = frozenset({"bf16", "f16", "f32", "fp16", "fp32", "mxfp4", "nvfp4"})
_NOISE = frozenset(
    {"clip", "gguf", "i1", "imat", "imatrix", "mmproj", "model", "proj", "vision"}
)
# Of several projectors of one model: exact, small and run by every back end.
_PREFERRED = ("f16", "bf16", "q8_0", "f32")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A projector or a language model, by the id of its row."""

    pk: int
    stem: str
    basename: str = ""


def choose_projector(
    model: Candidate, projectors: Iterable[Candidate], models: Sequence[Candidate]
) -> Candidate | None:
    """Return the projector of ``model``, or None rather than a doubtful one.

    ``projectors`` and ``models`` are those of the folder. A projector fits
    where its name says nothing that the model's does not; one without a name
    fits where all models of the folder are one model.
    """
    fitting = [each for each in projectors if _fits(each, model, models)]
    return min(fitting, key=lambda each: _rank(each, model), default=None)


def words(name: str) -> frozenset[str]:
    """Return the words of a name that tell models apart."""
    name = _QUANTIZATION.sub("", name.lower())
    return frozenset(_WORD.findall(name)) - _NOISE - _PRECISIONS


def _fits(projector: Candidate, model: Candidate, models: Sequence[Candidate]) -> bool:
    if of_name := words(projector.stem):
        return of_name <= _words(model)
    # A base name has no size, so it may be that of several models.
    of_header = words(projector.basename)
    alike = {words(each.stem) for each in models if of_header <= _words(each)}
    return of_header <= _words(model) and len(alike) == 1


def _words(model: Candidate) -> frozenset[str]:
    return words(model.stem) | words(model.basename)


def _rank(projector: Candidate, model: Candidate) -> tuple[int, int, str]:
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
