"""Runs the batches of an embedding or reranking model in llama.cpp."""

from __future__ import annotations

import re
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any

import llama_cpp
import numpy as np

from inference.engine.config.cache_layout import CacheLayout
from inference.engine.errors import DecodeError, ModelLoadError
from inference.engine.llama.bindings.batch import LlamaBatch
from inference.engine.llama.bindings.loading import load_model, make_context
from inference.engine.llama.bindings.log import LlamaLog
from inference.engine.llama.bindings.tokenizer import LlamaTokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from inference.engine.config.engine_config import EngineConfig


#: The placeholders of the two texts in a model's own template.
_PLACE = re.compile(r"\{query\}|\{document\}")


class LlamaEmbedder:
    """A model and its context. Every text of a batch is a sequence; none is cached.

    Encoders have no KV cache. Where there is one it is emptied before each batch.
    """

    def __init__(
        self,
        config: EngineConfig,
        *,
        on_progress: Callable[[float], None] = lambda _progress: None,
        log: LlamaLog | None = None,
        is_dry: bool = False,
    ) -> None:
        """Load the model; ``on_progress`` gets 0 to 1. Raises ModelLoadError.

        One that ``is_dry`` has read only headers, and can compute nothing.
        """
        self._log = log or LlamaLog()
        self._log.install()
        self.layout = CacheLayout(
            config.n_ctx, config.n_seq_max, config.n_tokens_max, is_split=False
        )
        self.n_ctx_max = config.n_ctx
        self.n_batch = config.n_batch
        self.is_ranking = config.task == "rank"
        with ExitStack() as stack:
            llama_cpp.llama_backend_init()
            self._model = load_model(config, on_progress, self._log, is_dry=is_dry)
            stack.callback(llama_cpp.llama_model_free, self._model)
            self._check_model()
            self._batch = LlamaBatch(config.n_tokens_max)
            stack.callback(self._batch.close)
            self._context = make_context(self._model, config, self.layout, self._log)
            stack.callback(llama_cpp.llama_free, self._context)
            self._check_pooling()
            self._owned = stack.pop_all()
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._width = (
            1 if self.is_ranking else llama_cpp.llama_model_n_embd_out(self._model)
        )
        self.tokenizer = LlamaTokenizer(llama_cpp.llama_model_get_vocab(self._model))

    def _check_model(self) -> None:
        has_encoder = llama_cpp.llama_model_has_encoder(self._model)
        if has_encoder and llama_cpp.llama_model_has_decoder(self._model):
            raise ModelLoadError(
                "A model with an encoder and a decoder makes no embeddings."
            )
        self._run = llama_cpp.llama_encode if has_encoder else llama_cpp.llama_decode

    def _check_pooling(self) -> None:
        pooling = llama_cpp.llama_pooling_type(self._context)
        if pooling == llama_cpp.LLAMA_POOLING_TYPE_NONE:
            raise ModelLoadError(
                "The model's file names no pooling, by which the vectors of a text's "
                "tokens become one. Set the model's pooling."
            )
        if (pooling == llama_cpp.LLAMA_POOLING_TYPE_RANK) != self.is_ranking:
            kind = "no scores" if self.is_ranking else "scores and no vectors"
            raise ModelLoadError(f"By its pooling the model gives {kind}.")

    # Pairs --------------------------------------------------------------------

    @cached_property
    def _pair_template(self) -> str:
        """The model's own template of a query with a document; "" if it has none."""
        template = llama_cpp.llama_model_chat_template(self._model, b"rerank")
        return template.decode("utf-8", "replace") if template else ""

    def pairs(self, query: str, documents: Sequence[str]) -> list[list[int]]:
        """Return the tokens of a query with each document, as the model expects them.

        Without a template of the model's own that is BOS query EOS SEP document EOS,
        without the special tokens that the model does not add. Any thread may call it.
        """
        if self._pair_template:
            return [self._filled(query, document) for document in documents]
        vocab = self.tokenizer.vocab
        end = llama_cpp.llama_vocab_eos(vocab)
        if end == llama_cpp.LLAMA_TOKEN_NULL:
            end = llama_cpp.llama_vocab_sep(vocab)
        begin = (
            [llama_cpp.llama_vocab_bos(vocab)]
            if llama_cpp.llama_vocab_get_add_bos(vocab)
            else []
        )
        ends = [end] if llama_cpp.llama_vocab_get_add_eos(vocab) else []
        between = list(ends)
        if llama_cpp.llama_vocab_get_add_sep(vocab):
            between.append(llama_cpp.llama_vocab_sep(vocab))
        first = [*begin, *self._plain(query), *between]
        return [[*first, *self._plain(document), *ends] for document in documents]

    def _plain(self, text: str) -> list[int]:
        return self.tokenizer.tokenize(text, special=False, parse_special=False)

    def _filled(self, query: str, document: str) -> list[int]:
        # Replaced in one pass: a text may contain the other's placeholder.
        parts = {"{query}": query, "{document}": document}
        text = _PLACE.sub(lambda place: parts[place[0]], self._pair_template)
        return self.tokenizer.tokenize(text, special=False)

    # A batch ------------------------------------------------------------------

    def embed(self, inputs: Sequence[list[int]]) -> NDArray[np.float32]:
        """Return a vector or score for each input. Raises DecodeError."""
        if self._memory:
            llama_cpp.llama_memory_clear(self._memory, False)
        self._batch.clear()
        for slot, tokens in enumerate(inputs):
            self._batch.add(tokens, start=0, slot=slot, outputs=len(tokens))
        code = self._run(self._context, self._batch.raw)
        if code != 0:
            raise DecodeError(
                f"llama.cpp returned {code} for {len(self._batch)} tokens. "
                + self._log.tail()
            )
        return np.stack([self._row(sequence) for sequence in range(len(inputs))])

    def _row(self, sequence: int) -> NDArray[np.float32]:
        values: Any = llama_cpp.llama_get_embeddings_seq(self._context, sequence)
        if not values:
            raise DecodeError(f"llama.cpp has no vector for sequence {sequence}.")
        return np.ctypeslib.as_array(values, (self._width,)).copy()

    def close(self) -> None:
        """Free everything, the context before its model. Idempotent."""
        self._owned.close()
