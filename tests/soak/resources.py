"""What a soak took of memory, threads, descriptors and processor time, and whether it leaks. Pure."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import scipy.stats

from tests.soak.observed import Run

WARM_UP = 0.5
"""Of the time, not judged for leaks, and at least 2 minutes: pools and caches fill for half an hour."""
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Slope:
    """How fast something grows, per hour, with its 95 % interval."""

    per_hour: float
    low: float
    high: float

    @classmethod
    def of(cls, hours: Sequence[float], values: Sequence[float]) -> Self:
        """Fit a line by least squares; needs 4 points.

        Neighbours in time are alike, so that each tells less than one point's worth: the interval is widened
        by the correlation of the residuals with themselves one step later.
        """
        fit = scipy.stats.linregress(hours, values)
        residuals = np.asarray(values) - fit.intercept - fit.slope * np.asarray(hours)
        square = float(residuals @ residuals)
        alike = max(0.0, float(residuals[1:] @ residuals[:-1]) / square) if square else 0.0
        worth = max(3.0, len(values) * (1 - alike) / (1 + alike))
        error = float(fit.stderr) * ((len(values) - 2) / (worth - 2)) ** 0.5
        half = float(scipy.stats.t.ppf(0.975, worth - 2)) * error
        return cls(float(fit.slope), float(fit.slope) - half, float(fit.slope) + half)


def minutes(run: Run) -> list[tuple[float, float]]:
    """Give the resident memory (MiB) of each minute (in hours since the start), its mean."""
    bins: dict[int, list[float]] = {}
    for sample in run.samples:
        if sample.at_s >= run.started_s:
            minute = int((sample.at_s - run.started_s) / 60)
            bins.setdefault(minute, []).append(sample.resident_bytes / _MIB)
    return [((minute + 0.5) / 60, statistics.fmean(values)) for minute, values in sorted(bins.items())]


def settled(run: Run) -> list[tuple[float, float]]:
    """Give the minutes after warming up."""
    warm_h = max(WARM_UP * (run.ended_s - run.started_s) / 3600, 2 / 60)
    return [point for point in minutes(run) if point[0] > warm_h]


def resources(run: Run) -> tuple[dict[str, Any], list[str]]:
    points = settled(run)
    failures = []
    slope = Slope.of(*zip(*points, strict=True)) if len(points) >= 4 else None
    if slope and slope.low > 0:
        failures.append(f"memory grows by {slope.per_hour:.2f} MiB/h ({slope.low:.2f} to {slope.high:.2f})")
    found: dict[str, Any] = {
        "resident_mib_by_minute": [round(value, 2) for _, value in minutes(run)],
        "memory_slope_mib_per_hour": slope and {key: round(value, 3) for key, value in asdict(slope).items()},
    }
    later = [sample for sample in run.samples if sample.at_s > run.started_s]
    if later:
        tenth = max(1, len(later) // 10)
        for name in ("threads", "descriptors"):
            counts = [getattr(sample, name) for sample in later]
            first, last = statistics.median(counts[:tenth]), statistics.median(counts[-tenth:])
            found[name] = {"first": first, "last": last, "most": max(counts)}
            if last > first:
                failures.append(f"{name}: {first:.0f} at first, {last:.0f} at the end")
        took_s = later[-1].at_s - later[0].at_s
        found["cpu_ratio"] = round((later[-1].cpu_s - later[0].cpu_s) / max(took_s, 1.0), 3)
    return found, failures
