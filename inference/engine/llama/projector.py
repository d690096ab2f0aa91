"""Reads the images and sounds of prompts, with llama.cpp's mtmd and a projector.

libmtmd is a library of its own beside llama.cpp's (docs/adr/0032). Without it, and
without a projector, a model reads text only.
"""

from __future__ import annotations

import ctypes
import secrets
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import llama_cpp
import numpy as np

from inference.engine.config.cpu_threads import physical_cores
from inference.engine.errors import EngineError, InvalidRequest, ModelLoadError
from inference.engine.llama.bindings.loading import is_on_cpu
from inference.engine.llama.prefill_context import has_more_positions
from inference.engine.media.encoded_cache import KEPT_BYTES, EncodedCache
from inference.engine.media.inputs import SoundInput
from inference.engine.media.spans import MediaPrompt, MediaSpan, media_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from inference.engine.config.engine_config import EngineConfig
    from inference.engine.llama.bindings.log import LlamaLog
    from inference.engine.media.inputs import MediaInput

#: The positions of a token in several dimensions: time, height, width and one unused.
_DIMENSIONS = 4
#: Seconds of the pieces of a sound, and of the shortest one.
_PIECE_S, _SHORTEST_S = 30, 0.1
_SAMPLE_BYTES = ctypes.sizeof(ctypes.c_float)


def has_mtmd() -> bool:
    """Whether libmtmd lies beside llama.cpp's libraries."""
    folder = Path(llama_cpp.__file__).parent / "lib"
    return any((folder / f"libmtmd.{kind}").exists() for kind in ("so", "dylib"))


class LlamaProjector:
    """A projector that is loaded with a model. Any thread may use it."""

    def __init__(
        self,
        config: EngineConfig,
        model: Any,
        *,
        log: LlamaLog,
    ) -> None:
        """Load the projector. Raises ModelLoadError."""
        # It loads libmtmd, which need not be there.
        from llama_cpp import mtmd_cpp as mtmd

        self._mtmd: Any = mtmd
        self._log = log
        self._row_size = int(llama_cpp.llama_model_n_embd_inp(model))
        self._n_tokens_max = config.n_tokens_max
        self._shares = config.shares_prefixes
        self._kept = EncodedCache(KEPT_BYTES)
        # The encoder has one place for its work and its result, and is not freed while
        # somebody reads.
        self._turn = Lock()
        # Nobody outside can write it into a prompt.
        self._marker = f"<__media_{secrets.token_hex(16)}__>".encode()
        log.install_for(mtmd)
        params = mtmd.mtmd_context_params_default()
        params.use_gpu = not is_on_cpu(config)
        params.print_timings = False
        # Streams go on meanwhile: half of the cores are theirs alone.
        params.n_threads = max((config.n_threads or physical_cores()) // 2, 1)
        params.media_marker = self._marker
        params.warmup = False
        path = config.projector.encode()
        self._context: Any = mtmd.mtmd_init_from_file(path, model, params)
        if not self._context:
            raise ModelLoadError(
                log.tail() or f"llama.cpp cannot load {config.projector}."
            )
        self._sees = bool(mtmd.mtmd_support_vision(self._context))
        self._hears = bool(mtmd.mtmd_support_audio(self._context))
        if not (self._sees or self._hears):
            self.close()
            raise ModelLoadError("The projector reads no images or sounds. Disable it.")
        self._has_more_positions = bool(mtmd.mtmd_decode_use_mrope(self._context))
        if self._has_more_positions != has_more_positions(model):
            self.close()
            raise ModelLoadError(
                "The positions of this projector's tokens are not supported."
            )

    def read(
        self,
        prompt: str,
        media: Sequence[MediaInput],
        *,
        marker: str,
        special: bool,
        owner: str,
    ) -> MediaPrompt:
        """Return the tokens of a prompt, and its images and sounds encoded.

        ``marker`` stands in the prompt where each of the media belongs. Those that an
        ``owner`` sent before are not encoded again. Raises InvalidRequest for what this
        projector does not read, EngineError if llama.cpp fails.
        """
        scope = "" if self._shares else owner
        with self._chunks_of(prompt, media, marker, special=special) as chunks:
            return self._prompt(chunks, scope)

    def count(
        self, prompt: str, media: Sequence[MediaInput], *, marker: str, special: bool
    ) -> tuple[list[int], int]:
        """Return the tokens of a prompt's text, and how many its media take.

        None of these is encoded for it. Raises what ``read`` raises.
        """
        tokens: list[int] = []
        num_media = 0
        with self._chunks_of(prompt, media, marker, special=special) as chunks:
            for chunk in self._each(chunks):
                text = self._text_tokens(chunk)
                if text is None:
                    num_media += self._mtmd.mtmd_input_chunk_get_n_tokens(chunk)
                else:
                    tokens += text
        return tokens, num_media

    @contextmanager
    def _chunks_of(
        self, prompt: str, media: Sequence[MediaInput], marker: str, *, special: bool
    ) -> Iterator[Any]:
        """Yield the chunks of a prompt, while nobody else uses the projector."""
        text = prompt.encode("utf-8", "replace")
        if text.count(marker.encode()) != len(media):
            raise InvalidRequest(
                "The model's chat template does not show each image and sound once."
            )
        text = text.replace(marker.encode(), self._marker)
        with self._turn:
            if self._context is None:
                raise EngineError("The model is being unloaded.")
            mtmd = self._mtmd
            with ExitStack() as owned:
                bitmaps = []
                for each in media:
                    bitmaps.append(self._bitmap(each))
                    owned.callback(mtmd.mtmd_bitmap_free, bitmaps[-1])
                chunks = mtmd.mtmd_input_chunks_init()
                owned.callback(mtmd.mtmd_input_chunks_free, chunks)
                self._cut(chunks, text, bitmaps, special=special)
                yield chunks

    def _bitmap(self, medium: MediaInput) -> Any:
        mtmd = self._mtmd
        is_sound = isinstance(medium, SoundInput)
        if not (self._hears if is_sound else self._sees):
            # The web process reads the projector's header, which may be another's now.
            noun = "sounds" if is_sound else "images"
            raise InvalidRequest(f"The model is loaded to read no {noun}.")
        if isinstance(medium, SoundInput):
            bitmap = self._sound(medium)
        else:
            pixels = _copied(ctypes.c_uint8, medium.content())
            bitmap = mtmd.mtmd_bitmap_init(medium.width, medium.height, pixels)
        mtmd.mtmd_bitmap_set_id(bitmap, medium.digest.encode())
        return bitmap

    def _sound(self, sound: SoundInput) -> Any:
        rate = self._mtmd.mtmd_get_audio_sample_rate(self._context)
        if sound.rate != rate:
            raise InvalidRequest(
                f"The model reads sounds of {rate} samples a second, not {sound.rate}."
            )
        content = sound.content() + _silence(sound)
        samples = _copied(ctypes.c_float, content)
        return self._mtmd.mtmd_bitmap_init_from_audio(len(samples), samples)

    def _cut(
        self, chunks: Any, text: bytes, bitmaps: list[Any], *, special: bool
    ) -> None:
        """Cut a prompt into chunks: of text, or of one image or a part of it."""
        mtmd = self._mtmd
        given = mtmd.mtmd_input_text(
            text=text, text_len=len(text), add_special=special, parse_special=True
        )
        array = (ctypes.c_void_p * len(bitmaps))(*bitmaps)
        code = mtmd.mtmd_tokenize(
            self._context, chunks, ctypes.byref(given), array, len(bitmaps)
        )
        if code != 0:
            raise InvalidRequest(
                "The images or sounds cannot be prepared. " + self._log.tail()
            )

    def _prompt(self, chunks: Any, scope: str) -> MediaPrompt:
        mtmd = self._mtmd
        tokens: list[int] = []
        spans: list[MediaSpan] = []
        parts: dict[str, int] = {}
        for chunk in self._each(chunks):
            text = self._text_tokens(chunk)
            if text is not None:
                tokens += text
                continue
            digest = (mtmd.mtmd_input_chunk_get_id(chunk) or b"").decode()
            # It may be cut into parts, each a chunk; the same one may come again.
            part = parts.get(digest, 0)
            parts[digest] = part + 1
            span = self._span(chunk, (scope, digest, part), len(tokens))
            tokens += media_tokens(digest, part, len(span.embeddings))
            spans.append(span)
        return MediaPrompt(tokens, tuple(spans))

    def _text_tokens(self, chunk: Any) -> list[int] | None:
        """Return the tokens of a chunk of text; None if it is of an image."""
        mtmd = self._mtmd
        if mtmd.mtmd_input_chunk_get_type(chunk) != mtmd.MTMD_INPUT_CHUNK_TYPE_TEXT:
            return None
        count = ctypes.c_size_t()
        found = mtmd.mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(count))
        return list(found[: count.value])

    def _each(self, chunks: Any) -> Iterator[Any]:
        for index in range(self._mtmd.mtmd_input_chunks_size(chunks)):
            yield self._mtmd.mtmd_input_chunks_get(chunks, index)

    def _span(self, chunk: Any, key: tuple[str, str, int], start: int) -> MediaSpan:
        """Return the place of a chunk; ``key`` is its owner's, of digest and part."""
        mtmd, context = self._mtmd, self._context
        count = mtmd.mtmd_input_chunk_get_n_tokens(chunk)
        is_causal = not mtmd.mtmd_decode_use_non_causal(context, chunk)
        kind = mtmd.mtmd_input_chunk_get_type(chunk)
        is_sound = kind == mtmd.MTMD_INPUT_CHUNK_TYPE_AUDIO
        if not is_causal and count > self._n_tokens_max:
            noun = "sound" if is_sound else "image"
            raise InvalidRequest(
                f"The {noun} takes {count} tokens, which this model computes at once; "
                f"its settings n_batch and n_ubatch allow {self._n_tokens_max}."
            )
        return MediaSpan(
            start=start,
            embeddings=self._embeddings(chunk, (*key, count), count),
            is_causal=is_causal,
            positions=self._positions(chunk, count),
            num_positions=mtmd.mtmd_input_chunk_get_n_pos(chunk),
            is_sound=is_sound,
        )

    def _embeddings(
        self, chunk: Any, key: tuple[str, str, int, int], count: int
    ) -> NDArray[np.float32]:
        found = self._kept.get(key)
        if found is not None:
            return found  # type: ignore[no-any-return]
        if self._mtmd.mtmd_encode_chunk(self._context, chunk) != 0:
            raise EngineError(
                "The image or sound cannot be encoded. " + self._log.tail()
            )
        output = self._mtmd.mtmd_get_output_embd(self._context)
        rows = np.ctypeslib.as_array(output, shape=(count, self._row_size)).copy()
        self._kept.put(key, rows)
        return rows

    def _positions(self, chunk: Any, count: int) -> NDArray[np.int32] | None:
        """Return the positions of a chunk's tokens relative to its first."""
        if not self._has_more_positions:
            return None
        mtmd = self._mtmd
        places = np.zeros((_DIMENSIONS, count), np.int32)
        image = mtmd.mtmd_input_chunk_get_tokens_image(chunk)
        if not image:
            places[:3] = np.arange(count)
            return places
        for index in range(count):
            each = mtmd.mtmd_image_tokens_get_decoder_pos(image, 0, index)
            places[:, index] = (each.t, each.y, each.x, each.z)
        return places

    def close(self) -> None:
        """Free it. Idempotent."""
        with self._turn:
            context, self._context = self._context, None
            if context:
                self._mtmd.mtmd_free(context)


def _silence(sound: SoundInput) -> bytes:
    """Return what makes a sound's last piece as long as the shortest sound.

    Some of llama.cpp's encoders (Gemma 4, Dots) cut sounds into pieces of 30 or 60 s,
    and would end the process over a last piece without a whole spectrum.
    """
    last = sound.num_samples % (_PIECE_S * sound.rate)
    missing = round(_SHORTEST_S * sound.rate) - last
    return bytes(_SAMPLE_BYTES * missing) if last and missing > 0 else b""


def _copied(kind: Any, content: bytes) -> Any:
    """Return a copy of bytes as an array of a type of C's."""
    return (kind * (len(content) // ctypes.sizeof(kind))).from_buffer_copy(content)
