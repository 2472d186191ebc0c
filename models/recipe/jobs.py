"""Jobs for a synthesizer: who says what, how fast, and which tokens a recognizer should answer.

A jobs file is TSV, most useful first, so that it may be cut anywhere. Everything that needs dictionaries
happens when it is planned; whoever speaks the jobs needs only Kokoro.
"""

import csv
import gzip
import io
from collections.abc import Collection, Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from itertools import islice
from pathlib import Path
from random import Random
from typing import IO, TYPE_CHECKING, Literal

from models.recipe.voices import HELD_OUT, Mix, draw_mix

if TYPE_CHECKING:
    from models.recipe.texts import Text

MAX_LETTERS = 110
"""Longest phone string of a job; about 7 s of speech."""


@dataclass(frozen=True)
class Job:
    """One utterance: `spoken` for Kokoro, `targets` for the acoustic model (words apart by |)."""

    name: str
    language: str
    kind: str
    mix: str
    speed: float
    text: str
    spoken: str
    targets: str
    label: str = ""
    """What a sentence of a grammar means, as JSON."""

    @property
    def phones(self) -> str:
        """Targets without word boundaries."""
        return self.targets.replace("| ", "")


def plan(
    texts: Iterable["Text"],
    seed: int,
    count: int,
    voices: list[str],
    avoid: Collection[Path] = (),
    slips: float = 0.0,
) -> Iterator[Job]:
    """Yield `count` jobs with texts that no jobs file of `avoid` has.

    A share `slips` (0 to 1) of the English ones is said with one wrong sound, and labelled so. Sentences
    with a word on which the dictionaries disagree are left out, so are those beyond `MAX_LETTERS`.
    """
    rng = Random(f"jobs-{seed}")
    used = {(job.language, job.text) for path in avoid for job in read(path)}
    fresh = (text for text in texts if (text.language, text.words) not in used)
    planned = (
        _job(text, f"{seed:02d}-{number:06d}", voices, slips, rng) for number, text in enumerate(fresh)
    )
    yield from islice((job for job in planned if job is not None), count)


def _job(text: "Text", name: str, voices: list[str], slips: float, rng: Random) -> Job | None:
    # Dictionaries are needed only where jobs are planned.
    from models.recipe.phones import UnknownWordError, spoken, targets
    from models.recipe.slips import slip

    mix = draw_mix(text.language, voices, rng)
    try:
        phones = targets(text.language, text.words)
    except UnknownWordError:
        return None
    # A full stop makes short commands end naturally; a question mark now and then varies the tune.
    end = rng.choices([".", "!", "?", ""], [0.7, 0.1, 0.05, 0.15])[0]
    letters = spoken(text.language, text.words, british=mix.british)
    kind = text.kind
    if text.language == "en" and rng.random() < slips and (slipped := slip(letters, phones, rng)):
        kind, (letters, phones) = "slip", slipped
    letters += end
    if len(letters) > MAX_LETTERS:
        return None
    speed = round(rng.triangular(0.8, 1.3, 1.0), 2)
    return Job(name, text.language, kind, str(mix), speed, text.words, letters, phones, text.label)


def _open(path: Path, mode: Literal["r", "w"]) -> IO[str]:
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.GzipFile(path, mode), encoding="utf-8", newline="")
    return path.open(mode, encoding="utf-8", newline="")


def write(jobs: Iterable[Job], path: Path) -> int:
    """Write jobs as TSV (gzipped if the name ends so); returns how many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with _open(path, "w") as file:
        rows = csv.writer(file, delimiter="\t", lineterminator="\n")
        rows.writerow([field.name for field in fields(Job)])
        for job in jobs:
            rows.writerow(astuple(job))
            count += 1
    return count


def read(path: Path) -> Iterator[Job]:
    """Read a jobs file.

    Raises:
        ValueError: a voice that is held out is asked for.
    """
    with _open(path, "r") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            job = Job(**{**row, "speed": float(row["speed"])})  # type: ignore[arg-type]
            if held := HELD_OUT.intersection(Mix.parse(job.mix).voices):
                raise ValueError(
                    f"{path}: job {job.name} asks for {sorted(held)[0]}, a voice that is held out"
                )
            yield job
