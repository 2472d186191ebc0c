"""What a bundle hears of people with an accent that it never learnt: those of China in speechocean762.

    python -m models.recipe.accent FOLDER FIGURES.json

FOLDER is the corpus as it is published (OpenSLR 101; Zhang et al. 2021, arXiv 2104.01378): 5,000 short
English recordings of 250 people, half of them children. Nothing is fitted or chosen here.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from agent.acoustics.bundle import load_bundle
from agent.acoustics.engines.onnx import OnnxEngine
from agent.audio.file import read_audio
from agent.evaluation.commands import Label
from agent.evaluation.listening import in_room
from agent.grammar import compile_grammar
from agent.grammar.load import parse_grammar
from agent.grammar.numbers import DIGITS, spelled_digit
from models.recipe.calibrate import Positive
from models.recipe.calibration_data import Listening
from models.recipe.judge import judge
from models.recipe.places import BUNDLES, CACHE, SPEECH

ADULT_YEARS = 16
APART = 10
"""Each so manieth person is left to judge by, should the others ever be learnt from."""
DIGIT_WORDS = {word for group in DIGITS["en"] for word in group}
STRING_LENGTHS = (3, 4)


@dataclass(frozen=True, slots=True)
class Spoken:
    """One recording."""

    file: str
    """Relative to the corpus."""
    speaker: str
    years: int
    text: str
    """Lower case, without punctuation."""


def recordings(folder: Path) -> list[Spoken]:
    """List the corpus, in its own order.

    Raises:
        OSError: a list is missing.
        KeyError: a list names a recording or a person that another lacks.
    """
    files = {path.stem: path for path in folder.glob("WAVE/*/*.WAV")}
    listed = []
    for split in ("train", "test"):
        years = dict(line.split() for line in (folder / split / "spk2age").read_text("utf-8").splitlines())
        for line in (folder / split / "text").read_text("utf-8").splitlines():
            name, text = line.split("\t")
            path = files[name]
            speaker = path.parent.name.removeprefix("SPEAKER")
            file = str(path.relative_to(folder))
            listed.append(Spoken(file, speaker, int(years[speaker]), text.lower()))
    return listed


def sentences(listed: list[Spoken]) -> list[Spoken]:
    """Return what adults who are kept apart say: each third recording is heard, all are in the grammar."""
    apart = set(sorted({spoken.speaker for spoken in listed})[::APART])
    return [spoken for spoken in listed if spoken.speaker in apart and spoken.years >= ADULT_YEARS]


def strings(listed: list[Spoken]) -> list[Spoken]:
    """Return all strings of three or four digits; children say nearly all of them."""
    return [
        spoken
        for spoken in listed
        for words in [spoken.text.split()]
        if len(words) in STRING_LENGTHS and set(words) <= DIGIT_WORDS
    ]


def heard(
    listening: Listening, folder: Path, items: list[tuple[Spoken, str]], values: object
) -> Iterator[Positive]:
    """Yield recordings, each with its value, under a grammar that holds such values alone.

    Args:
        listening: hears them.
        folder: the corpus.
        items: recordings and the value that each must give.
        values: definition of the grammar's one list.
    """
    command = {"sentences": ["{it}"], "risk": "low", "topic": "it", "payload": {"it": "{it}"}}
    grammar = {
        "name": "accent",
        "confirm": [],
        "cancel": [],
        "lists": {"it": values},
        "commands": {"say": command},
    }
    graph = compile_grammar(parse_grammar(json.dumps(grammar)), listening.bundle.manifest.tokens)
    for index, (spoken, value) in enumerate(items):
        sound = in_room(read_audio(folder / spoken.file), None, None, seed=index)
        yield Positive(
            spoken.file, None, Label(command="say", slots={"it": value}), graph, listening.recording(sound)
        )


def main(
    folder: Annotated[Path, typer.Argument(exists=True, help="The corpus, as it is published.")],
    out: Annotated[Path, typer.Argument(help="Figures, JSON; what is in it is not heard again.")],
    bundle_folder: Annotated[Path, typer.Option("--bundle", help="The bundle.")] = BUNDLES / "voxline-en-zh",
) -> None:
    """Count what is heard exactly, wrong or not at all, at each operating point."""
    bundle = load_bundle(bundle_folder)
    listening = Listening(bundle, OnnxEngine(bundle), SPEECH, CACHE)
    listed = recordings(folder)
    adults, spelled = sentences(listed), strings(listed)
    said = [(spoken, spoken.text) for spoken in adults[::3]]
    digits = [(spoken, "".join(map(spelled_digit, spoken.text.split()))) for spoken in spelled]
    least, most = STRING_LENGTHS
    texts = sorted({spoken.text for spoken in adults})
    lengths = {"spell": "digits", "min_length": least, "max_length": most}
    kinds = (
        (f"adults, one of {len(texts)} sentences", heard(listening, folder, said, {"values": texts})),
        ("children, strings of digits", heard(listening, folder, digits, lengths)),
    )
    judge(out, bundle, kinds)


if __name__ == "__main__":
    typer.run(main)
