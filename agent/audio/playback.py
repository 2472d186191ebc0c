"""Recorded sound as a source: as fast as it is taken, or in real time as if from a microphone."""

import threading
import time
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from agent.audio.convert import FrameCutter
from agent.audio.source import FRAME_S, Frame


class Playback:
    """Delivers blocks of 16 kHz mono int16 (of any length) as frames; the last one is filled up with zeros.

    In real time a frame comes when its last sample would have been heard, stamped with the clock. Otherwise
    frames come as fast as they are taken, stamped from 0 on.
    """

    def __init__(self, blocks: Iterable[NDArray[np.int16]], *, real_time: bool = False) -> None:
        self._blocks = blocks
        self._real_time = real_time
        self._closed = threading.Event()

    def frames(self) -> Iterator[Frame]:
        """Yield frames until the blocks end or `close`. Raises what the blocks raise."""
        start_s = time.monotonic() if self._real_time else 0.0
        for number, samples in enumerate(_cut(self._blocks)):
            time_s = start_s + number * FRAME_S
            if self._real_time:
                self._closed.wait(max(0.0, time_s + FRAME_S - time.monotonic()))
            if self._closed.is_set():
                return
            yield Frame(samples, time_s)

    def close(self) -> None:
        """Stop within a frame."""
        self._closed.set()


def _cut(blocks: Iterable[NDArray[np.int16]]) -> Iterator[NDArray[np.int16]]:
    cutter = FrameCutter()
    for block in blocks:
        yield from cutter.push(block)
    yield from cutter.flush()
