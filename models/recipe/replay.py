"""The agent's own stream in two passes, for an engine that is asked all at once, such as a simulator.

What the stream asks by itself does not depend on the answers: the first pass collects the windows, the second
takes the answers. So window, decoder and rejection are as shipped, but nothing is heard between hops.
"""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from agent.acoustics.engines.engine import Engine, Latency
from agent.acoustics.manifest import Manifest
from agent.acoustics.stream import AcousticStream, Emission
from agent.audio.source import SAMPLE_RATE_HZ
from models.recipe.peers.contestants import Heard, Mode, Sound, Voxline


class Collector:
    """An engine that keeps what it is asked, and answers nothing in particular."""

    name = "collector"

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self.latency = Latency()
        self.asked: list[NDArray[np.float32]] = []
        """Input tensors."""

    def run(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Engine`."""
        self.asked.append(np.array(self._manifest.input.from_rows(rows), np.float32))
        return np.zeros((self._manifest.frames, len(self._manifest.tokens)), np.float32)

    def close(self) -> None:
        """See `Engine`."""


class Replay:
    """An engine whose answers are there already, in the order in which they will be asked for."""

    name = "replay"

    def __init__(self, answers: Iterable[NDArray[np.float32]]) -> None:
        self._answers = iter(answers)
        self.latency = Latency()

    def run(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:  # noqa: ARG002 (it was asked before)
        """See `Engine`."""
        return next(self._answers)

    def close(self) -> None:
        """See `Engine`."""


class Answered:
    """A contestant that searches answers which are there already."""

    def __init__(self, manifest: Manifest, voxline: Voxline, answers: Iterable[NDArray[np.float32]]) -> None:
        self._manifest, self._voxline, self._engine = manifest, voxline, Replay(answers)

    def understand(self, sound: Sound) -> Mapping[Mode, Heard]:
        """See `Contestant`; recordings must come in the order in which they were collected."""
        said = list(stream(self._manifest, self._engine, sound))
        return {mode: self._voxline.search(said, mode) for mode in Mode}


def stream(manifest: Manifest, engine: Engine, samples: Sound) -> Iterator[Emission]:
    """Yield what a station's stream says of a recording at each hop."""
    station, hop = AcousticStream(manifest, engine), manifest.hop_samples
    for start in range(0, len(samples), hop):
        yield from station.push(samples[start : start + hop], start / SAMPLE_RATE_HZ)
