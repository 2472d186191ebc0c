"""Sound in, hypotheses out: the acoustic model, the search and the level meter as one ear.

The microphone, a file, an evaluation and the trial of a new bundle all hear through this same path.
"""

from collections import deque
from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from agent.acoustics.stream import AcousticStream, Emission
from agent.audio.levels import LevelMeter, Levels
from agent.recognition.hypothesis import Hypothesis, Reject
from agent.recognition.recognizer import Recognizer

REHEARD_S = 1.0
"""More than a model looks ahead: sound that the old one had not made up its mind about."""
MAX_CLIPPING_RATIO = 0.01
MIN_PEAK_DBFS = -50.0
_BLURRED = {Reject.BACKGROUND, Reject.WEAK_WORD, Reject.AMBIGUOUS}
"""Rejects that bad sound explains better than bad speech."""


class Listener:
    """Not thread-safe: one thread feeds it."""

    def __init__(self, stream: AcousticStream, recognizer: Recognizer) -> None:
        self.stream = stream
        self.recognizer = recognizer
        self._meter = LevelMeter()
        self._recent: deque[tuple[NDArray[np.int16], float]] = deque()

    @property
    def idle(self) -> bool:
        """Whether nobody is in the middle of a sentence."""
        return self.recognizer.idle

    @property
    def levels(self) -> Levels:
        """Levels of the last seconds."""
        return self._meter.levels()

    def take(self, recognizer: Recognizer) -> None:
        """Hear with another grammar from now on; the sound goes on without a gap."""
        recognizer.succeed(self.recognizer)
        self.recognizer = recognizer

    def exchange(self, stream: AcousticStream, recognizer: Recognizer) -> list[Hypothesis]:
        """Hear with another model from now on; it hears the last second again, so that no word is cut.

        Returns:
            Utterances that the other model would have reported later.

        Raises:
            EngineError: the new engine failed; the old one goes on.
        """
        recognizer.succeed(self.recognizer)
        hypotheses = []
        for samples, time_s in self._recent:
            for emission in stream.push(samples, time_s):
                hypotheses += recognizer.push(emission)
        self.stream, self.recognizer = stream, recognizer
        return [self._with_levels(hypothesis) for hypothesis in hypotheses]

    def enable(self, commands: Collection[str]) -> None:
        """Let only these commands be said from now on."""
        self.recognizer.enable(commands)

    def hear(self, samples: NDArray[np.int16], time_s: float) -> list[Hypothesis]:
        """Take more sound and return the utterances that ended.

        Args:
            samples: shape [n], 16 kHz mono, any n.
            time_s: monotonic time of the first one.

        Raises:
            EngineError: the engine failed; the listener may go on with the next samples.
        """
        self._meter.update(samples)
        self._recent.append((samples, time_s))
        while self._recent[0][1] < time_s - REHEARD_S:
            self._recent.popleft()
        hypotheses = []
        for emission in self.stream.push(samples, time_s) or self._between_hops():
            hypotheses += self.recognizer.push(emission)
        return [self._with_levels(hypothesis) for hypothesis in hypotheses]

    def _between_hops(self) -> list[Emission]:
        """Hear what came since the last hop if that may end what was said."""
        left = self.recognizer.frames_left
        emission = None if left is None else self.stream.hurry(left)
        return [emission] if emission else []

    def _with_levels(self, hypothesis: Hypothesis) -> Hypothesis:
        levels = self.levels
        reject = hypothesis.reject
        if reject in _BLURRED and levels.clipping_ratio > MAX_CLIPPING_RATIO:
            reject = Reject.CLIPPED
        elif reject in _BLURRED and levels.peak_dbfs < MIN_PEAK_DBFS:
            reject = Reject.TOO_QUIET
        return replace(hypothesis, snr_db=levels.snr_db, reject=reject)
