"""What shows that adapting helps: recordings that were held back, and the golden set.

The recordings are split into folds; each fold is judged by a network that learnt from the others alone. All
recordings of one sentence are in the same fold, so that nothing is judged by what was learnt by heart.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.recipe.adapt import Lesson, Settings, adapt
from models.recipe.hearings import Hearing, Upper
from models.recipe.network import Network
from models.recipe.recordings import RecordingsError, SiteRecording
from models.recipe.scoring import distances, greedy

FOLDS = 3
MIN_SENTENCES = 9
"""Different ones; fewer prove nothing."""
RESAMPLES = 2000
SURE = 0.95
"""Share of resampled sets of recordings in which adapting must bring fewer errors."""
BLANK_PENALTY = 1.0
"""Nats, for phone errors."""


@dataclass(frozen=True, slots=True)
class Course:
    """All that is learnt from and judged by, as the frozen part hears it."""

    recordings: Sequence[SiteRecording]
    plain: Sequence[Lesson]
    """Each recording as it is."""
    guises: Sequence[Sequence[Lesson]]
    """Per recording."""
    others: Sequence[Hearing]
    """Other people's commands."""

    def lessons(self, chosen: Sequence[int]) -> list[Lesson]:
        """Return all lessons of some recordings."""
        return [lesson for i in chosen for lesson in (self.plain[i], *self.guises[i])]


@dataclass(frozen=True, slots=True)
class Commands:
    """How many commands were heard right and wrong."""

    exact: int
    wrong: int
    """Became another command, or more than one; sound without a command that became one counts as well."""
    total: int

    def worse_than(self, other: "Commands") -> bool:
        """Whether fewer are right or more are wrong."""
        return self.exact < other.exact or self.wrong > other.wrong

    def __str__(self) -> str:
        return f"{self.exact} of {self.total} exact, {self.wrong} wrong"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Held-back recordings before and after."""

    sounds: int
    before: NDArray[np.int64]
    """Phone errors per recording."""
    after: NDArray[np.int64]
    commands: tuple[Commands, Commands] | None
    """Before and after; None without a grammar."""

    @property
    def certainty(self) -> float:
        """Share of resampled sets of recordings that have fewer errors after."""
        rng = np.random.default_rng(0)
        gains = self.before - self.after
        drawn = rng.integers(len(gains), size=(RESAMPLES, len(gains)))
        return float((gains[drawn].sum(1) > 0).mean())

    @property
    def fault(self) -> str:
        """Why adapting is not worth it; empty if it is."""
        if self.certainty < SURE:
            return f"no gain on held-back recordings is shown: {self}"
        if self.commands and self.commands[1].worse_than(self.commands[0]):
            return f"fewer commands are right, or more are wrong, in held-back recordings: {self}"
        return ""

    def __str__(self) -> str:
        before, after = (100 * errors.sum() / self.sounds for errors in (self.before, self.after))
        phones = (
            f"phone errors {before:.1f} % before, {after:.1f} % after, surely fewer: {self.certainty:.0%}"
        )
        heard = f"; commands {self.commands[0]} before, {self.commands[1]} after" if self.commands else ""
        return phones + heard


def folds(recordings: Sequence[SiteRecording]) -> list[list[int]]:
    """Split recordings into FOLDS parts without a common sentence.

    Raises:
        RecordingsError: there are too few different sentences.
    """
    texts = sorted({recording.text.casefold() for recording in recordings})
    if len(texts) < MIN_SENTENCES:
        raise RecordingsError(
            f"only {len(texts)} different sentences are recorded; a gain shows from {MIN_SENTENCES} on"
        )
    order = np.random.default_rng(0).permutation(len(texts)).tolist()
    fold = {texts[index]: place % FOLDS for place, index in enumerate(order)}
    return [[i for i, r in enumerate(recordings) if fold[r.text.casefold()] == part] for part in range(FOLDS)]


def phone_errors(network: Network, blocks: int, lessons: Sequence[Lesson]) -> NDArray[np.int64]:
    """Count the phone errors of each recording, by greedy decoding without foreign sounds."""
    upper = Upper(network, blocks)
    errors = []
    with torch.no_grad():
        for lesson in lessons:
            (logits,) = upper.answers([lesson.hearing])
            heard = greedy(logits.masked_fill(lesson.foreign, -torch.inf).log_softmax(-1), BLANK_PENALTY)
            errors.append(int(distances(heard, [lesson.target])[0]))
    return np.array(errors, np.int64)


def compare(
    network: Network,
    course: Course,
    parts: Sequence[Sequence[int]],
    settings: Settings,
    hear: Callable[[Network | None, Sequence[int]], Commands] | None,
    say: Callable[[str], None],
) -> Comparison:
    """Judge each fold by a network adapted to the others.

    Args:
        network: the one in use.
        course: all recordings.
        parts: the folds.
        settings: of the adaptation.
        hear: lets a network (None: the one in use) hear some recordings as the station would; None where no
            grammar is known.
        say: is told how it goes.
    """
    before = phone_errors(network, settings.blocks, course.plain)
    after = np.zeros_like(before)
    commands: list[tuple[Commands, Commands]] = []
    for number, held in enumerate(parts, 1):
        say(f"holding back part {number} of {len(parts)}: {len(held)} recordings")
        others = [i for part in parts if part is not held for i in part]
        adapted = adapt(network, course.lessons(others), course.others, settings, say)
        after[list(held)] = phone_errors(adapted, settings.blocks, [course.plain[i] for i in held])
        if hear:
            commands.append((hear(None, held), hear(adapted, held)))
    sounds = sum(len(lesson.target) for lesson in course.plain)
    both = (_sum([old for old, _ in commands]), _sum([new for _, new in commands])) if commands else None
    return Comparison(sounds, before, after, both)


def _sum(parts: Sequence[Commands]) -> Commands:
    return Commands(
        sum(part.exact for part in parts),
        sum(part.wrong for part in parts),
        sum(part.total for part in parts),
    )
