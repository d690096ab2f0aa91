"""The bare engine loop, without HTTP, Redis or processes: the limit of the rest."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.load import END_TOKENS, MAX_TOKENS, QUESTION
from inference.engine import EngineConfig, EngineCore, SamplingParams
from inference.engine.llama import LlamaBackend

if TYPE_CHECKING:
    from pathlib import Path

#: What the sample model's chat template makes of a question.
_PROMPT = (
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by "
    "Hugging Face<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)


class BareEngine:
    """One loaded model, driven directly."""

    def __init__(self, path: Path, streams: int) -> None:
        self._backend = LlamaBackend(
            EngineConfig(paths=(str(path),), n_ctx=4096, n_seq_max=streams)
        )

    def tokens_per_s(self, streams: int) -> float:
        """Return the output tokens per second of ``streams`` sequences at once."""
        core = EngineCore(self._backend)
        params = SamplingParams(
            temperature=0,
            max_tokens=MAX_TOKENS,
            logit_bias=tuple((token, -100.0) for token in END_TOKENS),
        )
        start = time.perf_counter()
        for number in range(streams):
            prompt = _PROMPT.format(QUESTION.format(number))
            tokens = self._backend.tokenizer.tokenize(prompt, special=True)
            core.add(str(number), tokens, params)
        count = 0
        while core.has_work:
            count += len(core.step())
        return count / (time.perf_counter() - start)

    def close(self) -> None:
        """Free the model."""
        self._backend.close()
