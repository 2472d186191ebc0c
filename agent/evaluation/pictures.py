"""Pictures for people who would rather look than read. Needs matplotlib (extra `demo` or `train`)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.errors import VoxlineError
from agent.evaluation.commands import Score
from agent.evaluation.rejects import TradeOff


def accuracy_against_snr(series: Mapping[str, Sequence[Score]], path: Path) -> None:
    """Draw exact commands against SNR, a line with its 95 % band for each named series."""
    figure, axes = _figure("SNR, dB (clean at the right edge)", "exact commands, %")
    for name, scores in series.items():
        noisy = [score.snr_db for score in scores if score.snr_db is not None]
        clean_at = max(noisy, default=0.0) + 6
        ordered = sorted(scores, key=lambda score: clean_at if score.snr_db is None else score.snr_db)
        x = [clean_at if score.snr_db is None else score.snr_db for score in ordered]
        axes.plot(x, [100 * score.exact.value for score in ordered], marker="o", label=name)
        low, high = ([100 * bound for bound in side] for side in zip(*_bounds(ordered), strict=True))
        axes.fill_between(x, low, high, alpha=0.15)
    axes.legend(loc="lower right")
    figure.savefig(path)


def trade_off_curve(points: Sequence[TradeOff], shipped: float, path: Path) -> None:
    """Draw false rejects against false accepts, the shipped threshold marked."""
    figure, axes = _figure("false accepts per hour", "false rejects, %")
    axes.plot(
        [p.false_accepts.value for p in points], [100 * p.false_rejects.value for p in points], marker="."
    )
    nearest = min(points, key=lambda point: abs(point.min_probability - shipped))
    axes.plot(
        [nearest.false_accepts.value],
        [100 * nearest.false_rejects.value],
        "o",
        label=f"shipped: {shipped:.2f}",
    )
    axes.legend()
    figure.savefig(path)


def _bounds(scores: Sequence[Score]) -> list[tuple[float, float]]:
    return [(score.exact.low, score.exact.high) for score in scores]


def _figure(x: str, y: str) -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure  # an extra, and slow to import
    except ModuleNotFoundError as error:
        raise VoxlineError("pictures need matplotlib: pip install 'voxline[demo]'") from error
    figure = Figure(figsize=(7, 4.5), layout="constrained", dpi=150)
    axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    return figure, axes
