"""The one Protocol behind which every inference engine hides."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Latency:
    """How long the last calls took."""

    def __init__(self) -> None:
        self.calls = 0
        self._recent_s: deque[float] = deque(maxlen=256)

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Time what runs inside; a call that raises is not counted."""
        start = perf_counter()
        yield
        self._recent_s.append(perf_counter() - start)
        self.calls += 1

    def quantile_s(self, share: float) -> float | None:
        """Return what `share` (0 to 1) of the last 256 calls did not exceed, None before the first."""
        return float(np.quantile(self._recent_s, share)) if self._recent_s else None


class Engine(Protocol):
    """Runs the model on one window at a time, from one thread at a time."""

    @property
    def name(self) -> str:
        """`onnx` or `rknn`."""

    @property
    def latency(self) -> Latency:
        """Of `run`."""

    def run(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return logits [frames, tokens] for the front end's rows [rows, channels].

        Raises:
            EngineError: no answer in time, or one that is no result.
        """

    def close(self) -> None:
        """Give memory and device back. Safe to call twice."""
