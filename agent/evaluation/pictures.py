"""Pictures for people who would rather look than read. Needs matplotlib (extra `demo` or `train`)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.errors import VoxlineError
from agent.evaluation.commands import Score
from agent.evaluation.rejects import TradeOff


def require_drawable(path: Path) -> None:
    """See that a picture can be written there, before hours of listening.

    Raises:
        VoxlineError: it cannot.
    """
    figure, _ = _figure("", "")
    kinds = figure.canvas.get_supported_filetypes()
    if path.suffix and path.suffix[1:].lower() not in kinds:
        raise VoxlineError(f"--picture {path}: pictures are no {path.suffix}; name it .png or .svg")
    if not path.parent.is_dir():
        raise VoxlineError(f"--picture {path}: there is no folder {path.parent}")


def accuracy_against_snr(series: Mapping[str, Sequence[Score]], path: Path) -> None:
    """Draw exact commands against SNR, a line with its 95 % intervals for each named series."""
    figure, axes = _figure("signal to noise, dB", "exact commands, % (bars: 95 % intervals)")
    every = {score.snr_db for scores in series.values() for score in scores}
    noisy = sorted(snr_db for snr_db in every if snr_db is not None)
    clean_at = max(noisy, default=0.0) + 6
    for number, (name, scores) in enumerate(series.items()):
        ordered = sorted(scores, key=lambda score: clean_at if score.snr_db is None else score.snr_db)
        aside = 0.25 * (number - (len(series) - 1) / 2)  # so that bars stand beside each other
        x = [aside + (clean_at if score.snr_db is None else score.snr_db) for score in ordered]
        shares = [score.exact for score in ordered]
        below = [max(0.0, 100 * (share.value - share.low)) for share in shares]  # rounding must not go below
        above = [max(0.0, 100 * (share.high - share.value)) for share in shares]
        y = [100 * share.value for share in shares]
        axes.errorbar(x, y, yerr=[below, above], marker="o", markersize=4, capsize=3, label=name)
    axes.set_xticks([*noisy, clean_at], [*(f"{snr_db:g}" for snr_db in noisy), "clean"])
    axes.set_ylim(0, 102)
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
