"""The recognizer's thread: takes frames from a source, hears them, hands on what was understood.

It never waits for anybody but the source. A new grammar, model or set of enabled commands is taken over in
a pause, so that no command is half heard by one and half by the other.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import structlog

from agent.audio.source import FRAME_S, AudioSource
from agent.audio.stuck import Stuck, StuckDetector
from agent.errors import AudioError, EngineError
from agent.recognition.hypothesis import Hypothesis
from agent.recognition.listener import Listener

PATIENCE_S = 5.0
"""A change that waits this long for a pause is made without one: someone talks without end."""

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


Heard = Hypothesis | Ended | EngineFailed


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
        self._deaf_until_s = 0.0
        self._stopping = False
        self.frames_total = 0
        self.busy_s = 0.0
        """Time spent hearing, to compare with `frames_total` * 10 ms."""
        self.last_frame_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="hearing", daemon=True)

    @property
    def listener(self) -> Listener:
        """The listener at work; ask it for levels, no more."""
        return self._listener

    @property
    def real_time_factor(self) -> float | None:
        """Computing time per second of sound so far."""
        return self.busy_s / (self.frames_total * FRAME_S) if self.frames_total else None

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
        """Hear silence for a while from now on: the station must not take its own tones for an operator."""
        self._deaf_until_s = time.monotonic() + duration_s

    def change(self, alter: Callable[[Listener], None]) -> None:
        """Let `alter` change the listener at the next pause, in the hearing thread, in order of calls."""
        self._changes.append((alter, time.monotonic() + PATIENCE_S))

    def _run(self) -> None:
        try:
            for frame in self._source.frames():
                began_s = time.monotonic()
                self._apply_changes(began_s)
                self._stuck.update(frame.samples, began_s)
                try:
                    samples = frame.samples if began_s >= self._deaf_until_s else np.zeros_like(frame.samples)
                    for hypothesis in self._listener.hear(samples, frame.time_s):
                        self._sink(hypothesis)
                except EngineError as error:
                    self._sink(EngineFailed(str(error)))
                self.frames_total += 1
                self.last_frame_s = time.monotonic()
                self.busy_s += self.last_frame_s - began_s
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
