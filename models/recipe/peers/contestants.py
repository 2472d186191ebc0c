"""Engines as contestants: a recording of a grammar's sentences in, what was understood out, in both modes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.acoustics.bundle import Bundle
from agent.acoustics.engines.onnx import OnnxEngine
from agent.acoustics.stream import Emission
from agent.grammar import compile_grammar, load_grammar
from agent.grammar.compiler import accepted_sentences
from agent.grammar.graph import Graph
from agent.grammar.lexicon import Lexicon
from agent.grammar.sentences import Sentences
from agent.recognition.hypothesis import HeardWord, Hypothesis, Reject
from agent.recognition.recognizer import Recognizer
from models.recipe.calibrate import NOTHING_REFUSED, permissive
from models.recipe.peers.engines import Peer
from models.recipe.peers.matching import Matcher
from models.recipe.remembering import Recording

Sound = NDArray[np.int16]
Heard = Sequence[Hypothesis]
DISTANCE = "cost_per_sound"
"""Name of the evidence how far a text is from the sentence taken for it."""


class Mode(StrEnum):
    """What an engine may refuse."""

    EVERYTHING = NOTHING_REFUSED
    ITSELF = "own rejection"
    """As it refuses by itself, at its defaults."""


class Contestant(Protocol):
    """An engine with a grammar."""

    def understand(self, sound: Sound) -> Mapping[Mode, Heard]:
        """Understand a recording, shape [n], 16 kHz."""


@dataclass(frozen=True, slots=True)
class Task:
    """A grammar, ready for every engine."""

    sentences: Sentences
    lexicon: Lexicon
    graph: Graph

    @classmethod
    def of(cls, grammar_file: Path, tokens: Sequence[str]) -> "Task":
        """Prepare a grammar for a model with these tokens."""
        grammar = load_grammar(grammar_file)
        lexicon = Lexicon(grammar.pronounce)
        return cls(accepted_sentences(grammar), lexicon, compile_grammar(grammar, tokens))


class Voxline:
    """A bundle as it streams, its acoustic answers from the cache where they are there."""

    def __init__(self, bundle: Bundle, task: Task, cache: Path) -> None:
        self._bundle, self._graph, self._cache = bundle, task.graph, cache
        self._engine = OnnxEngine(bundle)
        shipped = bundle.manifest.operating_points.normal
        self._calibrations = {Mode.EVERYTHING: permissive(shipped), Mode.ITSELF: shipped}

    def understand(self, sound: Sound) -> Mapping[Mode, Heard]:
        """See `Contestant`."""
        recording = Recording(self._bundle, self._engine, sound, self._cache)
        return {mode: recording.hear(self._graph, self._calibrations[mode]) for mode in Mode}

    def search(self, said: Sequence[Emission], mode: Mode) -> Heard:
        """Search what the acoustic model said."""
        frame_s = self._bundle.manifest.frame_s
        recognizer = Recognizer(self._graph, self._calibrations[mode], frame_s)
        return [hypothesis for emission in said for hypothesis in recognizer.push(emission)]


class Matched:
    """An engine that writes text, and the sentence of the grammar that is nearest to its text."""

    def __init__(self, peer: Peer, task: Task, far: float) -> None:
        self._peer, self._far = peer, far
        self._matcher = Matcher(task.graph, task.lexicon)

    def understand(self, sound: Sound) -> Mapping[Mode, Heard]:
        """See `Contestant`."""
        transcript = self._peer.hear(sound)
        nearest = self._matcher.nearest(transcript.text)
        if nearest is None:
            return dict.fromkeys(Mode, ())
        refused = transcript.refused or nearest.cost_per_sound > self._far
        return {
            mode: [
                Hypothesis(
                    start_s=0.0,
                    end_s=0.0,
                    snr_db=None,
                    command=nearest.meaning.command,
                    slots=nearest.meaning.slots,
                    words=tuple(HeardWord(word, 0.0, 0.0, 0.0, (), ()) for word in nearest.words),
                    evidence={DISTANCE: nearest.cost_per_sound},
                    reject=Reject.BACKGROUND if refused and mode is Mode.ITSELF else None,
                )
            ]
            for mode in Mode
        }
