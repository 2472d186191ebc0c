"""Logistic regression by Newton's method: a handful of weights needs no library."""

from collections.abc import Mapping, Sequence

import numpy as np

STEPS = 50


def fit(
    evidence: Sequence[Mapping[str, float]],
    right: Sequence[bool],
    importance: Sequence[float],
    ridge: float = 1.0,
) -> dict[str, float]:
    """Fit weights and `bias` so that their logit predicts `right`.

    Args:
        evidence: values by name, the same names in each.
        right: what to predict.
        importance: weight of each example, > 0.
        ridge: strength of the pull of standardized weights towards 0; without it separable data has no fit.
    """
    names = sorted(evidence[0])
    x = np.array([[example[name] for name in names] for example in evidence])
    mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-9
    x = np.column_stack([(x - mean) / deviation, np.ones(len(x))])
    y, w = np.asarray(right, float), np.asarray(importance, float)
    pull = np.full(x.shape[1], ridge)
    pull[-1] = 1e-6
    beta = np.zeros(x.shape[1])
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-np.clip(x @ beta, -30, 30)))
        gradient = x.T @ (w * (p - y)) + pull * beta
        curvature = (x * (w * p * (1 - p))[:, None]).T @ x + np.diag(pull)
        step = np.linalg.solve(curvature, gradient)
        beta -= step
        if np.abs(step).max() < 1e-8:
            break
    weights = dict(zip(names, map(float, beta[:-1] / deviation), strict=True))
    bias = float(beta[-1] - (beta[:-1] * mean / deviation).sum())
    return {"bias": bias, **weights}
