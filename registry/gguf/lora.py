"""LoRA adapters: what their headers say, and whether one fits a model. Pure.

What does not fit is refused when it is attached, not when the model is loaded; the
rules are those of llama.cpp's llama_adapter_lora_init.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from registry.gguf.header import GGUFHeader, TensorInfo

_A, _B = ".lora_a", ".lora_b"
#: Its tokens are looked up where others are multiplied, so A and B are transposed.
_EMBEDDING = "token_embd.weight"
#: Marks an adapter that is to begin with certain tokens, not with the prompt.
_ACTIVATED = "adapter.alora.invocation_tokens"
_MAX_NAME = 64


def lora_rank(tensors: Iterable[TensorInfo]) -> int | None:
    """Return the largest rank of an adapter's matrices, None if it has none."""
    return max(
        (each.shape[0] for each in tensors if each.name.endswith(_B) and each.shape),
        default=None,
    )


def lora_alpha(header: GGUFHeader) -> float | None:
    """Return what an adapter's scale is multiplied with, over its rank; or None."""
    alpha = header.fields.get("adapter.lora.alpha")
    # llama.cpp reads a float and nothing else.
    return alpha if isinstance(alpha, float) and math.isfinite(alpha) else None


def misfit(headers: Sequence[GGUFHeader], model: Sequence[GGUFHeader]) -> str:
    """Return why an adapter cannot be used with a model, "" if it can.

    Of both there is the header of each file.
    """
    if len(headers) > 1:
        return "llama.cpp reads an adapter from one file only."
    adapter = headers[0]
    architecture = model[0].text("general.architecture")
    own = adapter.text("general.architecture")
    if own != architecture:
        return f"It is for models of {own[:32]!r}, not for {architecture[:32]!r}."
    kind = adapter.text("adapter.type")
    if adapter.text("general.type") != "adapter" or kind != "lora":
        return f"llama.cpp takes adapters of the type 'lora'; this is {kind[:32]!r}."
    if _ACTIVATED in adapter.fields:
        return "It is an activated LoRA, which begins in mid-prompt: not served here."
    matrices = {tensor.name: tensor for tensor in adapter.tensors}
    if not matrices:
        return "It has no tensors."
    weights = {tensor.name: tensor for each in model for tensor in each.tensors}
    reasons = (_tensor_misfit(name, matrices, weights) for name in matrices)
    return next(filter(None, reasons), "")


def _tensor_misfit(
    name: str, matrices: Mapping[str, TensorInfo], weights: Mapping[str, TensorInfo]
) -> str:
    target = name.removesuffix(_A).removesuffix(_B)
    shown = repr(target[:_MAX_NAME])
    if target == name:
        return f"llama.cpp cannot apply its tensor {shown}, which is no LoRA matrix."
    a, b = matrices.get(target + _A), matrices.get(target + _B)
    if a is None or b is None:
        return f"One of the two matrices for {shown} is missing."
    weight = weights.get(target)
    if weight is None:
        return f"The model has no tensor {shown}."
    if not _fits(_shape(a), _shape(b), _shape(weight), is_table=target == _EMBEDDING):
        return f"Its matrices for {shown} have other shapes than the model's tensor."
    return ""


def _shape(tensor: TensorInfo) -> tuple[int, ...]:
    """Return four dimensions, the innermost first, as llama.cpp has them."""
    return (*tensor.shape, *[1] * (4 - len(tensor.shape)))


def _fits(
    a: tuple[int, ...], b: tuple[int, ...], weight: tuple[int, ...], *, is_table: bool
) -> bool:
    """Whether B·A is as large as the weight; experts lie in the third dimension."""
    if is_table:
        inner, product = (a[0], b[0]), (b[1], a[1], *a[2:])
    else:
        inner, product = (a[1], b[0]), (a[0], b[1], *a[2:])
    return inner[0] == inner[1] and product == weight and a[2:] == b[2:]
