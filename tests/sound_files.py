"""Sound files for tests."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The first 0.8 s of ``tune(1, 22_050)`` with 32 kbit/s, by LAME.
MP3 = Path(__file__).with_name("tune.mp3")
#: The formats of samples in a wav file's header.
_PCM, _FLOAT = 1, 3


def tune(
    seconds: float, rate: int, channels: int = 1, seed: int = 0
) -> NDArray[np.float64]:
    """Return some tones and noise, from -1 to 1, a column for each channel."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * rate)) / rate
    tones = sum(
        np.sin(2 * np.pi * rng.uniform(80, 3000) * times + phase) for phase in range(3)
    )
    sound = 0.2 * tones + 0.05 * rng.standard_normal(len(times))
    return np.stack([sound * (1 - 0.5 * n) for n in range(channels)], axis=1)


def wav_file(samples: NDArray[np.float64], rate: int, bits: int = 16) -> bytes:
    """Return a wav file; of 32-bit floats for ``bits`` -32."""
    content: bytes
    match bits:
        case 8:
            content = (samples * 127 + 128).astype(np.uint8).tobytes()
        case 24:
            whole = (samples * (2**23 - 1)).astype("<i4")
            content = whole.view(np.uint8).reshape(*whole.shape, 4)[..., :3].tobytes()
        case -32:
            content = samples.astype("<f4").tobytes()
        case _:
            content = (
                (samples * (2 ** (bits - 1) - 1)).astype(f"<i{bits // 8}").tobytes()
            )
    channels, size = samples.shape[1], abs(bits) // 8
    kind = _FLOAT if bits < 0 else _PCM
    form = struct.pack(
        "<HHIIHH",
        kind,
        channels,
        rate,
        rate * channels * size,
        channels * size,
        abs(bits),
    )
    body = b"WAVE" + _chunk(b"fmt ", form) + _chunk(b"data", content)
    return _chunk(b"RIFF", body)


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content
