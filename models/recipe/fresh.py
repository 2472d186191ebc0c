"""The last check: sentences, rooms and machines that nothing was trained or fitted on, or chosen by.

    python -m models.recipe.fresh FIGURES.json

Sentences of the English grammars and near misses of them, of a seed of their own, spoken by synthesizers
(flite, espeak-ng) that training never used, in rooms simulated anew, over machines of no family of training.
The three voices of flite also speak in the hours of `negatives`, by which two limits were chosen (clarity,
talk before). New voices are not new people: real strangers are in dev/coffee.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from agent.acoustics.bundle import load_bundle
from agent.acoustics.engines.onnx import OnnxEngine
from agent.evaluation.commands import Label
from agent.evaluation.listening import in_room
from agent.grammar.graph import Graph
from models.recipe.calibrate import Negative, Positive
from models.recipe.calibration_data import COFFEE, REPOSITORY, Listening
from models.recipe.grammar_texts import grammar_texts
from models.recipe.judge import judge
from models.recipe.negatives import espeak, flite
from models.recipe.noise import LAST, ratio_name, synthesize
from models.recipe.places import BUNDLES, CACHE, SPEECH
from models.recipe.rooms import simulate, speak_in
from models.recipe.texts import Text

SNRS_DB: tuple[float | None, ...] = (None, 24.0, 12.0, 6.0)
SEED = 77_000
COMMANDS, NEAR_MISSES, ROOMS = 120, 60, 12
GRAMMARS = [
    *(REPOSITORY / f"grammars/{name}.yaml" for name in ("cnc", "conveyor", "demo", "press", "warehouse")),
    COFFEE,
]
FLITE = ("awb", "rms", "slt")
ESPEAK = ("en-us+Andrea", "en-us+Michael", "en-us+linda", "en-gb-x-rp+Denis", "en-gb-x-rp+Alicia",
          "en-gb-x-gbclan+adam", "en-us+steph", "en-gb-x-gbcwmd+Lee")  # fmt: skip

Sound = NDArray[np.int16]


class Fresh:
    """Hears it all with one bundle; flite and espeak-ng must be installed."""

    def __init__(self, listening: Listening) -> None:
        self._listening = listening
        self._rooms = [simulate(SEED + number) for number in range(ROOMS)]
        self._beds = [synthesize(family.__name__, SEED, 60.0) for family in LAST]

    def kinds(self) -> Iterator[tuple[str, Iterator[Positive] | Iterator[Negative]]]:
        """Yield commands at each ratio of speech to noise, then near misses, each kind with its name."""
        for snr_db in SNRS_DB:
            yield f"commands, {ratio_name(snr_db)}", self._commands(snr_db)
        yield "near misses", self._near_misses()

    def _commands(self, snr_db: float | None) -> Iterator[Positive]:
        for index, text in enumerate(texts("grammar", COMMANDS)):
            bed = None if snr_db is None else self._beds[index % len(self._beds)]
            sound = in_room(self._spoken(text, index), bed, snr_db, seed=SEED + index)
            label = Label.model_validate_json(text.label)
            yield Positive(
                f"{index}", snr_db, label, self._graph(text.kind), self._listening.recording(sound)
            )

    def _near_misses(self) -> Iterator[Negative]:
        for index, text in enumerate(texts("near", NEAR_MISSES)):
            sound = in_room(self._spoken(text, index), None, None, seed=SEED + index)
            yield Negative(self._graph(text.kind), self._listening.recording(sound))

    def _spoken(self, text: Text, index: int) -> Sound:
        """Say it in one of the rooms."""
        rng = Random(f"{SEED}-{text.words}-{index}")
        dry = (
            flite(text.words, rng.choice(FLITE), rng.uniform(0.8, 1.25))
            if index % 2
            else espeak(text.words, rng.choice(ESPEAK), rng)
        )
        return speak_in(self._rooms[index % ROOMS], dry, rng)

    def _graph(self, kind: str) -> Graph:
        name = kind.partition("/")[2]
        return self._listening.graph(next(path for path in GRAMMARS if path.stem == name))


def texts(kind: str, count: int) -> Iterator[Text]:
    """Yield sentences of one kind, `grammar` or `near`, of all grammars in turn."""
    everything = grammar_texts(GRAMMARS, SEED, 0.4)
    return islice((text for text in everything if text.kind.startswith(f"{kind}/")), count)


def main(
    out: Annotated[Path, typer.Argument(help="Figures, JSON; what is in it is not heard again.")],
    folder: Annotated[Path, typer.Option("--bundle", help="The bundle.")] = BUNDLES / "voxline-en-zh",
) -> None:
    """Count commands and near misses that are heard at each operating point; choose nothing by it."""
    bundle = load_bundle(folder)
    judge(out, bundle, Fresh(Listening(bundle, OnnxEngine(bundle), SPEECH, CACHE)).kinds())


if __name__ == "__main__":
    typer.run(main)
