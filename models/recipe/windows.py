"""How often to ask, and how long to wait for what follows: accuracy against latency and use of the NPU.

    python -m models.recipe.windows

The model is stateless, so a bundle's hop and look-ahead are numbers in its manifest. Each window is computed
once: a long hop asks for some of the windows of a short one, and the look-ahead only chooses among frames.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from agent.acoustics.bundle import Bundle, load_bundle
from agent.acoustics.engines.onnx import OnnxEngine
from agent.acoustics.manifest import Manifest
from agent.acoustics.support import stored_report
from agent.audio.source import SAMPLE_RATE_HZ
from agent.grammar import compile_grammar, load_grammar
from models.recipe.calibrate import NOTHING_REFUSED, Positive
from models.recipe.calibration_data import COFFEE, Order, orders
from models.recipe.judge import count, points
from models.recipe.noise import ratio_name
from models.recipe.places import BUNDLES, CACHE, SPEECH
from models.recipe.remembering import Recording

HOPS_MS, LOOK_AHEADS_MS = (120, 240, 480), (96, 192, 288, 576)
SNRS_DB: tuple[float | None, ...] = (None, 6.0)


def settings(manifest: Manifest) -> Iterator[tuple[int, int, Manifest]]:
    """Yield hop and look-ahead, both in ms, and the manifest that has them."""
    for hop_ms in HOPS_MS:
        for look_ahead_ms in LOOK_AHEADS_MS:
            samples = {"hop_samples": hop_ms, "look_ahead_samples": look_ahead_ms}
            update = {name: value * SAMPLE_RATE_HZ // 1000 for name, value in samples.items()}
            yield hop_ms, look_ahead_ms, manifest.model_copy(update=update)


def hear(bundle: Bundle, chosen: list[Order]) -> dict[tuple[int, int], list[Positive]]:
    """Hear orders with each setting."""
    graph = compile_grammar(load_grammar(COFFEE), bundle.manifest.tokens)
    engine = OnnxEngine(bundle)
    heard: dict[tuple[int, int], list[Positive]] = {}
    for order in chosen:
        for hop_ms, look_ahead_ms, manifest in settings(bundle.manifest):
            asked = Recording(replace(bundle, manifest=manifest), engine, order.sound, CACHE)
            positive = Positive(order.file, order.snr_db, order.label, graph, asked)
            heard.setdefault((hop_ms, look_ahead_ms), []).append(positive)
    return heard


def main(
    every: Annotated[int, typer.Option(min=1, help="Take each so manieth order.")] = 4,
    folder: Annotated[Path, typer.Option("--bundle", help="The bundle.")] = BUNDLES / "voxline-en-zh",
) -> None:
    """Print orders heard exactly / wrong for each hop and look-ahead, longest wait, and use of the NPU."""
    bundle = load_bundle(folder)
    report = stored_report(bundle)
    predicted_ms = max(t.predicted_ms[1] for t in report.targets if t.target == "rk3568") if report else None
    limits = {name: points(bundle)[name] for name in (NOTHING_REFUSED, "normal")}
    names = [f"{ratio_name(snr_db)}, {point}" for snr_db in SNRS_DB for point in limits]
    head = ["hop", "look-ahead", "longest wait", "NPU", *names]
    print(f"| {' | '.join(head)} |\n{'|---' * len(head)}|")
    for (hop_ms, look_ahead_ms), heard in hear(bundle, list(orders(SPEECH, SNRS_DB, every))).items():
        cells = [f"{hop_ms} ms", f"{look_ahead_ms} ms", f"{hop_ms + look_ahead_ms} ms"]
        cells.append(f"{predicted_ms / hop_ms:.0%}" if predicted_ms else "?")
        for snr_db in SNRS_DB:
            own = [positive for positive in heard if positive.snr_db == snr_db]
            cells += [str(one) for one in count(own, limits).values()]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    typer.run(main)
