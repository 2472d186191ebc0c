"""The background model: any sounds in any order, with noise and silence between.

It competes with the grammar from the first frame to the last, so listening needs no voice-activity gate:
where speech fits the free loop clearly better than every sentence, it is no command. Each new sound of the
loop costs `loop_penalty` nats. Without that price the loop fits everything at least as well as any grammar
and swallows every utterance (the filler models of Rose and Paul, ICASSP 1990, have the same knob).
"""

from copy import copy

import numpy as np
from numpy.typing import NDArray

BLANK, NOISE = 0, 1


class Background:
    """Viterbi search over the free phone loop.

    Scores are kept relative to the loop's best path, which therefore always stands at 0.
    """

    def __init__(self, tokens: int, loop_penalty: float) -> None:
        self.loop_penalty = loop_penalty
        self._sound = np.full(tokens, -np.inf, np.float32)
        self.silence = np.float32(0)
        """Score of the best path that rests in silence or noise now, nats, <= 0."""
        self.quiet_frames = 0
        """Frames since the last sound on the best path."""
        self.sounds = 0
        """Sounds counted so far; the caller sets it back to 0 after each utterance."""
        self._last_sound = BLANK

    def copy(self) -> "Background":
        """Return an independent copy, for looking ahead."""
        return copy(self)  # each step makes arrays of its own

    def step(self, frame: NDArray[np.float32], rest: np.float32) -> np.float32:
        """Take one frame.

        Args:
            frame: shape [V], log-probabilities, blank penalty applied.
            rest: log-probability of resting (blank or noise, whichever fits better).

        Returns:
            What the best path gained, nats: subtract it from every competitor of the loop.
        """
        sound = np.maximum(self._sound, np.float32(-self.loop_penalty)) + frame
        sound[: NOISE + 1] = -np.inf
        loudest = int(sound.argmax())
        gained = max(sound[loudest], rest)  # the best path stood at 0 before, whatever it was
        if sound[loudest] > rest:
            self.sounds += loudest != self._last_sound
            self.quiet_frames = 0
            self._last_sound = loudest
        else:
            self.quiet_frames += 1
            self._last_sound = BLANK
        self._sound = sound - gained
        self.silence = np.float32(rest - gained)
        return np.float32(gained)
