"""Frames arrive, but is it sound? A dead source is found by what it delivers; pure."""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from agent.audio.source import SAMPLE_RATE_HZ

STUCK_AFTER_S = 3.0
"""Of the same: silence, a constant, a repeated buffer, or nothing at all."""
_HISTORY = int(STUCK_AFTER_S * SAMPLE_RATE_HZ)
_LONGEST_PERIOD = SAMPLE_RATE_HZ
_KEY = 160
_ROUNDED = 0.01  # of the samples may differ by 1: a resampler rounds a repeated buffer so
_CHECK_EVERY = SAMPLE_RATE_HZ // 4
_TRIES = 100  # periods in one check: garbage that almost repeats must not take the time for hearing


class Stuck(StrEnum):
    """Why a source is held to be dead."""

    STOPPED = "stopped"
    """No samples arrive."""
    SILENT = "silent"
    """Every sample is 0: muted, or unplugged behind the converter."""
    CONSTANT = "constant"
    """Every sample is the same."""
    REPEATING = "repeating"
    """The same buffer of up to a second comes again and again."""


class StuckDetector:
    """Watches 16 kHz int16 samples in blocks of any length; says why they cannot be sound, within 3.3 s.

    A real converter never repeats 3 s: its noise differs. What repeats is a driver that stopped filling its
    buffer (or a test signal, which is no operator either). After resampling from another native rate it is
    only found if some repetitions of it, up to a second, are a whole number of 16 kHz samples; from 48 kHz,
    32 kHz and 8 kHz they are.
    """

    def __init__(self) -> None:
        self._history: NDArray[np.int16] = np.empty(0, np.int16)
        self._unchecked = 0
        self._last_s: float | None = None
        self._finding: Stuck | None = None

    def update(self, samples: NDArray[np.int16], now_s: float) -> None:
        """Take the next samples, shape [n], at the monotonic time they arrived."""
        self._last_s = now_s
        for start in range(0, len(samples), _CHECK_EVERY):
            self._take(samples[start : start + _CHECK_EVERY])

    def finding(self, now_s: float) -> Stuck | None:
        """Say why the source is dead, or nothing if it lives. Any thread may ask; asking starts it."""
        if self._last_s is None:
            self._last_s = now_s
        return Stuck.STOPPED if now_s - self._last_s > STUCK_AFTER_S else self._finding

    def _take(self, samples: NDArray[np.int16]) -> None:
        room = _CHECK_EVERY - self._unchecked
        for part in (samples[:room], samples[room:]):
            self._history = np.concatenate([self._history, part])[-_HISTORY:]
            self._unchecked += len(part)
            if self._unchecked >= _CHECK_EVERY:
                self._unchecked -= _CHECK_EVERY
                self._finding = _judge(self._history) if len(self._history) == _HISTORY else None


def _judge(history: NDArray[np.int16]) -> Stuck | None:
    if (history == history[0]).all():
        return Stuck.CONSTANT if history[0] else Stuck.SILENT
    return Stuck.REPEATING if _repeats(history) else None


def _repeats(history: NDArray[np.int16]) -> bool:
    """Whether the whole history has a period of up to a second.

    The 10 ms around the rarest step of the last second are sought further back; each find gives a period to
    try. (Other 10 ms might offer thousands, in a quiet history, or in one that goes up and down alike.)
    """
    steps = np.diff(history)
    few = _ROUNDED * np.count_nonzero(steps)
    _, last, counts = np.unique(steps[: -_LONGEST_PERIOD - 1 : -1], return_index=True, return_counts=True)
    key_end = min(len(steps) - int(last[np.argmin(counts)]) + _KEY // 2, len(history))
    key_start = max(0, key_end - _KEY)
    raw, key = history.tobytes(), history[key_start:key_end].tobytes()
    earliest = 2 * max(0, key_start - _LONGEST_PERIOD)
    found = 2 * key_start
    for _ in range(_TRIES):
        found = raw.rfind(key, earliest, found + len(key) - 1)
        if found < 0:
            return False
        period, odd = divmod(2 * key_start - found, 2)
        if not odd and _same(history[period:], history[:-period], few):
            return True
    return False


def _same(one: NDArray[np.int16], other: NDArray[np.int16], few: float) -> bool:
    different = np.flatnonzero(one != other)
    if len(different) > few:
        return False
    return bool((np.abs(one[different].astype(np.int32) - other[different]) <= 1).all())
