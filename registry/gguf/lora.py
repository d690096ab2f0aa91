"""LoRA adapters: reads their headers and checks whether one fits a model. Pure.

An adapter that does not fit is refused when it is attached, not when the model is
loaded. The rules are those of llama.cpp's llama_adapter_lora_init.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from registry.gguf.header import GGUFHeader, TensorInfo

_A, _B = ".lora_a", ".lora_b"
#: A lookup table instead of a multiplication, so A and B are transposed.
_EMBEDDING = "token_embd.weight"
#: Present in an adapter that is switched on by certain tokens in the prompt.
_ACTIVATED = "adapter.alora.invocation_tokens"
_MAX_NAME = 64


def lora_rank(tensors: Iterable[TensorInfo]) -> int | None:
    """Return the largest rank of an adapter's matrices, or None."""
    return max(
        (each.shape[0] for each in tensors if each.name.endswith(_B) and each.shape),
        default=None,
    )


def lora_alpha(header: GGUFHeader) -> float | None:
    """Return alpha: the adapter is scaled by alpha divided by its rank."""
    alpha = header.fields.get("adapter.lora.alpha")
    # llama.cpp reads only a float.
    return alpha if isinstance(alpha, float) and math.isfinite(alpha) else None


def reason_unfit(headers: Sequence[GGUFHeader], model: Sequence[GGUFHeader]) -> str:
    """Return why an adapter cannot be used with a model, "" if it can.

    ``headers`` are those of the adapter's files, ``model`` those of the model's.
    """
    if len(headers) > 1:
        return "llama.cpp reads an adapter only from a single file."
    adapter = headers[0]
    architecture = model[0].text("general.architecture")
    own = adapter.text("general.architecture")
    if own != architecture:
        return f"It is for models of {own[:32]!r}, not for {architecture[:32]!r}."
    kind = adapter.text("adapter.type")
    if adapter.text("general.type") != "adapter" or kind != "lora":
        return f"llama.cpp loads adapters of the type 'lora'; this is {kind[:32]!r}."
    if _ACTIVATED in adapter.fields:
        return "It is an activated LoRA, which starts within the prompt: not supported."
    matrices = {tensor.name: tensor for tensor in adapter.tensors}
    if not matrices:
        return "It has no tensors."
    weights = {tensor.name: tensor for each in model for tensor in each.tensors}
    reasons = (_reason_tensor_unfit(name, matrices, weights) for name in matrices)
    return next(filter(None, reasons), "")


def _reason_tensor_unfit(
    name: str, matrices: Mapping[str, TensorInfo], weights: Mapping[str, TensorInfo]
) -> str:
    target = name.removesuffix(_A).removesuffix(_B)
    shown = repr(target[:_MAX_NAME])
    if target == name:
        return f"llama.cpp cannot apply its tensor {shown}, which is not a LoRA matrix."
    a, b = matrices.get(target + _A), matrices.get(target + _B)
    if a is None or b is None:
        return f"One of the two matrices for {shown} is missing."
    weight = weights.get(target)
    if weight is None:
        return f"The model has no tensor {shown}."
    if not _fits(_shape(a), _shape(b), _shape(weight), is_table=target == _EMBEDDING):
        return f"The shapes of its matrices for {shown} do not fit the model's tensor."
    return ""


def _shape(tensor: TensorInfo) -> tuple[int, ...]:
    """Return four dimensions, the innermost first, as in llama.cpp."""
    return (*tensor.shape, *[1] * (4 - len(tensor.shape)))


def _fits(
    a: tuple[int, ...], b: tuple[int, ...], weight: tuple[int, ...], *, is_table: bool
) -> bool:
    """Whether B·A has the weight's shape; the third dimension is that of experts."""
    if is_table:
        inner, product = (a[0], b[0]), (b[1], a[1], *a[2:])
    else:
        inner, product = (a[1], b[0]), (a[0], b[1], *a[2:])
    return inner[0] == inner[1] and product == weight and a[2:] == b[2:]
