"""One opened input stream: what PortAudio's thread hands over becomes frames with true times."""

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from agent.audio.clock import SampleClock
from agent.audio.convert import FULL_SCALE, FrameCutter, Resampler
from agent.audio.source import FRAME_S, FRAME_SAMPLES, SAMPLE_RATE_HZ, Frame

_OVERFLOW = 2  # PortAudio's paInputOverflow
_CONTINUE = 0  # PortAudio's paContinue
_QUEUE_CHUNKS = 300  # 3 s: longer than a swap of bundles holds the listener up
_SANE_LATENCY_S = 0.25  # PortAudio's buffers are shorter; PulseAudio claims 0.65 s in its first second
_SANE_WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class _Chunk:
    data: bytes
    index: int
    heard_s: float
    overflow: bool


class Capture:
    """Between PortAudio's thread, which calls `callback`, and the listener's, which calls `read`."""

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self.chunk_samples = round(rate_hz * FRAME_S)
        self.overruns = 0
        """How often PortAudio or the queue lost sound because it was not fetched in time."""
        self._queue: queue.Queue[_Chunk] = queue.Queue(_QUEUE_CHUNKS)
        self._stream_clock: Callable[[], float] | None = None
        self._captured = 0
        self._full = False
        self._clock = SampleClock(rate_hz)
        self._next = 0
        self._restart(0)

    def callback(
        self, data: bytes | None, count: int, times: dict[str, float], status: int
    ) -> tuple[None, int]:
        """Copy one chunk into the queue; runs in PortAudio's thread, must not wait nor raise."""
        overflow = bool(status & _OVERFLOW)
        self.overruns += overflow
        try:
            self._queue.put_nowait(_Chunk(data or b"", self._captured, self._heard_s(count, times), overflow))
            self._full = False
        except queue.Full:
            self.overruns += not self._full
            self._full = True
        self._captured += count
        return None, _CONTINUE

    def read(self, timeout_s: float) -> list[Frame]:
        """Give the frames that the next chunk completes: none, one, or a few. Raises `queue.Empty`."""
        chunk = self._queue.get(timeout=timeout_s)
        lost = self._clock.observe(chunk.index, chunk.heard_s, gap=chunk.overflow)
        if lost or chunk.index != self._next:
            self._restart(chunk.index)
        self._next = chunk.index + len(chunk.data) // 2
        samples = np.frombuffer(chunk.data, np.int16).astype(np.float32) / np.float32(FULL_SCALE)
        frames = []
        for frame in self._cutter.push(self._resampler.push(samples)):
            first = self._start + self._delivered * self.rate_hz / SAMPLE_RATE_HZ
            frames.append(Frame(frame, self._clock.time_of(first)))
            self._delivered += FRAME_SAMPLES
        return frames

    def _restart(self, index: int) -> None:
        """Nothing from before a gap may be joined to what comes after it."""
        self._start, self._delivered = index, 0
        self._resampler, self._cutter = Resampler(self.rate_hz), FrameCutter()

    def _heard_s(self, count: int, times: dict[str, float]) -> float:
        """Monotonic time of the chunk's first sample: PortAudio's if sane, else counted back from now.

        PortAudio counts in wall-clock or monotonic seconds, depending on its version. Its thread may have
        waited for the interpreter lock since it looked at its clock.
        """
        current_s = times["current_time"]
        if self._stream_clock is None:
            wall_is_nearer = abs(time.time() - current_s) < abs(time.monotonic() - current_s)
            self._stream_clock = time.time if wall_is_nearer else time.monotonic
        waited_s = self._stream_clock() - current_s
        if not 0 <= waited_s <= _SANE_WAIT_S:
            waited_s = 0.0
        latency_s = current_s - times["input_buffer_adc_time"]
        if not 0 <= latency_s <= _SANE_LATENCY_S:
            latency_s = count / self.rate_hz
        return time.monotonic() - waited_s - latency_s
