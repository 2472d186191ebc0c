"""Strings of letters and digits, which other engines are given as well."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.audio.file import read_audio
from agent.evaluation.listening import in_room
from agent.grammar.numbers import DIGITS
from models.recipe.corpus import rows


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
