"""The recordings of the comparison: orders of coffee in noise, and strings of letters or digits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.audio.file import read_audio
from agent.evaluation.commands import Label, read_labels
from agent.evaluation.listening import in_room
from agent.grammar.numbers import DIGITS
from models.recipe.calibration_data import unseen_noise
from models.recipe.corpus import rows


@dataclass(frozen=True, slots=True)
class Order:
    """An order of coffee, clean or in noise."""

    file: str
    snr_db: float | None
    label: Label
    sound: NDArray[np.int16]


def orders(speech: Path, snrs_db: Sequence[float | None], every: int) -> Iterator[Order]:
    """Yield each so manieth order at each ratio, mixed exactly as for the calibration."""
    folder, beds = speech / "dev/coffee", unseen_noise(speech)
    clips = list(enumerate(sorted(read_labels(folder / "labels.json").items())))[::every]
    for snr_db in snrs_db:
        for index, (file, label) in clips:
            bed = None if snr_db is None else beds[index % len(beds)]
            yield Order(file, snr_db, label, in_room(read_audio(folder / file), bed, snr_db, seed=index))


@dataclass(frozen=True, slots=True)
class Spelled:
    """A string of letters and digits."""

    file: str
    words: list[str]
    sound: NDArray[np.int16]


def spelled(speech: Path) -> Iterator[Spelled]:
    """Yield the strings of AN4 that are nothing but letters and digits, clean."""
    digits = {word for group in DIGITS["en"] for word in group}
    listed = rows(speech / "manifest.tsv")
    said = [(row["path"], row["text"].split()) for row in listed if row["path"].startswith("dev/an4/")]
    chosen = [each for each in said if all(len(word) == 1 or word in digits for word in each[1])]
    for index, (path, words) in enumerate(chosen):
        names = [word if word in digits else word.upper() for word in words]
        yield Spelled(path, names, in_room(read_audio(speech / path), None, None, seed=index))
