"""Any rate and channel count in, 16 kHz mono int16 frames out; streaming, in constant memory."""

from collections.abc import Iterator

import numpy as np
import soxr
from numpy.typing import NDArray

from agent.audio.source import FRAME_SAMPLES, SAMPLE_RATE_HZ

FULL_SCALE = 32768.0


def to_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Round floats in [-1, 1) to int16; what lies outside is clipped, never wrapped."""
    inside = np.clip(samples, -1.0, 32767 / 32768)
    return np.asarray(np.rint(inside * np.float32(FULL_SCALE)), np.int16)


class Resampler:
    """Mono float32 at `rate_hz` in, int16 at 16 kHz out, on the same time axis (no delay of the filter's).

    Undithered, so that silence stays digital silence and a repeated buffer repeats. The output of
    a chunk comes 20-40 ms late at other rates than 16 kHz, where it is only rounded.
    """

    def __init__(self, rate_hz: int) -> None:
        self._stream = None if rate_hz == SAMPLE_RATE_HZ else soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, 1)

    def push(self, samples: NDArray[np.float32], *, last: bool = False) -> NDArray[np.int16]:
        """Take shape [n], give shape [m]; `last` drains what the filter still holds."""
        if self._stream is not None:
            samples = self._stream.resample_chunk(np.ascontiguousarray(samples), last=last)
        return to_int16(samples)


class FrameCutter:
    """Cuts int16 chunks of any length into frames of 160 samples."""

    def __init__(self) -> None:
        self._rest: NDArray[np.int16] = np.empty(0, np.int16)

    def push(self, samples: NDArray[np.int16]) -> Iterator[NDArray[np.int16]]:
        """Yield the frames that are full now; keep the rest."""
        joined = np.concatenate([self._rest, samples])
        whole = len(joined) // FRAME_SAMPLES * FRAME_SAMPLES
        self._rest = joined[whole:]
        yield from joined[:whole].reshape(-1, FRAME_SAMPLES)

    def flush(self) -> Iterator[NDArray[np.int16]]:
        """Yield what is left, if anything, as one frame filled up with zeros."""
        if len(self._rest):
            yield np.pad(self._rest, (0, FRAME_SAMPLES - len(self._rest)))
            self._rest = self._rest[:0]
