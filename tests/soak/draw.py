"""The agent's memory over a soak, with the faults that were made."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from tests.soak.judge import NETWORK
from tests.soak.observed import Run
from tests.soak.resources import minutes, settled


def draw(run: Run, report: dict[str, Any], path: Path) -> None:
    """Write the picture, as SVG."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots()
    every = [
        ((sample.at_s - run.started_s) / 60, sample.resident_bytes / 2**20)
        for sample in run.samples
        if sample.at_s > run.started_s
    ]
    axes.plot(*zip(*every, strict=True), color="0.75", linewidth=0.8, label="every 5 s")
    axes.plot(
        *zip(*((60 * h, mib) for h, mib in minutes(run)), strict=True),
        "o-",
        markersize=2.5,
        label="mean of a minute",
    )
    if slope := report["resources"]["memory_slope_mib_per_hour"]:
        hours, values = zip(*settled(run), strict=True)
        middle_h, mean = sum(hours) / len(hours), sum(values) / len(values)
        ends = [hours[0], hours[-1]]
        axes.plot(
            [60 * h for h in ends],
            [mean + slope["per_hour"] * (h - middle_h) for h in ends],
            "k--",
            label=f"{slope['per_hour']:+.2f} MiB/h ({slope['low']:+.2f} to {slope['high']:+.2f})",
        )
    floor, top = axes.get_ylim()
    axes.set_ylim(floor - 0.12 * (top - floor), top)
    for name, marker, place in (("of the network", "|", 0.06), ("of the house", "x", 0.02)):
        moments = [
            (fault.start_s - run.started_s) / 60
            for fault in run.faults
            if (fault.kind in NETWORK) == (name == "of the network")
        ]
        axes.plot(
            moments,
            [place] * len(moments),
            marker,
            color="C3",
            markersize=5,
            transform=axes.get_xaxis_transform(),
            label=f"fault {name}",
        )
    axes.set_xlabel("minutes")
    axes.set_ylabel("resident memory, MiB")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", ncols=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
