"""Intervals for counts: a figure without its interval is an anecdote."""

import math
from dataclasses import dataclass
from typing import Self

_Z95 = 1.959964


@dataclass(frozen=True, slots=True)
class Share:
    """A share of a count, with its 95 % interval (Wilson 1927)."""

    count: int
    total: int
    value: float
    low: float
    high: float

    @classmethod
    def of(cls, count: int, total: int) -> Self:
        """Estimate the share behind `count` of `total`; without any evidence it is 0, between 0 and 1."""
        if not total:
            return cls(0, 0, 0.0, 0.0, 1.0)
        share, square = count / total, _Z95**2
        centre = (share + square / (2 * total)) / (1 + square / total)
        half = _Z95 * math.sqrt(share * (1 - share) / total + square / (4 * total**2)) / (1 + square / total)
        return cls(count, total, share, max(0.0, centre - half), min(1.0, centre + half))

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} % ({100 * self.low:.1f}-{100 * self.high:.1f})"


@dataclass(frozen=True, slots=True)
class Rate:
    """Events per hour, with the exact 95 % interval of a Poisson count."""

    count: int
    hours: float
    value: float
    low: float
    high: float

    @classmethod
    def of(cls, count: int, hours: float) -> Self:
        """Estimate the rate behind `count` events in `hours` > 0."""
        low = _poisson_bound(count - 1, 0.975) if count else 0.0
        return cls(count, hours, count / hours, low / hours, _poisson_bound(count, 0.025) / hours)

    def __str__(self) -> str:
        return f"{self.value:.2f}/h ({self.low:.2f}-{self.high:.2f}; {self.count} in {self.hours:.2f} h)"


def _poisson_bound(count: int, probability: float) -> float:
    """Return the mean at which at most `count` events happen with `probability`, by bisection."""
    low, high = 0.0, 2.0 * count + 20.0
    for _ in range(60):
        mean = (low + high) / 2
        # by logarithms: exp(-mean) alone is 0 for a mean above 745
        total = sum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(count + 1))
        low, high = (mean, high) if total > probability else (low, mean)
    return low
