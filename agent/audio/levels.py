"""How loud, how noisy, how clipped: a streaming meter in constant memory, pure.

Power is what varies: many converters add a constant to every sample, which no ear and no model hears.
"""

import math
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from agent.audio.convert import FULL_SCALE, FrameCutter
from agent.audio.source import FRAME_SAMPLES

LOWEST_DBFS = -120.0
"""Stands for digital silence, so that every level is a finite number."""
LOWEST_SNR_DB, HIGHEST_SNR_DB = -10.0, 80.0
_CLIPPED_AT = 32_760
_RECENT = 100  # frames: the last second, for level, peak and clipping
_SMOOTH = 10  # frames: power is averaged over 100 ms before a minimum or maximum is sought
_SPAN = 50  # frames: minima and maxima are kept per half second ...
_SPANS = 10  # ... for the last five seconds: longer than people speak without a pause

_Sums = tuple[int, int]
"""Of a frame's samples: their sum, and that of their squares."""


@dataclass(frozen=True, slots=True)
class Levels:
    """What the meter shows. 0 dBFS is a full-scale square wave: a full-scale sine has -3 dBFS RMS."""

    rms_dbfs: float
    """Of the last second."""
    peak_dbfs: float
    """Of the last second."""
    clipping_ratio: float
    """Samples of the last second at full scale, 0 to 1."""
    noise_floor_dbfs: float
    """The quietest 100 ms of the last 5 s (minimum statistics) without 10 ms of digital silence; if there are
    none, as loud as the loudest: nothing is known to stand out."""
    snr_db: float
    """The loudest 100 ms of the last 5 s over that floor, the floor's own power taken off; -10 to 80 dB."""


class LevelMeter:
    """Takes 16 kHz int16 in blocks of any length; what it shows does not depend on how they were cut.

    One thread updates; any may ask for `levels`.
    """

    def __init__(self) -> None:
        self._cutter = FrameCutter()
        self._sums: deque[_Sums] = deque(maxlen=_RECENT)
        self._peaks: deque[int] = deque(maxlen=_RECENT)
        self._clipped: deque[int] = deque(maxlen=_RECENT)
        self._spans: deque[tuple[float, float]] = deque(maxlen=_SPANS)
        self._in_span = 0

    def update(self, samples: NDArray[np.int16]) -> None:
        """Take the next samples, shape [n]."""
        for frame in self._cutter.push(samples):
            self._take(frame)

    def levels(self) -> Levels:
        """Show where it stands: all at the bottom before the first whole frame."""
        if not self._sums:
            return Levels(LOWEST_DBFS, LOWEST_DBFS, 0.0, LOWEST_DBFS, LOWEST_SNR_DB)
        spans = list(self._spans)
        loudest = max(high for _, high in spans)
        floor = min(loudest, *(low for low, _ in spans))
        return Levels(
            rms_dbfs=_db(_power(list(self._sums))),
            peak_dbfs=_db((max(self._peaks) / FULL_SCALE) ** 2),
            clipping_ratio=sum(self._clipped) / (len(self._clipped) * FRAME_SAMPLES),
            noise_floor_dbfs=_db(floor),
            snr_db=_snr_db(loudest, floor),
        )

    def _take(self, frame: NDArray[np.int16]) -> None:
        wide = frame.astype(np.int64)
        magnitude = np.abs(wide)
        sums = int(wide.sum()), int(wide @ wide)
        recent = [sums, *islice(reversed(self._sums), _SMOOTH - 1)]
        smooth = _power(recent)
        # 10 ms of the same are a gated or muted microphone, or the edge of a recording: no noise is so quiet
        varies = all(FRAME_SAMPLES * squares > total**2 for total, squares in recent)
        quiet = smooth if varies else math.inf
        if self._in_span == 0:
            self._spans.append((quiet, smooth))
        else:
            low, high = self._spans[-1]
            self._spans[-1] = (min(low, quiet), max(high, smooth))
        self._in_span = (self._in_span + 1) % _SPAN
        self._peaks.append(int(magnitude.max()))
        self._clipped.append(int(np.count_nonzero(magnitude >= _CLIPPED_AT)))
        self._sums.append(sums)  # last: `levels` takes it for a sign that there is something to show


def advice(levels: Levels) -> str | None:
    """Say what a person at the machine should change, or nothing if the levels are good."""
    if levels.rms_dbfs <= LOWEST_DBFS:
        return "digital silence: is the microphone muted, or the wrong device chosen?"
    if levels.clipping_ratio > 0.001:
        return "clipping: turn the input gain down or move away from the microphone"
    if levels.peak_dbfs < -40:
        return "very quiet: turn the input gain up or move closer"
    if levels.snr_db < 10:
        return "speech hardly above the noise: speak now, move closer, or use a close-talking microphone"
    return None


def levels_at(samples: NDArray[np.int16], centres: NDArray[np.int64], reach: int) -> NDArray[np.float32]:
    """Return how loud the sound is around some samples.

    Args:
        samples: shape [n]; what lies outside is silence.
        centres: shape [m], 0 to n, ascending.
        reach: samples to each side that count.

    Returns:
        Shape [m], RMS in dBFS.
    """
    if not len(centres):
        return np.empty(0, np.float32)
    begin, end = int(centres[0]) - reach, int(centres[-1]) + reach
    outside = max(0, -begin), max(0, end - len(samples))
    sound = np.pad(samples[max(0, begin) : end].astype(np.float32), outside) / np.float32(FULL_SCALE)
    around = sliding_window_view(sound, 2 * reach)[centres - centres[0]].var(axis=1)
    levels: NDArray[np.float32] = 10 * np.log10(np.maximum(around, np.float32(10 ** (LOWEST_DBFS / 10))))
    return levels


def _power(frames: Collection[_Sums]) -> float:
    """Return the mean square of what varies in some frames, full scale 1: 0 only where nothing does."""
    count = len(frames) * FRAME_SAMPLES
    total, squares = (sum(each) for each in zip(*frames, strict=True))
    return float((count * squares - total**2) / (count * FULL_SCALE) ** 2)


def _db(power: float) -> float:
    return max(LOWEST_DBFS, 10 * math.log10(power)) if power > 0 else LOWEST_DBFS


def _snr_db(loudest: float, floor: float) -> float:
    signal = loudest - floor
    if signal <= 0:
        return LOWEST_SNR_DB
    return min(HIGHEST_SNR_DB, max(LOWEST_SNR_DB, 10 * math.log10(signal / floor)))
