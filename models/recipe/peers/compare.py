"""The comparison: for every engine the same recordings, the same grammars and the same count."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.acoustics.bundle import Bundle
from agent.acoustics.engines.onnx import OnnxEngine
from agent.audio.file import read_audio
from agent.audio.source import SAMPLE_RATE_HZ
from agent.evaluation.commands import Score, Trial, Verdict, score
from agent.evaluation.listening import Ear, in_room
from agent.evaluation.statistics import Share
from agent.grammar.lexicon import Lexicon
from models.recipe.calibration_data import REPOSITORY, Order
from models.recipe.peers.contestants import DISTANCE, Contestant, Heard, Matched, Mode, Task, Voxline
from models.recipe.peers.engines import Moonshine, Peer, PocketSphinx
from models.recipe.peers.matching import readings
from models.recipe.peers.remembered import Remembered
from models.recipe.peers.spelling import Spelled
from models.recipe.scoring import distances

NAMES = ("voxline", "pocketsphinx", "moonshine")
FAR = {"pocketsphinx": 1e-6, "moonshine": 0.2}
"""A text is refused that is further than this from every sentence, per sound. PocketSphinx writes a sentence,
or the beginning of one where it found none to the end: that is its own refusal. Moonshine writes something
for every sound, so this alone makes it refuse; its limit is the one of `LIMITS` with the most exact orders
less the wrong ones, clean and at 6 dB."""
LIMITS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)


@dataclass(frozen=True, slots=True)
class Grammars:
    """The two tasks."""

    coffee: Task
    an4: Task

    @classmethod
    def of(cls, tokens: Sequence[str]) -> "Grammars":
        """Prepare the grammars of the tests for a model with these tokens."""
        folder = REPOSITORY / "tests/grammars"
        return cls(Task.of(folder / "coffee.yaml", tokens), Task.of(folder / "an4.yaml", tokens))


def peer(name: str, task: Task) -> Peer:
    """Start an engine that is not Voxline."""
    return Moonshine() if name == "moonshine" else PocketSphinx(task.sentences, task.lexicon)


def contestant(name: str, task: Task, bundle: Bundle, cache: Path) -> Contestant:
    """Start any engine; what it has answered before it is not asked again."""
    if name == "voxline":
        return Voxline(bundle, task, cache)
    return Matched(remembered(name, task, cache), task, FAR[name])


def remembered(name: str, task: Task, cache: Path) -> Peer:
    """Start an engine that is not Voxline, and look its answers up in the cache."""
    return Remembered(peer(name, task), cache / "peers" / f"{name}.jsonl")


def count_orders(engine: Contestant, recordings: Iterable[Order]) -> Mapping[Mode, list[Score]]:
    """Count exact, wrong and refused orders at each ratio."""
    trials: dict[Mode, list[Trial]] = {mode: [] for mode in Mode}
    for order in recordings:
        for mode, heard in engine.understand(order.sound).items():
            trials[mode].append(Trial(order.file, order.snr_db, order.label, tuple(heard)))
    ratios = list(dict.fromkeys(trial.snr_db for trial in trials[Mode.EVERYTHING]))
    return {mode: [score(own, snr_db) for snr_db in ratios] for mode, own in trials.items()}


def by_limit(engine: Contestant, recordings: Iterable[Order]) -> Mapping[float, tuple[int, int]]:
    """Count exact and wrong orders for each of `LIMITS`, were it an engine's entry in `FAR`."""
    trials = [
        Trial(order.file, order.snr_db, order.label, tuple(engine.understand(order.sound)[Mode.EVERYTHING]))
        for order in recordings
    ]
    counted = {}
    for limit in LIMITS:
        near = [trial for trial in trials if all(each.evidence[DISTANCE] <= limit for each in trial.heard)]
        verdicts = [trial.verdict for trial in near]
        counted[limit] = verdicts.count(Verdict.EXACT), verdicts.count(Verdict.WRONG)
    return counted


def count_words(engine: Contestant, recordings: Iterable[Spelled]) -> Mapping[Mode, Share]:
    """Count wrong words in strings of letters and digits, whatever is refused counted as not said."""
    pairs: dict[Mode, list[tuple[list[str], list[str]]]] = {mode: [] for mode in Mode}
    for recording in recordings:
        for mode, heard in engine.understand(recording.sound).items():
            pairs[mode].append((_words(heard), recording.words))
    return {mode: word_errors(own) for mode, own in pairs.items()}


def count_free_words(engine: Peer, lexicon: Lexicon, recordings: Iterable[Spelled]) -> Share:
    """Count wrong words of an engine's text without a grammar, read in its favour."""
    pairs = []
    for each in recordings:
        ways = readings(engine.hear(each.sound).text, lexicon)
        pairs.append((min(ways, key=lambda words: word_errors([(words, each.words)]).count), each.words))
    return word_errors(pairs)


def _words(heard: Heard) -> list[str]:
    return [word.text for hypothesis in heard if hypothesis.reject is None for word in hypothesis.words]


def word_errors(pairs: Iterable[tuple[Sequence[str], Sequence[str]]]) -> Share:
    """Return wrong, missing and added words per word that was said; "zero" and "oh" are the same digit."""
    numbers: dict[str, int] = {"zero": 0, "oh": 0}
    errors = total = 0
    for heard, said in pairs:
        one, other = ([numbers.setdefault(word, len(numbers)) for word in words] for words in (heard, said))
        errors += int(distances(one, [other])[0])
        total += len(other)
    return Share.of(errors, total)


def cost(names: Sequence[str], task: Task, bundle: Bundle, clips: Sequence[Path]) -> Mapping[str, float]:
    """Return seconds of one core that each engine takes per second of sound, in turns over the same clips.

    Processor time of this process, which other work on the machine disturbs little.
    """
    engines: dict[str, Any] = {
        name: Ear(bundle, OnnxEngine(bundle), task.graph, bundle.manifest.operating_points.normal).listen
        if name == "voxline"
        else Matched(peer(name, task), task, FAR[name]).understand
        for name in names
    }
    spent = dict.fromkeys(names, 0.0)
    seconds = 0.0
    for clip in clips:
        sound = in_room(read_audio(clip), None, None, seed=0)
        seconds += len(sound) / SAMPLE_RATE_HZ
        for name, listen in engines.items():
            start_s = time.process_time()
            listen(sound)
            spent[name] += time.process_time() - start_s
    return {name: round(each / seconds, 4) for name, each in spent.items()}
