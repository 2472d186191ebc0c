"""Recordings that are heard again and again: each window is computed once, and its answer kept in the cache.

What a station asks of its model depends on what it understands, for it hears a little sooner where that may
end a sentence. So windows are known by what is in them.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.acoustics.bundle import Bundle
from agent.acoustics.engines.engine import Engine, Latency
from agent.acoustics.manifest import SAMPLE_RATE_HZ, Calibration
from agent.acoustics.stream import log_softmax
from agent.evaluation.listening import Ear
from agent.grammar.graph import Graph
from agent.recognition.hypothesis import Hypothesis

KEPT_S = 2.0
"""Of each window, from its end: a stream looks back no further than a hop, look-ahead and revised frames."""


class Remembering:
    """An engine that computes each window once.

    Args:
        engine: asked for what is not known.
        kept: how many frames of a window are kept; those before them are NaN.
    """

    name = "remembering"

    def __init__(self, engine: Engine, kept: int) -> None:
        self._engine, self._kept = engine, kept
        self.latency = Latency()
        self.answers: dict[bytes, NDArray[np.float16]] = {}
        """Log-probabilities [frames, tokens] by window."""

    def run(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Engine`; the answer is as exact as float16, known or not."""
        key = hashlib.blake2b(np.ascontiguousarray(rows).tobytes(), digest_size=16).digest()
        if key not in self.answers:
            answer = log_softmax(self._engine.run(rows)).astype(np.float16)
            answer[: -self._kept] = np.nan
            self.answers[key] = answer
        return self.answers[key].astype(np.float32)

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

    def hear(self, graph: Graph, calibration: Calibration) -> list[Hypothesis]:
        """Return every utterance; what the model says of windows that were not asked for before is kept."""
        manifest = self.bundle.manifest
        kept = min(manifest.frames, round(KEPT_S * SAMPLE_RATE_HZ / manifest.frame_samples))
        engine, path = Remembering(self.engine, kept), self._path()
        if path.exists():
            with np.load(path) as stored:
                unknown = np.full(
                    (len(stored["windows"]), manifest.frames - kept, len(manifest.tokens)), np.nan
                )
                answers = np.concatenate((unknown.astype(np.float16), stored["log_probs"]), axis=1)
                engine.answers.update(zip(map(bytes, stored["windows"]), answers, strict=True))
        known = len(engine.answers)
        hypotheses = Ear(self.bundle, engine, graph, calibration).listen(self.samples)
        if len(engine.answers) > known:
            self._write(path, engine, kept)
        return hypotheses

    @property
    def hours(self) -> float:
        """How long it is."""
        return len(self.samples) / SAMPLE_RATE_HZ / 3600

    def _path(self) -> Path:
        model = self.bundle.manifest.files["model.onnx"].sha256
        digest = hashlib.sha256(model.encode() + self.samples.tobytes()).hexdigest()
        return self.cache / "heard" / f"{digest[:32]}.npz"

    def _write(self, path: Path, engine: Remembering, kept: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npz")
        np.savez(
            partial,
            windows=np.array([list(key) for key in engine.answers], np.uint8),
            log_probs=np.stack([answer[-kept:] for answer in engine.answers.values()]),
        )
        partial.rename(path)
