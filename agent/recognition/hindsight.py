"""What was said, as it looks a little later: each frame as several windows heard it.

The model hears every frame again in each window that follows, with more of what came after it. The search
for the end of a sentence goes by the first answer, which is soon there; the judgement goes by the mean.
"""

from copy import copy

import numpy as np

from agent.acoustics.stream import Emission, Frames

_LEAST = np.float32(1e-9)


class Hindsight:
    """The frames that may still be revised. Not thread-safe.

    Args:
        tokens: V, the model's vocabulary.
        frames: for how many frames windows give revised answers.
    """

    def __init__(self, tokens: int, frames: int) -> None:
        self._tokens, self._open = tokens, frames
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._times_s = np.empty(0)
        self._sums = np.empty((0, self._tokens), np.float32)
        self._windows = np.empty((0, 1), np.float32)
        self._provisional = self._mean(slice(0))

    def push(self, heard: Emission) -> Frames:
        """Take what one window says of new frames, and anew of those before them.

        Returns:
            The frames that are settled by now, oldest first; each is given out once.
        """
        known, fresh = len(self._sums), len(heard.committed)
        self._times_s = np.append(self._times_s, heard.committed.times_s)
        self._sums = np.concatenate((self._sums, np.exp(heard.committed.log_probs)))
        self._windows = np.concatenate((self._windows, np.ones((fresh, 1), np.float32)))
        if again := min(known, len(heard.revised)):
            self._sums[known - again : known] += np.exp(heard.revised.log_probs[-again:])
            self._windows[known - again : known] += 1
        self._provisional = heard.provisional
        settled = max(0, known + fresh - self._open)
        frames = self._mean(slice(settled))
        rest = slice(settled, None)
        self._times_s, self._sums, self._windows = self._times_s[rest], self._sums[rest], self._windows[rest]
        return frames

    def copy(self) -> "Hindsight":
        """Return an independent one that knows the same."""
        return copy(self)  # each push begins with arrays of its own

    def open(self, newest: int) -> Frames:
        """Return the frames that are not settled, as far as they are known, oldest first.

        Args:
            newest: the last of them: 0 is the newest that is committed, those before it are negative, and
                provisional ones positive.
        """
        mean = self._mean(slice(len(self._sums) + min(0, newest)))
        ahead = slice(max(0, newest))
        return Frames(
            np.concatenate((mean.log_probs, self._provisional.log_probs[ahead])),
            np.append(mean.times_s, self._provisional.times_s[ahead]),
        )

    def _mean(self, part: slice) -> Frames:
        mean = self._sums[part] / self._windows[part]
        return Frames(np.log(np.maximum(mean, _LEAST)), self._times_s[part])
