"""Raw 16 kHz mono little-endian int16 from a pipe: `arecord -f S16_LE -r 16000 -t raw | voxline ...`."""

import os
import select
import threading
import time
from collections.abc import Iterator

import numpy as np

from agent.audio.clock import SampleClock
from agent.audio.convert import FrameCutter
from agent.audio.source import FRAME_SAMPLES, SAMPLE_RATE_HZ, Frame

_POLL_S = 0.2
_READ_BYTES = 2 * FRAME_SAMPLES * 10


class PcmPipe:
    """Frames from a file descriptor, 0 being standard input.

    Times follow the arrival of the bytes, smoothed; a pipe faster than real time is stamped by count.
    An odd last byte is no sample and is dropped; the last frame is filled up with zeros.
    """

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor
        self._closed = threading.Event()

    def frames(self) -> Iterator[Frame]:
        """Yield frames until the writer closes the pipe or `close`."""
        cutter, clock = FrameCutter(), SampleClock(SAMPLE_RATE_HZ)
        received = delivered = 0
        odd = b""
        while not self._closed.is_set():
            if not select.select([self._descriptor], [], [], _POLL_S)[0]:
                continue
            data = os.read(self._descriptor, _READ_BYTES)
            if not data:
                break
            data = odd + data
            whole = len(data) // 2 * 2
            odd = data[whole:]
            samples = np.frombuffer(data[:whole], "<i2").astype(np.int16)
            clock.observe(received, time.monotonic() - len(samples) / SAMPLE_RATE_HZ)
            received += len(samples)
            for frame in cutter.push(samples):
                yield Frame(frame, clock.time_of(delivered))
                delivered += FRAME_SAMPLES
        for frame in cutter.flush():
            yield Frame(frame, clock.time_of(delivered))

    def close(self) -> None:
        """Stop within 0.2 s; the descriptor stays open."""
        self._closed.set()
