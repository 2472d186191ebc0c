"""Real Mandarin to calibrate by: what one speaker of dev/aishell asks for, and what else he reads.

He asks for songs and temperatures, names places and dials numbers: a grammar is made of just these. The news
that he reads is no command, and neither is a song or a place while the grammar lacks it.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from agent.acoustics.manifest import Calibration
from agent.audio.file import read_audio
from agent.evaluation.commands import Label
from agent.evaluation.listening import in_room
from agent.grammar import compile_grammar
from agent.grammar.graph import Graph
from agent.grammar.load import parse_grammar
from agent.grammar.numbers import DIGITS
from models.recipe import calibrate
from models.recipe.calibrate import Example, Negative, Positive
from models.recipe.calibration_data import Listening
from models.recipe.corpus import rows
from models.recipe.remembering import Recording

SPELLED = {word: str(value) for value, words in enumerate(DIGITS["zh"]) for word in words}
COMMANDS = {
    "play": re.compile(r"(?:想听|来一首)歌曲([\u4e00-\u9fff]+)"),
    "set": re.compile(r"设定([\u4e00-\u9fff]+)度"),
    "go": re.compile(r"([\u4e00-\u9fff]{1,7}[店园场城家岛馆王寺门])"),
    "dial": re.compile(rf"([{''.join(SPELLED)}]{{11}})"),
}
SENTENCES = {"play": "(想听|来一首)歌曲{play}", "set": "设定{set}度", "go": "{go}", "dial": "{dial}"}
NEWS = re.compile(r"[\u4e00-\u9fff]+")
MOST_NEWS = 120


@dataclass(frozen=True, slots=True)
class Spoken:
    """A recording: which command it is, or "news", and its slot's value or its text."""

    file: str
    kind: str
    value: str


def recordings(speech: Path) -> list[Spoken]:
    """List the recordings of use."""
    listed = [row for row in rows(speech / "manifest.tsv") if "dev/aishell/" in row["path"]]
    found = []
    for row in listed:
        path, text = row["path"], row["text"].strip("\ufeff ")
        for kind, pattern in COMMANDS.items():
            if match := pattern.fullmatch(text):
                value = "".join(map(SPELLED.__getitem__, match[1])) if kind == "dial" else match[1]
                found.append(Spoken(path, kind, value))
                break
        else:
            if NEWS.fullmatch(text):
                found.append(Spoken(path, "news", text))
    return found


def graph(spoken: Sequence[Spoken], tokens: Sequence[str], without: str = "") -> Graph:
    """Compile the grammar of what is asked for, but for one value."""
    lists: dict[str, object] = {
        kind: sorted({one.value for one in spoken if one.kind == kind} - {without}) for kind in COMMANDS
    }
    lists["dial"] = {"spell": "digits", "min_length": 11, "max_length": 11}
    commands = {
        kind: {"sentences": [sentence], "topic": f"real/{kind}", "payload": {"value": f"{{{kind}}}"}}
        for kind, sentence in SENTENCES.items()
    }
    content = {"name": "real-mandarin", "language": "zh", "lists": lists, "commands": commands}
    return compile_grammar(parse_grammar(json.dumps(content, ensure_ascii=False)), tokens)  # JSON is YAML


class Mandarin:
    """Hears the recordings with the bundle that is calibrated."""

    def __init__(self, listening: Listening) -> None:
        self._listening = listening
        self._tokens = listening.bundle.manifest.tokens
        self._spoken = recordings(listening.speech)
        self._everything = graph(self._spoken, self._tokens)

    def examples(self, base: Calibration) -> Iterator[Example]:
        """Hear all but the numbers, longer than any that a station is told, with nothing refused."""
        for kind in COMMANDS:
            if kind != "dial":
                yield from calibrate.commands(base, self.commands(kind), real=False)
        yield from calibrate.other_sound(base, self.unknown(), calibrate.RIGHT)
        yield from calibrate.other_sound(base, self.news(), calibrate.WRONG)

    def commands(self, kind: str) -> Iterator[Positive]:
        """Hear one kind of what he asks for."""
        for one, recording in self._recordings(kind):
            label = Label(command=kind, slots={kind: one.value})
            yield Positive(one.file, None, label, self._everything, recording)

    def unknown(self) -> Iterator[Negative]:
        """Hear songs and places, each with a grammar that has all of them but the one that is said."""
        for kind in ("play", "go"):
            for one, recording in self._recordings(kind):
                yield Negative(graph(self._spoken, self._tokens, one.value), recording)

    def news(self) -> Iterator[Negative]:
        """Hear what is no command at all."""
        for _, recording in islice(self._recordings("news"), MOST_NEWS):
            yield Negative(self._everything, recording)

    def _recordings(self, kind: str) -> Iterator[tuple[Spoken, Recording]]:
        for seed, one in enumerate(one for one in self._spoken if one.kind == kind):
            sound = in_room(read_audio(self._listening.speech / one.file), None, None, seed)
            yield one, self._listening.recording(sound)
