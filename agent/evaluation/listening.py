"""Recordings heard as the station hears: streamed, window by window, with whatever noise is asked for."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.acoustics.bundle import Bundle
from agent.acoustics.engines.engine import Engine
from agent.acoustics.manifest import Calibration
from agent.acoustics.stream import AcousticStream
from agent.audio.mixing import mix
from agent.audio.source import FRAME_SAMPLES, SAMPLE_RATE_HZ
from agent.grammar.graph import Graph
from agent.grammar.schema import CANCEL, CONFIRM
from agent.recognition.hypothesis import Hypothesis
from agent.recognition.listener import Listener
from agent.recognition.recognizer import Recognizer

LEAD_S, TAIL_S = 1.0, 1.5
"""A station hears the room before and after a command, so a clip does as well."""


@dataclass(frozen=True, slots=True)
class Ear:
    """Everything that hearing takes but the sound."""

    bundle: Bundle
    engine: Engine
    graph: Graph
    calibration: Calibration
    commands: frozenset[str] | None = None
    """Names of those that can be said; all if None."""

    def listen(self, samples: NDArray[np.int16]) -> list[Hypothesis]:
        """Return every utterance of a recording; time 0 is its first sample."""
        listener = self.listener()
        heard, at = [], 0
        for frame in frames(samples):
            heard += listener.hear(frame, at / SAMPLE_RATE_HZ)
            at += len(frame)
        return heard

    def listener(self) -> Listener:
        """Return a fresh listener, ready for a stream of its own."""
        return Listener(AcousticStream(self.bundle.manifest, self.engine), self.recognizer())

    def recognizer(self) -> Recognizer:
        """Return a fresh recognizer, to be put into a listener."""
        recognizer = Recognizer(self.graph, self.calibration, self.bundle.manifest.frame_s)
        if self.commands is not None:
            recognizer.enable(self.commands)
        return recognizer


def unasked(graph: Graph) -> frozenset[str]:
    """Return what a station listens for while it asks nothing: neither "confirm" nor "cancel"."""
    return frozenset(command.name for command in graph.commands) - {CONFIRM, CANCEL}


def frames(samples: NDArray[np.int16]) -> Iterator[NDArray[np.int16]]:
    """Cut a recording into what a microphone gives at a time."""
    for start in range(0, len(samples), FRAME_SAMPLES):
        yield samples[start : start + FRAME_SAMPLES]


def in_room(
    speech: NDArray[np.int16], noise: NDArray[np.int16] | None, snr_db: float | None, seed: int
) -> NDArray[np.int16]:
    """Put a clip into a stream: a second of room before it, a second and a half after, noise under all.

    Args:
        speech: shape [n].
        noise: shape [m], repeated as needed, from a random place; None leaves the room as quiet as it gets.
        snr_db: see `agent.audio.mixing.mix`.
        seed: of the place in the noise.
    """
    rng = np.random.default_rng(seed)
    padded = np.pad(speech, (round(LEAD_S * SAMPLE_RATE_HZ), round(TAIL_S * SAMPLE_RATE_HZ)))
    if noise is not None and snr_db is not None:
        return mix(padded, noise, snr_db, offset=int(rng.integers(len(noise))))
    hiss = rng.normal(0, 3, len(padded))  # -80 dBFS: the quietest microphone there is
    return np.clip(padded + hiss, -32768, 32767).astype(np.int16)
