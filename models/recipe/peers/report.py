"""The comparison's figures: kept as JSON, shown as tables and as a picture."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from agent.evaluation.commands import Score
from agent.evaluation.pictures import accuracy_against_snr
from agent.evaluation.statistics import Share
from models.recipe.peers.contestants import Mode


@dataclass
class Figures:
    """What was counted, by engine."""

    orders: dict[str, Mapping[Mode, list[Score]]]
    spelled: dict[str, Mapping[Mode, Share]]
    """Wrong words of letters and digits."""
    free_text: dict[str, Share]
    """The same of an engine's text without a grammar."""
    cost: Mapping[str, float]
    """Seconds of one core per second of sound."""


_JSON = TypeAdapter(Figures)


def read(path: Path) -> Figures:
    """Read figures, or begin new ones."""
    return _JSON.validate_json(path.read_bytes()) if path.exists() else Figures({}, {}, {}, {})


def write(figures: Figures, path: Path) -> None:
    """Write figures."""
    path.write_bytes(_JSON.dump_json(figures, indent=1) + b"\n")


def tables(figures: Figures) -> str:
    """Return three Markdown tables: orders, strings of letters and digits, computing time."""
    ratios = [score.snr_db for score in next(iter(figures.orders.values()))[Mode.EVERYTHING]]
    names = ["clean" if ratio is None else f"{ratio:g} dB" for ratio in ratios]
    lines = _rows("exact / wrong / refused, %", *names)
    for engine, modes in figures.orders.items():
        lines += [_row(f"{engine}, {mode}", *map(_three, scores)) for mode, scores in modes.items()]
    lines += ["", *_rows("exact, 95 % interval", *names)]
    for engine, modes in figures.orders.items():
        lines += [
            _row(f"{engine}, {mode}", *(_interval(score.exact) for score in scores))
            for mode, scores in modes.items()
        ]
    lines += ["", *_rows("letters and digits, wrong words", *Mode, "free text", "core seconds per second")]
    for engine, shares in figures.spelled.items():
        free = str(figures.free_text.get(engine, ""))
        lines.append(_row(engine, *map(str, shares.values()), free, str(figures.cost.get(engine, ""))))
    return "\n".join(lines)


def draw(figures: Figures, path: Path) -> None:
    """Draw exact orders against SNR, a line for each engine and what it may refuse."""
    series = {
        f"{engine}, {mode}": scores
        for engine, modes in figures.orders.items()
        for mode, scores in modes.items()
        if engine == "voxline" or mode is Mode.EVERYTHING
    }
    accuracy_against_snr(series, path)


def _rows(*cells: str) -> list[str]:
    return [_row(*cells), _row(*["---"] * len(cells))]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _three(score: Score) -> str:
    return " / ".join(f"{100 * share.value:.1f}" for share in (score.exact, score.wrong, score.rejected))


def _interval(share: Share) -> str:
    return f"{100 * share.low:.1f}-{100 * share.high:.1f}"
