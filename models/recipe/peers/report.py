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
    """Return Markdown tables: orders, their intervals, strings of letters and digits, computing time."""
    first = next(iter(figures.orders.values()))[Mode.EVERYTHING]
    names = ["clean" if score.snr_db is None else f"{score.snr_db:g} dB" for score in first]
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
