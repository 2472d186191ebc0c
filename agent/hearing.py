"""The recognizer's thread: takes frames from a source, hears them, hands on what was understood.

It never waits for anybody but the source. A new grammar, model or set of enabled commands is taken over in
a pause, so that no command is half heard by one and half by the other.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import structlog

from agent.audio.source import FRAME_S, AudioSource, Frame
from agent.audio.stuck import Stuck, StuckDetector
from agent.errors import AudioError, EngineError
from agent.health.selftest import SelfTest
from agent.health.snapshot import Outcome, Result
from agent.recognition.hypothesis import Hypothesis
from agent.recognition.listener import Listener

LOAD_FRAMES = 3000
"""Over which the computing time is averaged: 30 s."""
PATIENCE_S = 5.0
"""A change that waits this long for a pause is made without one: someone talks without end."""

TEST_PATIENCE_S = 30.0
"""A self-test that waits this long for pauses goes on without them."""
TEST_LAG_S = 0.5
"""Sound is this old at most when it is heard, or a self-test waits: it must not make commands late."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ended:
    """The source is at its end; nothing more will be heard."""

    error: str = ""
    """Why, if it was not meant to end."""


@dataclass(frozen=True, slots=True)
class EngineFailed:
    """The engine gave no result; what was said meanwhile may be lost."""

    reason: str


Heard = Hypothesis | Ended | EngineFailed | Result


class Hearing:
    """One thread from source to hypothesis.

    Args:
        source: closed by `stop`.
        listener: used by the thread alone from `start` on.
        sink: called in the thread with everything that was heard; must not block.
    """

    def __init__(self, source: AudioSource, listener: Listener, sink: Callable[[Heard], None]) -> None:
        self._source = source
        self._listener = listener
        self._sink = sink
        self._stuck = StuckDetector()
        self._changes: deque[tuple[Callable[[Listener], None], float]] = deque()
        self._deaf_until_s = -math.inf
        self._enabled: tuple[Collection[str], float] | None = None
        self._test: tuple[SelfTest, float] | None = None
        self._load = 0.0
        self._stopping = False
        self.frames_total = 0
        self.last_frame_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="hearing", daemon=True)

    @property
    def listener(self) -> Listener:
        """The listener at work; ask it for levels, no more."""
        return self._listener

    @property
    def real_time_factor(self) -> float | None:
        """Computing time per second of sound, over the last half minute or so."""
        return self._load if self.frames_total else None

    def stuck(self, now_s: float) -> Stuck | None:
        """Say why the source is dead although it may deliver frames."""
        return self._stuck.finding(now_s)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Close the source and wait for the thread."""
        self._stopping = True
        self._source.close()
        self._thread.join(5)

    def mute(self, duration_s: float) -> None:
        """Hear silence for a while from now on: the station must not take its own tones for an operator.

        Tones sound one after the other, so the times add up.
        """
        self._deaf_until_s = max(time.monotonic(), self._deaf_until_s) + duration_s

    def enable(self, commands: Collection[str]) -> None:
        """Let only these commands be said from the next pause on; the latest call wins."""
        self._enabled = commands, time.monotonic() + PATIENCE_S

    def change(self, alter: Callable[[Listener], None]) -> None:
        """Let `alter` change the listener at the next pause, in the hearing thread, in order of calls."""
        self._changes.append((alter, time.monotonic() + PATIENCE_S))

    def examine(self, test: SelfTest) -> None:
        """Run a self-test in pauses, beside what is heard; its result is told like everything heard.

        It takes the engine as long again as the sound that goes by meanwhile. Another test takes its place.
        """
        self._test = test, time.monotonic() + TEST_PATIENCE_S

    def _run(self) -> None:
        try:
            for frame in self._source.frames():
                began_s = time.monotonic()
                self._apply_changes(began_s)
                self._stuck.update(frame.samples, began_s)
                try:
                    muted = frame.time_s < self._deaf_until_s
                    samples = np.zeros_like(frame.samples) if muted else frame.samples
                    for hypothesis in self._listener.hear(samples, frame.time_s):
                        self._sink(hypothesis)
                except EngineError as error:
                    self._sink(EngineFailed(str(error)))
                if self._test:
                    self._go_on(*self._test, time.monotonic(), frame, muted=muted)
                self.frames_total += 1
                self.last_frame_s = time.monotonic()
                busy = (self.last_frame_s - began_s) / FRAME_S
                self._load += (busy - self._load) / min(self.frames_total, LOAD_FRAMES)
                if self._stopping:
                    break
        except AudioError as error:
            self._sink(Ended(str(error)))
        except Exception as error:  # the last line of defence: the agent must learn that it is deaf
            log.exception("hearing_failed")
            self._sink(Ended(f"{type(error).__name__}: {error}"))
        else:
            self._sink(Ended())

    def _apply_changes(self, now_s: float) -> None:
        while self._changes and (self._listener.idle or now_s > self._changes[0][1]):
            alter, _ = self._changes.popleft()
            alter(self._listener)
            if self._test:  # it ran on what was changed
                self._test = None
                self._sink(Result(Outcome.NOT_RUN, reason="what hears was changed meanwhile"))
        if (enabled := self._enabled) and (self._listener.idle or now_s > enabled[1]):
            self._listener.enable(enabled[0])
            if self._enabled is enabled:
                self._enabled = None

    def _go_on(
        self, test: SelfTest, patient_until_s: float, now_s: float, frame: Frame, *, muted: bool
    ) -> None:
        """Let the test hear one frame more, unless somebody speaks, the station does, or it lags behind."""
        late_s = now_s - patient_until_s
        busy = not self._listener.idle or now_s - frame.time_s > TEST_LAG_S
        if (muted and late_s < TEST_PATIENCE_S) or (busy and late_s < 0):
            return
        try:
            result = (
                Result(Outcome.FAILED, reason="the station's own tones keep it deaf")
                if muted
                else test.step(self._listener)
            )
        except Exception as error:  # a test that fails must not make the station deaf
            log.exception("self_test_broke")
            result = Result(Outcome.FAILED, reason=f"{type(error).__name__}: {error}")
        if result and self._test and self._test[0] is test:
            self._test = None
            self._sink(result)
