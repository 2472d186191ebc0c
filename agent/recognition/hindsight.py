"""What was said, as it looks a little later: each frame as several windows heard it.

The model hears every frame again in each window that follows, with more of what came after it. The search
goes by the first answer, which is soon there; the judgement of a whole sentence goes by the mean of all.
"""

from copy import copy

import numpy as np

from agent.acoustics.stream import Emission, Frames

_LEAST = np.float32(1e-9)


class Hindsight:
    """The last frames. Not thread-safe.

    Args:
        tokens: V, the model's vocabulary.
        frames: how many are kept.
    """

    def __init__(self, tokens: int, frames: int) -> None:
        self._tokens, self._kept = tokens, frames
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._times_s = np.empty(0)
        self._sums = np.empty((0, self._tokens), np.float32)
        self._windows = np.empty((0, 1), np.float32)
        self._provisional: Frames | None = None

    def push(self, heard: Emission) -> None:
        """Take what one window says of new frames, and anew of those before them."""
        fresh = len(heard.committed)
        times_s = np.append(self._times_s, heard.committed.times_s)
        sums = np.concatenate((self._sums, np.exp(heard.committed.log_probs)))
        windows = np.concatenate((self._windows, np.ones((fresh, 1), np.float32)))
        if again := min(len(heard.revised), len(self._sums)):
            place = slice(len(sums) - fresh - again, len(sums) - fresh)
            sums[place] += np.exp(heard.revised.log_probs[-again:])
            windows[place] += 1
        kept = slice(-self._kept, None)
        self._times_s, self._sums, self._windows = times_s[kept], sums[kept], windows[kept]
        self._provisional = heard.provisional

    def copy(self) -> "Hindsight":
        """Return an independent one that knows the same."""
        return copy(self)  # arrays are replaced, never changed in place

    def frames(self, count: int, newest: int) -> Frames:
        """Return up to `count` frames, oldest first.

        Args:
            count: how many.
            newest: the last of them: 0 is the newest that is committed, those before it are negative, and
                provisional ones positive.
        """
        ahead = max(0, newest)
        end = len(self._times_s) + min(0, newest)
        begin = max(0, end - max(0, count - ahead))
        mean = self._sums[begin:end] / self._windows[begin:end]
        log_probs, times_s = np.log(np.maximum(mean, _LEAST)), self._times_s[begin:end]
        if ahead and self._provisional:
            log_probs = np.concatenate((log_probs, self._provisional.log_probs[:ahead]))
            times_s = np.append(times_s, self._provisional.times_s[:ahead])
        return Frames(log_probs, times_s)
