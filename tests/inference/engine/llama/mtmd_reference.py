"""llama.cpp's own way with media: what llama-mtmd-cli does, call by call."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import llama_cpp
from llama_cpp import mtmd_cpp as mtmd

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_N_CTX, _N_BATCH = 2048, 512
MARKER = "<__media__>"


def reference_answer(
    model_path: Path,
    projector_path: Path,
    prompt: str,
    files: Sequence[Path],
    limit: int,
) -> list[int]:
    """Return the greedy tokens after a prompt that has ``MARKER`` for each image.

    The answer never ends by itself.
    """
    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(
        str(model_path).encode(), llama_cpp.llama_model_default_params()
    )
    params = llama_cpp.llama_context_default_params()
    params.n_ctx, params.n_batch, params.n_ubatch = _N_CTX, _N_BATCH, _N_BATCH
    params.n_threads = params.n_threads_batch = 1
    context = llama_cpp.llama_init_from_model(model, params)
    settings = mtmd.mtmd_context_params_default()
    settings.n_threads, settings.use_gpu, settings.warmup = 1, False, False
    projector = mtmd.mtmd_init_from_file(str(projector_path).encode(), model, settings)
    assert projector
    bitmaps = [_read(projector, path) for path in files]
    chunks = mtmd.mtmd_input_chunks_init()
    text = mtmd.mtmd_input_text(prompt.encode(), len(prompt.encode()), True, True)
    array = (ctypes.c_void_p * len(bitmaps))(*bitmaps)
    assert not mtmd.mtmd_tokenize(
        projector, chunks, ctypes.byref(text), array, len(bitmaps)
    )
    past = llama_cpp.llama_pos(0)
    assert not mtmd.mtmd_helper_eval_chunks(
        projector, context, chunks, 0, 0, _N_BATCH, True, ctypes.byref(past)
    )
    vocab = llama_cpp.llama_model_get_vocab(model)
    wanted = [
        token
        for token in range(llama_cpp.llama_vocab_n_tokens(vocab))
        if not llama_cpp.llama_vocab_is_eog(vocab, token)
    ]
    answer: list[int] = []
    position = past.value
    while len(answer) < limit:
        logits = llama_cpp.llama_get_logits_ith(context, -1)
        answer.append(max(wanted, key=logits.__getitem__))
        batch = llama_cpp.llama_batch_init(1, 0, 1)
        batch.n_tokens, batch.token[0], batch.pos[0] = 1, answer[-1], position
        batch.n_seq_id[0], batch.seq_id[0][0], batch.logits[0] = 1, 0, True
        assert not llama_cpp.llama_decode(context, batch)
        llama_cpp.llama_batch_free(batch)
        position += 1
    mtmd.mtmd_input_chunks_free(chunks)
    for bitmap in bitmaps:
        mtmd.mtmd_bitmap_free(bitmap)
    mtmd.mtmd_free(projector)
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return answer


def _read(projector: int, path: Path) -> int:
    found = mtmd.mtmd_helper_bitmap_init_from_file(projector, str(path).encode(), False)
    bitmap = getattr(found, "bitmap", found)
    assert bitmap
    return int(bitmap)
