"""A site's recordings: a folder with sound files, and `recordings.tsv` that says what is said in each.

    start-1.wav<TAB>start conveyor one
    stop-1.wav<TAB>stop conveyor one

One recording a line; empty lines and lines that begin with # do not count.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.audio.file import read_audio
from agent.audio.source import SAMPLE_RATE_HZ
from agent.errors import VoxlineError
from agent.evaluation.commands import Label
from agent.grammar.compiler import accepted_sentences
from agent.grammar.inspect import NoParse, explain
from agent.grammar.lexicon import HAN, Lexicon
from agent.grammar.schema import Grammar
from models.recipe.corpus import MAX_SECONDS
from models.recipe.sounds import pronunciations
from models.recipe.tokens import INDEX

LIST = "recordings.tsv"
MIN_SECONDS = 0.3


class RecordingsError(VoxlineError):
    """Recordings are missing, or do not say what the list claims."""

    code = "recordings"


@dataclass(frozen=True, slots=True)
class SiteRecording:
    """One recording and what is said in it."""

    file: str
    text: str
    language: str
    """`zh` if the text has Chinese characters, else `en`."""
    words: list[list[list[int]]]
    """Per word, its pronunciations as token indices."""
    label: Label | None
    """The command that it must become; None without a grammar."""
    audio: NDArray[np.int16]
    """16 kHz mono."""

    @property
    def seconds(self) -> float:
        """Length."""
        return len(self.audio) / SAMPLE_RATE_HZ


def read_recordings(folder: Path, grammar: Grammar | None = None) -> list[SiteRecording]:
    """Read the list and every recording that it names.

    Args:
        folder: holds `recordings.tsv`.
        grammar: of the site: then every text must be one of its sentences, and its pronunciations count.

    Raises:
        RecordingsError: names the line and what to do.
        AudioError: a recording is missing or damaged.
    """
    path = folder / LIST
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RecordingsError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    read = _sentences(grammar) if grammar else _free
    recordings = [_recording(folder, *row, read) for row in _rows(path, lines)]
    if not recordings:
        raise RecordingsError(f"{path}: names no recording; write lines of file, tab, sentence")
    return recordings


_Read = Callable[[str], tuple[list[list[list[int]]], Label | None]]
"""Text to sounds and label; raises ValueError with what is wrong."""


def _rows(path: Path, lines: list[str]) -> Iterator[tuple[str, str, str]]:
    """Yield where it stands, file and text of each line."""
    seen: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        where = f"{path}:{number}"
        file, _, text = (part.strip() for part in line.partition("\t"))
        if not (file and text):
            raise RecordingsError(f"{where}: must be file, tab, sentence: {line!r}")
        if Path(file).is_absolute() or ".." in Path(file).parts:
            raise RecordingsError(f"{where}: {file}: must lie in the folder of {LIST}")
        if file in seen:
            raise RecordingsError(f"{where}: {file} was named before, at {seen[file]}")
        seen[file] = where
        yield where, file, text


def _recording(folder: Path, where: str, file: str, text: str, read: _Read) -> SiteRecording:
    try:
        words, label = read(text)
    except ValueError as error:
        raise RecordingsError(f"{where}: {error}") from None
    audio = read_audio(folder / file)
    seconds = len(audio) / SAMPLE_RATE_HZ
    if not MIN_SECONDS <= seconds <= MAX_SECONDS:
        raise RecordingsError(
            f"{where}: {file} lasts {seconds:.1f} s; a sentence lasts {MIN_SECONDS} to {MAX_SECONDS} s"
        )
    return SiteRecording(file, text, _language(text), words, label, audio)


def _language(text: str) -> str:
    return "zh" if HAN.search(text) else "en"


def _free(text: str) -> tuple[list[list[list[int]]], None]:
    words = pronunciations(text, _language(text))
    if not words:
        raise ValueError(f"nobody knows how {text!r} sounds: write digits as words, and one language a line")
    return words, None


def _sentences(grammar: Grammar) -> _Read:
    sentences, lexicon = accepted_sentences(grammar), Lexicon(grammar.pronounce)

    def read(text: str) -> tuple[list[list[list[int]]], Label]:
        reading = explain(sentences, lexicon, text)
        if isinstance(reading, NoParse):
            expected = ", ".join(reading.expected) or "nothing more"
            raise ValueError(  # noqa: TRY004 (of the sentence, not of a type)
                f"{text!r} is no sentence of {grammar.name}: after {reading.read!r} it expects {expected}"
            )
        variants = [lexicon[word.text].variants for word in reading.words]
        words = [[[INDEX[sound] for sound in variant] for variant in each] for each in variants]
        return words, Label(command=reading.meaning.command, slots=dict(reading.meaning.slots))

    return read
