"""Fitting on examples whose answer is known."""

import numpy as np
import pytest

from agent.acoustics.manifest import Calibration, OperatingPoints
from agent.recognition.confidence import EVIDENCE, objection, probability
from agent.recognition.hypothesis import Hypothesis
from models.recipe import calibrate, logistic


def test_logistic_regression_finds_the_weights_that_made_the_data() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(0, 1, (20_000, 2))
    right = rng.random(len(x)) < 1 / (1 + np.exp(-(0.5 + 2 * x[:, 0] - x[:, 1])))
    evidence = [{"a": float(a), "b": float(b)} for a, b in x]
    weights = logistic.fit(evidence, list(right), [1.0] * len(x))
    assert weights == pytest.approx({"bias": 0.5, "a": 2.0, "b": -1.0}, abs=0.1)


def test_separable_examples_still_have_a_fit() -> None:
    weights = logistic.fit([{"a": -1.0}, {"a": 1.0}], [False, True], [1.0, 1.0])
    assert 0 < weights["a"] < 100


def examples() -> list[calibrate.Example]:
    rng = np.random.default_rng(2)
    rights = [float(value) for value in rng.normal(-1, 1, 500)]
    wrongs = [float(value) for value in rng.normal(-5, 1.5, 500)]
    return [
        *(_example(value, right=True) for value in rights),
        *(_example(value, right=False) for value in wrongs),
    ]


def _example(value: float, *, right: bool, **evidence: float) -> calibrate.Example:
    full = dict.fromkeys(EVIDENCE, 0.0) | {"gain_per_sound": 3.0, "other_word": value} | evidence
    heard = Hypothesis(start_s=0, end_s=1, snr_db=None, evidence=full)
    return calibrate.Example(heard, right, importance=1.0, anchor=right)


def test_few_anchors_get_less_than_one_half() -> None:
    data = examples()
    weights = calibrate.fit_weights(data)
    anchors = [probability(e.hypothesis.evidence, weights) for e in data if e.anchor]
    assert sum(sure < 0.5 for sure in anchors) == round(calibrate.DOUBTED * len(anchors))
    assert weights["other_word"] > 0


@pytest.mark.parametrize(
    "disturbed", [{"talk_before": 0.5}, {"uncertainty": 2.0}, {"foreign": 4.0, "gain_per_sound": 2.0}]
)
def test_what_is_refused_anyway_teaches_nothing(disturbed: dict[str, float]) -> None:
    worthless = [_example(-1.0, right=False, **disturbed) for _ in range(500)]
    assert calibrate.fit_weights([*examples(), *worthless]) == calibrate.fit_weights(examples())


def test_a_shift_makes_as_many_right_as_the_probabilities_say() -> None:
    data = [_example(value, right=value > 0) for value in (-4.0, -1.0, 1.0, 2.0, 3.0)]
    weights = {"bias": -9.0, "other_word": 1.0}
    weights["bias"] += calibrate.shift(weights, data)
    assert sum(probability(e.hypothesis.evidence, weights) for e in data) == pytest.approx(3.0)


BASE = Calibration(
    blank_penalty=3.0,
    loop_penalty=4.0,
    entry_penalty=0.5,
    min_margin=0.5,
    min_probability=0.5,
    min_clarity=1.1,
    max_talk_before=0.06,
    weights={"bias": -6.0, "worst_word": 1.0},
)


def test_a_permissive_point_believes_anything_and_hears_as_before() -> None:
    free = calibrate.permissive(BASE)
    worst = dict.fromkeys(EVIDENCE, 0.0) | {"uncertainty": 4.0, "talk_before": 1.0, "worst_word": -99.0}
    assert objection(worst, 0.0, 0.0, BASE) is not None
    assert objection(worst, 0.0, 0.0, free) is None
    penalties = {"blank_penalty", "loop_penalty", "entry_penalty", "weights"}
    assert free.model_dump(include=penalties) == BASE.model_dump(include=penalties)


def test_operating_points_are_what_a_manifest_takes() -> None:
    points = calibrate.operating_points(calibrate.permissive(BASE), calibrate.fit_weights(examples()))
    parsed = OperatingPoints.model_validate(points)
    assert parsed.low.min_probability < parsed.normal.min_probability < parsed.high.min_probability
    assert parsed.normal.blank_penalty == 3.0
