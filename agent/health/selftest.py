"""Liveness by sound: a known utterance, put in behind the microphone, must come out as its command. Pure.

The utterance is heard by a fork: copies of the acoustic stream and of the recognizer as they stand, on the
same engine. What is broken in them is broken in the fork. But the listener hears nothing of it, so no
operator is cut off and no command can come of it. The utterance has a grammar of its own, whatever the site's
is, and a second recognizer for it hears the same log-probabilities.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.acoustics.manifest import Calibration
from agent.audio.source import FRAME_S, FRAME_SAMPLES
from agent.errors import EngineError
from agent.evaluation.commands import Label, Trial, Verdict
from agent.evaluation.listening import in_room
from agent.grammar.graph import Graph
from agent.health.snapshot import Outcome, Result
from agent.recognition.hypothesis import Hypothesis
from agent.recognition.listener import Listener
from agent.recognition.recognizer import Recognizer


@dataclass(frozen=True, slots=True)
class Utterance:
    """A recording and what it says."""

    file: str
    samples: NDArray[np.int16]
    label: Label


@dataclass(frozen=True, slots=True)
class Script:
    """What a self-test says, and what it takes to understand it. Must hold at least one utterance."""

    utterances: Sequence[Utterance]
    """Tried in this order until one is understood: a bundle may miss a few of its golden utterances."""
    graph: Graph
    calibration: Calibration
    frame_s: float


class SelfTest:
    """One run. Feed it by `step`, once for every 10 ms of sound that the listener has heard.

    Any pause between two steps is fine: the fork has a time of its own.
    """

    def __init__(self, script: Script) -> None:
        self._script = script
        self._misses: list[str] = []
        self._waiting = list(script.utterances)
        self._fork: _Fork | None = None

    def step(self, listener: Listener) -> Result | None:
        """Let a fork of `listener` hear 10 ms more; say how the test ended, None while it goes on."""
        if self._fork is None:
            self._fork = _Fork(listener, self._script, self._waiting.pop(0))
        fork = self._fork
        try:
            if fork.hear():
                return None
        except EngineError as error:
            return self._result(Outcome.FAILED, f"the engine failed: {error}")
        miss = fork.miss()
        if not miss:
            return self._result(Outcome.PASSED, "")
        self._misses.append(miss)
        if not self._waiting:
            return self._result(Outcome.FAILED, "; ".join(self._misses))
        self._fork = None
        return None

    def _result(self, outcome: Outcome, reason: str) -> Result:
        return Result(outcome, self._fork.utterance.file if self._fork else "", reason)


class _Fork:
    """A listener's copy that hears one utterance."""

    def __init__(self, listener: Listener, script: Script, utterance: Utterance) -> None:
        self.utterance = utterance
        self._stream = listener.stream.copy()
        self._site = listener.recognizer.copy()
        self._own = Recognizer(script.graph, script.calibration, script.frame_s)
        sound = in_room(utterance.samples, None, None, seed=0)
        self._sound = np.pad(sound, (0, -len(sound) % FRAME_SAMPLES)).reshape(-1, FRAME_SAMPLES)
        self._start_s = self._stream.end_s
        self._heard_frames = 0
        self._heard: list[Hypothesis] = []
        self._site_heard = 0

    def hear(self) -> bool:
        """Hear the next frame; False if there is none. Raises `EngineError`."""
        if self._heard_frames == len(self._sound):
            return False
        frame, time_s = self._sound[self._heard_frames], self._start_s + self._heard_frames * FRAME_S
        self._heard_frames += 1
        for emission in self._stream.push(frame, time_s):
            self._heard += self._own.push(emission)
            self._site_heard += len(self._site.push(emission))
        return True

    def miss(self) -> str:
        """Say what was wrong with what came out; empty if it was as it must be."""
        file, label = self.utterance.file, self.utterance.label
        trial = Trial(file, None, label, tuple(self._heard))
        if trial.verdict is not Verdict.EXACT:
            became = ", ".join(f"'{h.text}' ({h.reject or h.command})" for h in self._heard) or "nothing"
            return f"{file} was heard as {became}"
        same_language = np.array_equal(self._site.foreign, self._own.foreign)
        if same_language and not self._site_heard:  # a command there or not, speech is always noticed
            return f"{file} went unnoticed by the recognizer of the grammar in use"
        return ""
