"""What calibration listens to: dev speech in noise that training never saw, and hours without a command."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from agent.acoustics.bundle import Bundle
from agent.acoustics.engines.engine import Engine
from agent.audio.file import read_audio
from agent.audio.source import SAMPLE_RATE_HZ
from agent.evaluation.commands import Label, read_labels
from agent.evaluation.listening import in_room
from agent.evaluation.rejects import find_audio
from agent.grammar import compile_grammar, load_grammar
from agent.grammar.compiler import audible_sentences
from agent.grammar.graph import Graph
from agent.grammar.inspect import Parse, explain
from models.recipe.calibrate import Negative, Positive
from models.recipe.corpus import rows
from models.recipe.noise import HELD_OUT_BEDS, HELD_OUT_FAMILIES, synthesize
from models.recipe.remembering import Recording
from models.recipe.rooms import simulate, speak_in

REPOSITORY = Path(__file__).parents[2]
COFFEE = REPOSITORY / "tests/grammars/coffee.yaml"
ROOMS, ROOM_SEED = 12, 500
SNRS_DB: tuple[float | None, ...] = (None, 24.0, 18.0, 12.0, 6.0)
_PIECE_SAMPLES = 300 * SAMPLE_RATE_HZ
_PAUSE_SAMPLES = 4_800


@dataclass(frozen=True, slots=True)
class Order:
    """An order of coffee, clean or in noise."""

    file: str
    snr_db: float | None
    label: Label
    sound: NDArray[np.int16]


def orders(speech: Path, snrs_db: Sequence[float | None], every: int = 1) -> Iterator[Order]:
    """Yield each so manieth order of strangers at each ratio, in noise that training never heard."""
    folder, beds = speech / "dev/coffee", unseen_noise(speech)
    clips = list(enumerate(sorted(read_labels(folder / "labels.json").items())))[::every]
    for snr_db in snrs_db:
        for index, (file, label) in clips:
            yield Order(file, snr_db, label, _in_noise(read_audio(folder / file), beds, snr_db, index))


def _in_noise(
    speech: NDArray[np.int16], beds: Sequence[NDArray[np.int16]], snr_db: float | None, index: int
) -> NDArray[np.int16]:
    """Put the recording of an index into a room, over the bed that is its turn."""
    return in_room(speech, None if snr_db is None else beds[index % len(beds)], snr_db, seed=index)


class Listening:
    """Everything that a bundle is calibrated and judged by; what the model says of it is kept in `cache`."""

    def __init__(self, bundle: Bundle, engine: Engine, speech: Path, cache: Path) -> None:
        self.bundle, self.speech, self._engine, self._cache = bundle, speech, engine, cache

    def graph(self, grammar: Path) -> Graph:
        """Return a grammar, compiled for the bundle."""
        return _compiled(grammar, self.bundle.manifest.tokens)

    def orders(self, snrs_db: Sequence[float | None] = SNRS_DB) -> Iterator[Positive]:
        """Yield strangers ordering coffee, clean and in unseen noise."""
        graph = self.graph(COFFEE)
        for order in orders(self.speech, snrs_db):
            yield Positive(order.file, order.snr_db, order.label, graph, self.recording(order.sound))

    def forms(self, snrs_db: Sequence[float | None] = SNRS_DB) -> Iterator[Positive]:
        """Yield strangers filling in forms (AN4): what the grammar of forms has of it, mostly short."""
        grammar = REPOSITORY / "tests/grammars/forms.yaml"
        sentences, lexicon = audible_sentences(load_grammar(grammar))
        graph = self.graph(grammar)
        listed = [row for row in rows(self.speech / "manifest.tsv") if row["path"].startswith("dev/an4/")]
        read = [(row["path"], explain(sentences, lexicon, row["text"])) for row in listed]
        said = [(path, reading.meaning) for path, reading in read if isinstance(reading, Parse)]
        beds = unseen_noise(self.speech)
        for snr_db in snrs_db:
            for index, (path, meaning) in enumerate(said):
                sound = _in_noise(read_audio(self.speech / path), beds, snr_db, index)
                label = Label(command=meaning.command, slots=dict(meaning.slots))
                yield Positive(path, snr_db, label, graph, self.recording(sound))

    def grammar_clips(self, folder: Path, *, in_rooms: bool = False) -> Iterator[Positive]:
        """Yield synthetic commands of grammars from a folder that `synthesize speak` filled."""
        for row, graph, sound in self._spoken(folder, "grammar", in_rooms):
            label = Label.model_validate_json(row["label"])
            yield Positive(row["path"], None, label, graph, self.recording(sound))

    def near_misses(self, folder: Path, *, in_rooms: bool = False) -> Iterator[Negative]:
        """Yield sentences of the same folder that are one sound away from a command."""
        for _, graph, sound in self._spoken(folder, "near", in_rooms):
            yield Negative(graph, self.recording(sound))

    def _spoken(
        self, folder: Path, kind: str, in_rooms: bool
    ) -> Iterator[tuple[dict[str, str], Graph, NDArray[np.int16]]]:
        """Yield the manifest's rows of a kind, dry and quiet, or in echoing rooms of which some are loud."""
        beds = unseen_noise(self.speech) if in_rooms else []
        for index, row in enumerate(rows(folder / "manifest.tsv")):
            if row["kind"].startswith(f"{kind}/"):
                speech, snr_db = read_audio(folder / row["path"]), None
                if in_rooms:
                    speech = speak_in(_rooms()[index % ROOMS], speech, Random(f"room-{index}"))
                    snr_db = (None, 24.0, 12.0)[index % 3]
                sound = _in_noise(speech, beds, snr_db, index)
                yield row, self.graph(_grammar(row["kind"].partition("/")[2])), sound

    def other_sound(self, folders: Sequence[Path], grammars: Sequence[Path]) -> Iterator[Negative]:
        """Yield hours of speech and noise without a command, in pieces of five minutes, for each grammar."""
        graphs = [self.graph(grammar) for grammar in grammars]
        for folder in folders:
            for piece in _pieces(folder):
                for graph in graphs:
                    yield Negative(graph, self.recording(piece))

    def recording(self, sound: NDArray[np.int16]) -> Recording:
        """Take a recording, shape [n], 16 kHz."""
        return Recording(self.bundle, self._engine, sound, self._cache)


@cache  # it takes seconds, and is asked for at each ratio
def _compiled(grammar: Path, tokens: tuple[str, ...]) -> Graph:
    return compile_grammar(load_grammar(grammar), tokens)


@cache  # likewise
def unseen_noise(speech: Path) -> list[NDArray[np.int16]]:
    """Return the beds of noise that training never heard, int16 [n] each: helicopters, sea, hydraulics."""
    recorded = [
        np.concatenate([read_audio(file) for file in find_audio(speech / "noise/esc10" / name)])
        for name in HELD_OUT_BEDS.values()
    ]
    made = [
        np.concatenate([synthesize(family, 100 + i, 5.0) for i in range(20)])
        for family in sorted(HELD_OUT_FAMILIES)
    ]
    return [*recorded, *made]


@cache
def _rooms() -> list[NDArray[np.float16]]:
    return [simulate(ROOM_SEED + number) for number in range(ROOMS)]


def _grammar(name: str) -> Path:
    shipped = REPOSITORY / "grammars" / f"{name}.yaml"
    return shipped if shipped.exists() else REPOSITORY / "tests/grammars" / f"{name}.yaml"


def _pieces(folder: Path) -> Iterator[NDArray[np.int16]]:
    piece: list[NDArray[np.int16]] = []
    for file in find_audio(folder):
        piece += [read_audio(file), np.zeros(_PAUSE_SAMPLES, np.int16)]
        if sum(map(len, piece)) >= _PIECE_SAMPLES:
            yield np.concatenate(piece)
            piece = []
    if piece:
        yield np.concatenate(piece)
