"""Real Mandarin to calibrate by: what one speaker of dev/aishell asks for, and what else he reads.

He asks for songs and temperatures, names places and dials numbers: a grammar is made of just these. The news
that he reads is no command, and neither is a song or a place while the grammar lacks it.
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from agent.acoustics.manifest import Calibration
from agent.acoustics.stream import Emission
from agent.audio.file import read_audio
from agent.evaluation.commands import Label
from agent.evaluation.listening import in_room
from agent.grammar import compile_grammar
from agent.grammar.graph import Graph
from agent.grammar.load import parse_grammar
from models.recipe import calibrate
from models.recipe.calibrate import Example, Negative, Positive
from models.recipe.calibration_data import Listening

COMMANDS = {
    "play": re.compile(r"(?:想听|来一首)歌曲([\u4e00-\u9fff]+)"),
    "set": re.compile(r"设定([\u4e00-\u9fff]+)度"),
    "go": re.compile(r"([\u4e00-\u9fff]{1,7}[店园场城家岛馆王寺门])"),
    "dial": re.compile(r"([零一二三四五六七八九幺]{11})"),
}
SENTENCES = {"play": "(想听|来一首)歌曲{play}", "set": "设定{set}度", "go": "{go}", "dial": "{dial}"}
DIGITS = str.maketrans("零一二三四五六七八九幺", "01234567891")
NEWS = re.compile(r"[\u4e00-\u9fff]+")
MOST_NEWS = 120


@dataclass(frozen=True, slots=True)
class Spoken:
    """A recording: which command it is, or "news", and its slot's value or its text."""

    file: str
    kind: str
    value: str


def recordings(listening: Listening) -> list[Spoken]:
    """List the recordings of use."""
    with (listening.speech / "manifest.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        texts = {row["path"]: row["text"].strip("\ufeff ") for row in rows if "dev/aishell/" in row["path"]}
    found = []
    for path, text in texts.items():
        for kind, pattern in COMMANDS.items():
            if match := pattern.fullmatch(text):
                value = match[1].translate(DIGITS) if kind == "dial" else match[1]
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


def examples(listening: Listening, base: Calibration, frame_s: float) -> Iterator[Example]:
    """Hear all but the numbers, which are longer than any that a station is told, with nothing refused."""
    for kind, positives in commands(listening).items():
        if kind != "dial":
            yield from calibrate.commands(base, positives, frame_s, real=False)
    yield from calibrate.other_sound(base, unknown(listening), frame_s, calibrate.RIGHT)
    yield from calibrate.other_sound(base, news(listening), frame_s, calibrate.WRONG)


def commands(listening: Listening) -> dict[str, list[Positive]]:
    """Hear what he asks for, by command."""
    spoken = recordings(listening)
    everything = graph(spoken, listening.bundle.manifest.tokens)
    return {
        kind: [
            Positive(one.file, None, Label(command=kind, slots={kind: one.value}), everything, heard)
            for one, heard, _ in _heard(listening, spoken, kind)
        ]
        for kind in COMMANDS
    }


def unknown(listening: Listening) -> Iterator[Negative]:
    """Hear songs and places, each with a grammar that has all of them but the one that is said."""
    spoken = recordings(listening)
    for kind in ("play", "go"):
        for one, heard, hours in _heard(listening, spoken, kind):
            yield Negative(graph(spoken, listening.bundle.manifest.tokens, one.value), heard, hours)


def news(listening: Listening) -> Iterator[Negative]:
    """Hear what is no command at all."""
    spoken = recordings(listening)
    everything = graph(spoken, listening.bundle.manifest.tokens)
    for _, heard, hours in islice(_heard(listening, spoken, "news"), MOST_NEWS):
        yield Negative(everything, heard, hours)


def _heard(
    listening: Listening, spoken: Iterable[Spoken], kind: str
) -> Iterator[tuple[Spoken, list[Emission], float]]:
    for seed, one in enumerate(one for one in spoken if one.kind == kind):
        sound = in_room(read_audio(listening.speech / one.file), None, None, seed)
        yield one, listening.hear(sound), len(sound) / 16_000 / 3600
