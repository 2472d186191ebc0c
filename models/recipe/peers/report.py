"""The comparison's figures: kept as JSON, shown as tables and as a picture."""

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from pydantic.dataclasses import dataclass

from agent.acoustics.bundle import Bundle
from agent.evaluation.commands import Score
from agent.evaluation.pictures import accuracy_against_snr
from agent.evaluation.statistics import Share
from models.recipe.figures import hears_as, read
from models.recipe.noise import ratio_name
from models.recipe.peers.contestants import Mode


@dataclass
class Figures:
    """What was counted, by engine."""

    digest: str
    """By the operating point `normal` of Voxline's bundle."""
    orders: dict[str, Mapping[Mode, list[Score]]] = field(default_factory=dict)
    spelled: dict[str, Mapping[Mode, Share]] = field(default_factory=dict)
    """Wrong words of letters and digits."""
    free_text: dict[str, Share] = field(default_factory=dict)
    """The same of an engine's text without a grammar."""
    cost: Mapping[str, float] = field(default_factory=dict)
    """Seconds of one core per second of sound."""


def begun(path: Path, bundle: Bundle) -> Figures:
    """Read figures, or begin new ones.

    Raises:
        ValueError: there are figures, but of another bundle.
    """
    return read(path, Figures(hears_as(bundle, bundle.manifest.operating_points.normal)))


def tables(figures: Figures) -> str:
    """Return Markdown tables: orders, their intervals, strings of letters and digits, computing time."""
    first = next(iter(figures.orders.values()))[Mode.EVERYTHING]
    names = [ratio_name(score.snr_db) for score in first]
    rows = [
        (_title(engine, mode), scores)
        for engine, modes in figures.orders.items()
        for mode, scores in modes.items()
    ]
    lines = _rows(f"exact / wrong / refused of {first[0].exact.total}", *names)
    lines += [_row(title, *map(_counts, scores)) for title, scores in rows]
    lines += ["", *_rows("exact; wrong, %, 95 % intervals", *names)]
    lines += [_row(title, *map(_intervals, scores)) for title, scores in rows]
    lines += ["", *_rows("letters and digits, wrong words", *Mode, "free text", "core seconds per second")]
    for engine, shares in figures.spelled.items():
        free = str(figures.free_text.get(engine, ""))
        lines.append(_row(engine, *map(str, shares.values()), free, str(figures.cost.get(engine, ""))))
    return "\n".join(lines)


def draw(figures: Figures, path: Path) -> None:
    """Draw exact orders against SNR: every engine with nothing refused, and Voxline as it is shipped."""
    series = {
        _title(engine, mode): scores
        for engine, modes in figures.orders.items()
        for mode, scores in modes.items()
        if engine == "voxline" or mode is Mode.EVERYTHING
    }
    accuracy_against_snr(series, path)


def _title(engine: str, mode: Mode) -> str:
    names = {"voxline": "Voxline", "pocketsphinx": "PocketSphinx", "moonshine": "Moonshine tiny"}
    return f"{names[engine]}, {mode}"


def _rows(*cells: str) -> list[str]:
    return [_row(*cells), _row(*["---"] * len(cells))]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _counts(score: Score) -> str:
    return " / ".join(str(share.count) for share in (score.exact, score.wrong, score.rejected))


def _intervals(score: Score) -> str:
    return "; ".join(f"{100 * share.low:.1f}-{100 * share.high:.1f}" for share in (score.exact, score.wrong))
