"""Fit what the decoder needs to know about a model: penalties, the map to a probability, and thresholds.

Labelled commands say what must be heard, hours of other sound say what must not. The acoustic model runs once
over all of it; its frames are kept in the cache, so that everything after that takes minutes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.optimize import brentq

from agent.acoustics.manifest import Calibration
from agent.evaluation.commands import Label, Trial, Verdict
from agent.grammar.graph import Graph
from agent.recognition.confidence import objection, probability
from agent.recognition.hypothesis import Hypothesis
from models.recipe import logistic
from models.recipe.remembering import Recording

BLANK_PENALTIES = (2.0, 3.0, 4.0)
LOOP_PENALTIES = (4.0,)
NOTHING_REFUSED = "nothing refused"
"""Name of what `permissive` makes of an operating point."""


def permissive(point: Calibration) -> Calibration:
    """Return an operating point that hears as another does, and refuses nothing for its score."""
    off = {"min_margin": -1000.0, "min_clarity": -1000.0, "max_talk_before": 1.0, "min_probability": 0.0}
    return point.model_copy(update=off)


@dataclass(frozen=True, slots=True)
class Positive:
    """A recording of a command."""

    file: str
    snr_db: float | None
    label: Label
    graph: Graph
    recording: Recording

    def trial(self, calibration: Calibration) -> Trial:
        """Hear it with a calibration."""
        hypotheses = self.recording.hear(self.graph, calibration)
        return Trial(self.file, self.snr_db, self.label, tuple(hypotheses))


@dataclass(frozen=True, slots=True)
class Negative:
    """Sound that holds no command of the graph."""

    graph: Graph
    recording: Recording


def choose_penalties(
    positives: Sequence[Positive], start: Calibration, say: Callable[[str], None]
) -> Calibration:
    """Return the grid point that hears the most commands, all else as in `start`, with nothing refused."""
    exact = {}
    for blank_penalty, loop_penalty in product(BLANK_PENALTIES, LOOP_PENALTIES):
        tried = {"blank_penalty": blank_penalty, "loop_penalty": loop_penalty}
        calibration = permissive(start).model_copy(update=tried)
        verdicts = [positive.trial(calibration).verdict for positive in positives]
        exact[verdicts.count(Verdict.EXACT)] = calibration
        count = verdicts.count(Verdict.EXACT)
        say(f"blank {blank_penalty}, loop {loop_penalty}: {count} of {len(positives)} exact")
    return exact[max(exact)]


@dataclass(frozen=True, slots=True)
class Example:
    """Something that was understood with nothing refused, and whether it was right."""

    hypothesis: Hypothesis
    right: bool
    importance: float
    anchor: bool = False
    """An order of a real stranger, heard right: what the scale of the probability hangs on."""


RIGHT, WRONG = 1.0, 4.0
"""Importance of examples: a wrong command is worse than a refused one."""
WEIGHED = ("doubt", "gain_per_sound", "lead", "next_worst_word", "other_word", "sounds")
"""Evidence that gets its weight here; for Mandarin see `shift`, the rest has limits."""
DOUBTED = 0.015
"""Share of the orders heard right, clean to 6 dB, that shall be less likely right than wrong."""
LIMITS = {"min_clarity": 0.8, "max_talk_before": 0.06}
"""They cost no real order, and keep out what is said under a roar, in talk or in another language
(models/EXPERIMENTS.md)."""
POINT_LIMITS = {
    "low": {"min_probability": 0.3, "min_margin": 0.3, **LIMITS},
    "normal": {"min_probability": 0.5, "min_margin": 0.5, **LIMITS},
    "high": {"min_probability": 0.8, "min_margin": 3.0, **LIMITS},
}


def commands(base: Calibration, positives: Iterable[Positive], real: bool) -> Iterator[Example]:
    """Hear commands with nothing refused."""
    for positive in positives:
        trial = positive.trial(base)
        for hypothesis in trial.accepted:
            right = trial.means(hypothesis)
            yield Example(hypothesis, right, RIGHT if right else WRONG, anchor=right and real)


def other_sound(base: Calibration, negatives: Iterable[Negative], importance: float) -> Iterator[Example]:
    """Hear sound without commands with nothing refused."""
    for negative in negatives:
        for hypothesis in negative.recording.hear(negative.graph, base):
            if hypothesis.reject is None:
                yield Example(hypothesis, right=False, importance=importance)


def fit_weights(examples: Sequence[Example]) -> dict[str, float]:
    """Fit the map from evidence to the probability of being right; `DOUBTED` of anchors get below half."""
    counting = _undisturbed(examples)
    weights = logistic.fit(
        [{name: example.hypothesis.evidence[name] for name in WEIGHED} for example in counting],
        [example.right for example in counting],
        [example.importance for example in counting],
    )
    anchors = [probability(e.hypothesis.evidence, weights) for e in counting if e.anchor]
    half = float(np.quantile(anchors, DOUBTED))
    weights["bias"] -= float(np.log(half / (1 - half)))
    return {name: round(weight, 4) for name, weight in weights.items()}


def _undisturbed(examples: Iterable[Example]) -> list[Example]:
    """Leave out what is refused whatever its weights."""
    others = ("blank_penalty", "loop_penalty", "entry_penalty", "min_margin", "min_probability")
    limits = Calibration.model_validate({**dict.fromkeys(others, 0.0), "weights": {}, **LIMITS})
    return [
        example for example in examples if objection(example.hypothesis.evidence, None, 1.0, limits) is None
    ]


def shift(weights: Mapping[str, float], examples: Sequence[Example]) -> float:
    """Return what to add to these examples' logit, so that as many are right as their probabilities say."""
    sure = np.array([probability(example.hypothesis.evidence, weights) for example in examples])
    logits = np.log(sure / (1 - sure))
    right = np.array([example.right for example in examples])
    importance = np.array([example.importance for example in examples])

    def surplus(added: float) -> float:
        return float(importance @ (1 / (1 + np.exp(-logits - added)) - right))

    return float(brentq(surplus, -20, 20))


CURVE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
"""Probabilities at which the trade-off is written down."""


def trade_off(
    weights: Mapping[str, float],
    orders: int,
    heard: Sequence[Example],
    near: Sequence[Example],
    near_total: int,
    other: Sequence[Example],
    hours: float,
) -> list[dict[str, float]]:
    """Return the manifest's curve.

    Args:
        weights: of the probability.
        orders: how many real commands there were.
        heard: what was understood of them; at most one reading each is right.
        near: what was understood of near misses.
        near_total: how many near misses there were.
        other: what was understood of sound without commands.
        hours: of that sound, once for each grammar.
    """

    def accepted(examples: Sequence[Example], least: float) -> list[Example]:
        return [e for e in _undisturbed(examples) if probability(e.hypothesis.evidence, weights) >= least]

    curve = []
    for least in CURVE:
        kept = accepted(heard, least)
        right = sum(example.right for example in kept)
        curve.append(
            {
                "probability": least,
                "exact": round(right / orders, 4),
                "wrong": round((len(kept) - right) / orders, 4),
                "near_misses": round(min(1.0, len(accepted(near, least)) / near_total), 4),
                "false_accepts_per_hour": round(len(accepted(other, least)) / hours, 3),
            }
        )
    return curve


def operating_points(base: Calibration, weights: Mapping[str, float]) -> dict[str, dict[str, object]]:
    """Return the manifest's operating points."""
    return {
        name: base.model_copy(update={**limits, "weights": dict(weights)}).model_dump()
        for name, limits in POINT_LIMITS.items()
    }
