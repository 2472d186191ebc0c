"""Raw 16 kHz mono little-endian int16 from a pipe: `arecord -f S16_LE -r 16000 -t raw | voxline ...`."""

import array
import fcntl
import math
import os
import select
import stat
import termios
import threading
import time
from collections.abc import Iterator

import numpy as np

from agent.audio.clock import SampleClock
from agent.audio.convert import FrameCutter
from agent.audio.source import FRAME_SAMPLES, SAMPLE_RATE_HZ, Frame

_POLL_S = 0.2
_READ_BYTES = 2 * FRAME_SAMPLES * 10
_PAGE = 4096
"""A pipe is full from one write short of its size on."""


class PcmPipe:
    """Frames from a file descriptor, 0 being standard input.

    Times follow the arrival of the bytes, smoothed; a pipe faster than real time is stamped by count. So is
    what is found in a full pipe: it came right after what was taken last, however long ago that is. An odd
    last byte is no sample and is dropped; the last frame is filled up with zeros.
    """

    def __init__(self, descriptor: int = 0) -> None:
        self.overruns = 0
        """How often sound was lost, because it came too late or nobody took it."""
        self._descriptor = descriptor
        self._is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
        self._room = fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ) - _PAGE if self._is_pipe else math.inf
        self._closed = threading.Event()

    def frames(self) -> Iterator[Frame]:
        """Yield frames until the writer closes the pipe or `close`."""
        cutter, clock = FrameCutter(), SampleClock(SAMPLE_RATE_HZ)
        received = delivered = 0
        odd, overfull = b"", False
        while not self._closed.is_set():
            if not select.select([self._descriptor], [], [], _POLL_S)[0]:
                continue
            now_s = (
                time.monotonic()
            )  # before reading: a pause here makes sound older than it is, never fresher
            data = os.read(self._descriptor, _READ_BYTES)
            if not data:
                break
            data = odd + data
            whole = len(data) // 2 * 2
            odd = data[whole:]
            samples = np.frombuffer(data[:whole], "<i2").astype(np.int16)
            waiting = self._waiting_bytes()
            overfull = len(data) + waiting > self._room or (overfull and waiting >= _READ_BYTES)
            if not (overfull and received):
                behind_s = (len(samples) + waiting / 2) / SAMPLE_RATE_HZ
                self.overruns += clock.observe(received, now_s - behind_s)
            received += len(samples)
            for frame in cutter.push(samples):
                yield Frame(frame, clock.time_of(delivered))
                delivered += FRAME_SAMPLES
        for frame in cutter.flush():
            yield Frame(frame, clock.time_of(delivered))

    def _waiting_bytes(self) -> int:
        if not self._is_pipe:
            return 0  # of a file all waits that comes later
        count = array.array("i", [0])
        fcntl.ioctl(self._descriptor, termios.FIONREAD, count)
        return count[0]

    def close(self) -> None:
        """Stop within 0.2 s; the descriptor stays open."""
        self._closed.set()
