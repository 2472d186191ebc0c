"""Who talked before a command? Said in the middle of talk, it is a part of that talk.

Other people's talk must not keep a command from being heard, and it is not as loud at the microphone as that
of who speaks to it; so only what is about as loud as the command counts.
"""

from copy import copy

import numpy as np
from numpy.typing import NDArray

from agent.acoustics.stream import Emission
from agent.recognition.background import NOISE

TALK_S = 1.2
"""The pause that a command follows."""
SOFTER_DB = 3.0
"""Talk that is further below the command than this is somebody else's."""
KEPT_S = 20.0
"""Longer than the longest sentence and its pause."""


class Talk:
    """Remembers when somebody spoke, and how loud. Not thread-safe.

    Args:
        frame_s: duration of a frame.
        blank_penalty: nats, taken from blank before it is compared with sounds.
    """

    def __init__(self, frame_s: float, blank_penalty: float) -> None:
        self._frame_s, self._blank_penalty = frame_s, np.float32(blank_penalty)
        self._times_s = np.empty(0)
        self._levels_dbfs = np.empty(0, np.float32)
        self._spoken = np.empty(0, np.bool_)
        self._forgotten_until_s = float("-inf")

    def copy(self) -> "Talk":
        """Return an independent one that has heard the same."""
        return copy(self)  # arrays are replaced, never changed in place

    def succeed(self, other: "Talk") -> None:
        """Go on after another, which heard the same microphone."""
        self._times_s, self._levels_dbfs, self._spoken = other._times_s, other._levels_dbfs, other._spoken
        self._forgotten_until_s = other._forgotten_until_s

    def push(self, heard: Emission) -> None:
        """Take the committed frames of a hop; what is heard again replaces what was known of that time."""
        times_s = heard.committed.times_s
        if not len(times_s):
            return
        known = (self._times_s >= times_s[-1] - KEPT_S) & (self._times_s < times_s[0])
        log_probs = heard.committed.log_probs.copy()
        log_probs[:, 0] -= self._blank_penalty
        self._times_s = np.append(self._times_s[known], times_s)
        self._levels_dbfs = np.append(self._levels_dbfs[known], heard.levels_dbfs)
        spoken = (log_probs.argmax(axis=1) > NOISE) & (times_s > self._forgotten_until_s)
        self._spoken = np.append(self._spoken[known], spoken)

    def forget(self, until_s: float) -> None:
        """Do not hold against what follows what was said until then: it was understood.

        Its last frames may be committed only later, where a sentence was understood before it was.
        """
        self._forgotten_until_s = max(self._forgotten_until_s, until_s)
        self._spoken = self._spoken & (self._times_s > until_s)

    def before(self, start_s: float, end_s: float) -> float:
        """Return the share of the `TALK_S` before a command in which somebody spoke as loud as it.

        Args:
            start_s: when the command begins, monotonic time.
            end_s: when its last sound ends.
        """
        early = self._times_s < start_s - self._frame_s / 2
        own = self._spoken & ~early & (self._times_s <= end_s)
        if not own.any():
            return 0.0
        level_dbfs = _mean_level(self._levels_dbfs[own])
        talk = self._spoken & early & (self._times_s >= start_s - TALK_S)
        talk &= self._levels_dbfs > level_dbfs - SOFTER_DB
        return float(talk.sum() * self._frame_s / TALK_S)


def _mean_level(levels_dbfs: NDArray[np.float32]) -> float:
    return float(10 * np.log10((10 ** (levels_dbfs.astype(np.float64) / 10)).mean()))
