"""Recordings that are heard again and again: each window is computed once, and its answer kept in the cache.

What a station asks of its model depends on what it understands, for it hears a little sooner where that may
end a sentence. So windows are known by what is in them.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.acoustics.bundle import Bundle
from agent.acoustics.engines.engine import Engine, Latency
from agent.acoustics.manifest import Calibration, Manifest
from agent.acoustics.stream import log_softmax
from agent.audio.source import SAMPLE_RATE_HZ
from agent.durable import replacing
from agent.evaluation.listening import Ear
from agent.grammar.graph import Graph
from agent.recognition.hypothesis import Hypothesis

KEPT_S = 2.0
"""Of each window, from its end: a stream looks back no further than a hop, look-ahead and revised frames."""


class Remembering:
    """An engine that computes each window once.

    Args:
        engine: asked for what is not known.
        manifest: of the bundle that it runs.
    """

    name = "remembering"

    def __init__(self, engine: Engine, manifest: Manifest) -> None:
        self._engine, self._frames = engine, manifest.frames
        self._kept = min(manifest.frames, round(KEPT_S * SAMPLE_RATE_HZ / manifest.frame_samples))
        self.latency = Latency()
        self.answers: dict[bytes, NDArray[np.float16]] = {}
        """Log-probabilities [kept frames, tokens] by window."""

    def run(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Engine`; the answer is as exact as float16, known or not, and NaN before what is kept."""
        key = hashlib.blake2b(np.ascontiguousarray(rows).tobytes(), digest_size=16).digest()
        if key not in self.answers:
            self.answers[key] = log_softmax(self._engine.run(rows)[-self._kept :]).astype(np.float16)
        kept = self.answers[key].astype(np.float32)
        return np.pad(kept, ((self._frames - len(kept), 0), (0, 0)), constant_values=np.nan)

    def close(self) -> None:
        """See `Engine`."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Sound to be heard with a bundle as a station hears it."""

    bundle: Bundle
    engine: Engine
    samples: NDArray[np.int16]
    """Shape [n], 16 kHz."""
    cache: Path
    """Of the recipe."""

    def hear(
        self, graph: Graph, calibration: Calibration, commands: frozenset[str] | None = None
    ) -> list[Hypothesis]:
        """Return every utterance; what the model says of windows that were not asked for before is kept.

        Args:
            graph: what can be said.
            calibration: of the bundle.
            commands: names of those that can be said; all if None.
        """
        engine, path = Remembering(self.engine, self.bundle.manifest), self._path()
        if path.exists():
            with np.load(path) as stored:
                engine.answers.update(zip(map(bytes, stored["windows"]), stored["log_probs"], strict=True))
        known = len(engine.answers)
        hypotheses = Ear(self.bundle, engine, graph, calibration, commands).listen(self.samples)
        if len(engine.answers) > known:
            _write(path, engine.answers)
        return hypotheses

    @property
    def hours(self) -> float:
        """How long it is."""
        return len(self.samples) / SAMPLE_RATE_HZ / 3600

    def _path(self) -> Path:
        model = self.bundle.manifest.files["model.onnx"].sha256
        digest = hashlib.sha256(model.encode() + self.samples.tobytes()).hexdigest()
        return self.cache / "heard" / f"{digest[:32]}.npz"


def _write(path: Path, answers: Mapping[bytes, NDArray[np.float16]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    windows = np.array([list(key) for key in answers], np.uint8)
    with replacing(path) as file:
        np.savez(file, windows=windows, log_probs=np.stack(list(answers.values())))
