"""What the ear takes for a command where nobody gave one."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from agent.audio.file import read_audio
from agent.audio.source import SAMPLE_RATE_HZ
from agent.evaluation.commands import Trial
from agent.evaluation.listening import Ear, frames, unasked
from agent.evaluation.statistics import Rate, Share
from agent.recognition.hypothesis import Hypothesis

AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3"}


@dataclass(frozen=True, slots=True)
class FalseAccept:
    """A command that nobody gave."""

    file: str
    hypothesis: Hypothesis


@dataclass(frozen=True, slots=True)
class Negatives:
    """What was heard in sound that holds no command."""

    hours: float
    heard: tuple[FalseAccept, ...]
    """All readings, the refused ones as well: the trade-off curve needs them."""

    @property
    def accepted(self) -> list[FalseAccept]:
        """Those that would have become commands."""
        return [item for item in self.heard if item.hypothesis.reject is None]

    @property
    def rate(self) -> Rate:
        """False accepts per hour."""
        return Rate.of(len(self.accepted), self.hours)


@dataclass(frozen=True, slots=True)
class TradeOff:
    """One threshold on the probability, and what it costs on either side."""

    min_probability: float
    false_accepts: Rate
    false_rejects: Share


def find_audio(folder: Path) -> list[Path]:
    """Return all recordings below a folder, sorted."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)


def hear_negatives(
    ear: Ear, files: Iterable[Path], progress: Callable[[Path, float], None] = lambda _file, _hours: None
) -> Negatives:
    """Hear all files as one endless stream, as a microphone would: what begins in one may end in the next.

    Nobody is asked anything, so "confirm" and "cancel" are not listened for.

    Raises:
        AudioError: a file is damaged.
    """
    listener = replace(ear, commands=unasked(ear.graph)).listener()
    samples_heard = 0
    heard = []
    for file in files:
        for samples in frames(read_audio(file)):
            hypotheses = listener.hear(samples, samples_heard / SAMPLE_RATE_HZ)
            heard += [FalseAccept(str(file), hypothesis) for hypothesis in hypotheses]
            samples_heard += len(samples)
        progress(file, samples_heard / SAMPLE_RATE_HZ / 3600)
    return Negatives(samples_heard / SAMPLE_RATE_HZ / 3600, tuple(heard))


def trade_off(negatives: Negatives, trials: Sequence[Trial], thresholds: Sequence[float]) -> list[TradeOff]:
    """Move the threshold on the probability, everything else as shipped."""
    wrong = [item.hypothesis.probability for item in negatives.heard if item.hypothesis.command]
    right = [
        max(
            (
                h.probability
                for h in trial.heard
                if h.command == trial.label.command and dict(h.slots) == trial.label.slots
            ),
            default=-1.0,
        )
        for trial in trials
    ]
    return [
        TradeOff(
            threshold,
            Rate.of(sum(p >= threshold for p in wrong), negatives.hours),
            Share.of(sum(p < threshold for p in right), len(right)),
        )
        for threshold in thresholds
    ]


def to_json(negatives: Negatives, curve: Sequence[TradeOff]) -> str:
    """Write the rate, every false accept, and the curve."""
    accepted = [
        {"file": i.file, **asdict(i.hypothesis), "text": i.hypothesis.text} for i in negatives.accepted
    ]
    return json.dumps(
        {
            "false_accepts": asdict(negatives.rate),
            "accepted": accepted,
            "trade_off": [asdict(point) for point in curve],
        },
        ensure_ascii=False,
        indent=1,
    )
