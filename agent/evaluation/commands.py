"""How many labelled commands are heard exactly, how many are refused, and how many are heard wrong.

A wrong command is worse than a rejected one, so the two are never added up.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from agent.audio.file import read_audio
from agent.errors import AudioError, VoxlineError, first_fault
from agent.evaluation.listening import Ear, in_room
from agent.evaluation.pronunciations import OtherSounds, other_sounds
from agent.evaluation.statistics import Share
from agent.grammar.fault import nearest
from agent.grammar.graph import Graph
from agent.grammar.schema import Scalar
from agent.grammar.slots import may_be
from agent.recognition.hypothesis import Hypothesis


class Label(BaseModel):
    """What was said in a clip."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: str
    slots: dict[str, Scalar] = {}


class Verdict(StrEnum):
    """What became of a clip."""

    EXACT = "exact"
    WRONG = "wrong"
    """Something else was accepted, or more than was said."""
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Trial:
    """One clip under one condition."""

    file: str
    snr_db: float | None
    """None: without added noise."""
    label: Label
    heard: tuple[Hypothesis, ...]

    @property
    def accepted(self) -> list[Hypothesis]:
        """The utterances that would have become commands."""
        return [hypothesis for hypothesis in self.heard if hypothesis.reject is None]

    @property
    def verdict(self) -> Verdict:
        """Exact only if the label, and nothing else, was accepted."""
        if not self.accepted:
            return Verdict.REJECTED
        return Verdict.EXACT if [self.means(h) for h in self.accepted] == [True] else Verdict.WRONG

    def means(self, heard: Hypothesis) -> bool:
        """Tell whether an utterance is what the label says."""
        return (heard.command, dict(heard.slots)) == (self.label.command, self.label.slots)


@dataclass(frozen=True, slots=True)
class Score:
    """The figures of one condition."""

    snr_db: float | None
    exact: Share
    wrong: Share
    rejected: Share
    slots: Share
    """Slots with the right value, among all slots of the labels."""
    numbers: Share
    """The same among slots whose value is a number."""
    reasons: Mapping[str, int]
    """Rejected clips by reason; `unheard` where nothing was noticed at all."""


class LabelsError(VoxlineError):
    """The labels do not say what was spoken."""

    code = "labels"


def read_labels(path: Path) -> dict[str, Label]:
    """Read `{"file.wav": {"command": "...", "slots": {...}}}`.

    Raises:
        LabelsError: names the clip and the field.
    """
    try:
        return TypeAdapter(dict[str, Label]).validate_json(path.read_bytes())
    except OSError as error:
        raise LabelsError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        raise LabelsError(f"{path}: {first_fault(error)}") from error


def require_known(labels: Mapping[str, Label], graph: Graph, path: Path) -> None:
    """Check that the labels read from `path` name what `graph` can hear: others would count as wrong orders.

    None at all are refused, too.

    Raises:
        LabelsError: names the clip and the field.
    """
    if not labels:
        raise LabelsError(f"{path}: names no recording")
    names = sorted(command.name for command in graph.commands)
    for file, label in labels.items():
        if label.command not in names:
            advice = nearest(label.command, names)
            raise LabelsError(f"{path}: {file}.command: the grammar has no `{label.command}`. {advice}")
        slots = sorted(slot for command, slot in graph.slot_values if command == label.command)
        for slot, value in label.slots.items():
            if slot not in slots:
                message = f"`{label.command}` has no slot `{slot}`. {nearest(slot, slots)}"
                raise LabelsError(f"{path}: {file}.slots.{slot}: {message}")
            if not may_be(graph.slot_values[label.command, slot], value):
                message = f"`{slot}` is never {json.dumps(value)}: `voxline grammar sample` shows values"
                raise LabelsError(f"{path}: {file}.slots.{slot}: {message}")


def run_trials(
    ear: Ear,
    labels: Mapping[str, Label],
    audio: Path,
    noise: NDArray[np.int16] | None,
    snrs_db: Sequence[float | None],
    progress: Callable[[Trial], None] = lambda _trial: None,
) -> list[Trial]:
    """Hear every clip under every condition.

    Raises:
        AudioError: a clip of the labels is missing, damaged, or too silent to be mixed.
    """
    trials = []
    for index, (file, label) in enumerate(sorted(labels.items())):
        speech = read_audio(audio / file)
        for snr_db in snrs_db:
            try:
                sound = in_room(speech, noise, snr_db, seed=index)
            except ValueError as error:
                raise AudioError(f"{audio / file} at {snr_db:g} dB: {error}") from error
            trials.append(Trial(file, snr_db, label, tuple(ear.listen(sound))))
            progress(trials[-1])
    return trials


def score(trials: Sequence[Trial], snr_db: float | None) -> Score:
    """Count one condition."""
    chosen = [trial for trial in trials if trial.snr_db == snr_db]
    verdicts = [trial.verdict for trial in chosen]
    slots = [
        (value, _heard_slot(trial, name)) for trial in chosen for name, value in trial.label.slots.items()
    ]
    numbers = [(value, heard) for value, heard in slots if not isinstance(value, str)]
    rejected = [trial for trial in chosen if trial.verdict is Verdict.REJECTED]
    reasons = [_reason(trial) for trial in rejected]
    return Score(
        snr_db=snr_db,
        exact=Share.of(verdicts.count(Verdict.EXACT), len(chosen)),
        wrong=Share.of(verdicts.count(Verdict.WRONG), len(chosen)),
        rejected=Share.of(len(rejected), len(chosen)),
        slots=Share.of(sum(value == heard for value, heard in slots), len(slots)),
        numbers=Share.of(sum(value == heard for value, heard in numbers), len(numbers)),
        reasons={reason: reasons.count(reason) for reason in sorted(set(reasons))},
    )


def _heard_slot(trial: Trial, name: str) -> Scalar | None:
    return next((h.slots[name] for h in trial.accepted if name in h.slots), None)


def _reason(trial: Trial) -> str:
    return str(trial.heard[-1].reject) if trial.heard else "unheard"


def not_exact(trials: Sequence[Trial]) -> list[Trial]:
    """Return the clips of which something else, or nothing, was accepted."""
    return [trial for trial in trials if trial.verdict is not Verdict.EXACT]


def said_otherwise(trials: Sequence[Trial]) -> list[OtherSounds]:
    """Return the words that sound otherwise in clean recordings that were understood, refused or not."""
    clean = [trial for trial in trials if trial.snr_db is None]
    return other_sounds([word for trial in clean for h in trial.heard if trial.means(h) for word in h.words])


def to_json(trials: Sequence[Trial], scores: Sequence[Score]) -> str:
    """Write scores, every clip that was not exact with all that was heard in it, and words said otherwise."""
    faults: list[dict[str, Any]] = [
        {
            "file": trial.file,
            "snr_db": trial.snr_db,
            "verdict": trial.verdict,
            "said": trial.label.model_dump(),
            "heard": [{**asdict(h), "text": h.text} for h in trial.heard],
        }
        for trial in not_exact(trials)
    ]
    figures = {
        "scores": [asdict(s) for s in scores],
        "not_exact": faults,
        "said_otherwise": [asdict(word) for word in said_otherwise(trials)],
    }
    return json.dumps(figures, ensure_ascii=False, indent=1)
