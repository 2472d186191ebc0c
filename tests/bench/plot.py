"""`python -m tests.bench.plot BENCH.json`: draw how search and compilation grow with the grammar."""

import json
import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

PICTURE = Path(__file__).parents[2] / "docs/pictures/decoder-growth.svg"
_LINES = {
    "search_ms": ("search, 3 s of speech", "o-"),
    "kaldi_search_ms": ("Kaldi's search on the same graph", "s--"),
    "compile_ms": ("compilation, once (dictionary in memory)", "^:"),
}
_GOAL = (10_000, 30)
"""10,000 sentences searched in 30 ms."""


def draw(decoder: dict[str, Any], path: Path) -> None:
    """Write the picture of what `bench_decoder.run` returned."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for key, (label, style) in _LINES.items():
        sizes = decoder["sizes"]
        axes.loglog([size["sentences"] for size in sizes], [size[key] for size in sizes], style, label=label)
    axes.plot(*_GOAL, "k_", markersize=18, label="goal for the search")
    axes.set_xlabel("sentences of the grammar")
    axes.set_ylabel("ms")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.grid(alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_bytes())["decoder"], PICTURE)
