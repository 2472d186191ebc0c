"""What calibration listens to: dev speech in noise that training never saw, and hours without a command."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.acoustics.bundle import Bundle
from agent.acoustics.engines.engine import Engine
from agent.acoustics.stream import Emission
from agent.audio.file import read_audio
from agent.evaluation.commands import read_labels
from agent.evaluation.listening import in_room
from agent.evaluation.rejects import find_audio
from agent.grammar import compile_grammar, load_grammar
from agent.grammar.graph import Graph
from models.recipe.calibrate import Negative, Positive, emissions
from models.recipe.noise import synthesize

REPOSITORY = Path(__file__).parents[2]
UNSEEN_NOISE = ("007_helicopter", "003_sea_waves")
"""Classes of ESC-10 that training leaves out; the synthesized family `hydraulics` is a third."""
SNRS_DB: tuple[float | None, ...] = (None, 24.0, 18.0, 12.0, 6.0)
_PIECE_SAMPLES = 300 * 16_000
_PAUSE_SAMPLES = 4_800


class Listening:
    """Runs the model once over everything, and keeps what it said in `cache`."""

    def __init__(self, bundle: Bundle, engine: Engine, speech: Path, cache: Path) -> None:
        self._bundle, self._engine, self._speech, self._cache = bundle, engine, speech, cache

    def graph(self, grammar: Path) -> Graph:
        """Compile a grammar for the bundle."""
        return compile_grammar(load_grammar(grammar), self._bundle.manifest.tokens)

    def orders(self) -> Iterator[Positive]:
        """Yield strangers ordering coffee, clean and in unseen noise."""
        folder = self._speech / "dev/coffee"
        graph = self.graph(REPOSITORY / "tests/grammars/coffee.yaml")
        beds = unseen_noise(self._speech)
        for snr_db in SNRS_DB:
            for index, (file, label) in enumerate(sorted(read_labels(folder / "labels.json").items())):
                bed = None if snr_db is None else beds[index % len(beds)]
                sound = in_room(read_audio(folder / file), bed, snr_db, seed=index)
                yield Positive(file, snr_db, label, graph, self._hear(sound))

    def grammar_clips(self, folder: Path) -> Iterator[Positive]:
        """Yield synthetic commands of the shipped grammars from `labels-<grammar>.json`."""
        for labels in sorted(folder.glob("labels-*.json")):
            graph = self.graph(_grammar_of(labels))
            for index, (file, label) in enumerate(sorted(read_labels(labels).items())):
                sound = in_room(read_audio(folder / file), None, None, seed=index)
                yield Positive(file, None, label, graph, self._hear(sound))

    def near_misses(self, folder: Path) -> Iterator[Negative]:
        """Yield sentences that are one sound or word away from a command, from `near-<grammar>.json`."""
        for texts in sorted(folder.glob("near-*.json")):
            graph = self.graph(_grammar_of(texts))
            for index, file in enumerate(sorted(json.loads(texts.read_text()))):
                sound = in_room(read_audio(folder / file), None, None, seed=index)
                yield Negative(graph, self._hear(sound), len(sound) / 16_000 / 3600)

    def other_sound(self, folders: Sequence[Path], grammars: Sequence[Path]) -> Iterator[Negative]:
        """Yield hours of speech and noise without a command, in pieces of five minutes, for each grammar."""
        graphs = [self.graph(grammar) for grammar in grammars]
        for folder in folders:
            for piece in _pieces(folder):
                heard = self._hear(piece)
                for graph in graphs:
                    yield Negative(graph, heard, len(piece) / 16_000 / 3600)

    def _hear(self, sound: NDArray[np.int16]) -> list[Emission]:
        return emissions(self._bundle, self._engine, sound, self._cache)


def unseen_noise(speech: Path) -> list[NDArray[np.int16]]:
    """Return the beds of noise that training never heard: helicopters, the sea, hydraulics."""
    recorded = [
        np.concatenate([read_audio(file) for file in find_audio(speech / "noise/esc10" / name)])
        for name in UNSEEN_NOISE
    ]
    return [*recorded, np.concatenate([synthesize("hydraulics", 100 + i, 5.0) for i in range(20)])]


def _grammar_of(file: Path) -> Path:
    return REPOSITORY / "grammars" / f"{file.stem.partition('-')[2]}.yaml"


def _pieces(folder: Path) -> Iterator[NDArray[np.int16]]:
    piece: list[NDArray[np.int16]] = []
    for file in find_audio(folder):
        piece += [read_audio(file), np.zeros(_PAUSE_SAMPLES, np.int16)]
        if sum(map(len, piece)) >= _PIECE_SAMPLES:
            yield np.concatenate(piece)
            piece = []
    if piece:
        yield np.concatenate(piece)
