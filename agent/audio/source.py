"""The one Protocol behind which every audio source hides."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
FRAME_SAMPLES = 160
"""10 ms."""
FRAME_S = FRAME_SAMPLES / SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True)
class Frame:
    """10 ms of mono sound."""

    samples: NDArray[np.int16]
    """Shape [160], full scale is 32767."""

    time_s: float
    """Monotonic time of the first sample. Where it does not follow the previous frame, sound was lost."""


class AudioSource(Protocol):
    """Delivers frames in order, blocking, until it ends or is closed."""

    def frames(self) -> Iterator[Frame]:
        """Yield frames; returns when the source ends (a file) or after `close` (a microphone)."""

    def close(self) -> None:
        """Stop; `frames` returns soon after. Safe to call from another thread and twice."""
