"""Listening to a microphone in a test, and finding what was played in what was heard."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from agent.audio.microphone import Microphone
from agent.audio.source import Frame
from tests.integration.brokers import eventually
from tests.integration.pulse import MICROPHONE


class Listener:
    """Collects what a microphone hears, in a thread."""

    def __init__(self, microphone: Microphone) -> None:
        self.microphone = microphone
        self.frames: list[Frame] = []
        self.slow = threading.Event()
        self.arrived_s: list[float] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for frame in self.microphone.frames():
            self.arrived_s.append(time.monotonic())
            self.frames.append(frame)
            while self.slow.is_set():
                time.sleep(0.01)

    def tried(self, attempts: int) -> Callable[[], bool]:
        return lambda: self.microphone.state.attempts >= attempts

    def heard_since(self, frames: int) -> Callable[[], bool]:
        return lambda: len(self.frames) > frames + 10

    def catch_up(self) -> None:
        """Wait until all is here that has sounded by now."""
        now_s = time.monotonic()
        assert eventually(lambda: self.frames[-1].time_s > now_s)

    def samples(self) -> NDArray[np.int16]:
        return np.concatenate([frame.samples for frame in self.frames])

    def stop(self) -> None:
        self.slow.clear()
        self.microphone.close()
        self._thread.join(timeout=5)
        assert not self._thread.is_alive(), "frames() does not end after close()"


@contextmanager
def listening(pattern: str = MICROPHONE) -> Iterator[Listener]:
    listener = Listener(Microphone(pattern))
    try:
        yield listener
    finally:
        listener.stop()


def sweep(seconds: float = 2.0) -> NDArray[np.int16]:
    """300 Hz to 6 kHz, at half scale: sharp in correlation, unlike anything else."""
    time_s = np.arange(round(16_000 * seconds)) / 16_000
    phase = 2 * np.pi * (300 * time_s + (6_000 - 300) / (2 * seconds) * time_s**2)
    return np.asarray(np.rint(16_000 * np.sin(phase)), np.int16)


def best_match(heard: NDArray[np.int16], played: NDArray[np.int16]) -> tuple[float, int]:
    """Largest normalized correlation of the whole of `played` in `heard`, and at which sample it begins.

    The sound server may shift by a fraction of a sample: eighths are tried.
    """
    size = 1 << (len(heard) + len(played)).bit_length()
    spectrum = np.fft.rfft(heard.astype(float), size) * np.conj(np.fft.rfft(played.astype(float), size))
    power = np.concatenate([[0.0], np.cumsum(heard.astype(float) ** 2)])
    energy = power[len(played) :] - power[: len(power) - len(played)]
    scale = np.sqrt(np.maximum(energy, 1.0) * np.sum(played.astype(float) ** 2))
    best = (0.0, 0)
    for shift in np.arange(8) / 8:
        delay = np.exp(2j * np.pi * np.fft.rfftfreq(size) * shift)
        scores = np.fft.irfft(spectrum * delay, size)[: len(scale)] / scale
        at = int(np.argmax(scores))
        best = max(best, (float(scores[at]), at))
    return best
