"""The CPU's int8: a bundle whose matrix products run in 8 bits, for controllers without an NPU.

    python -m models.recipe.int8 FOLDER

ONNX Runtime's dynamic quantization: weights once, activations by their range in each call, so nothing has
to be calibrated. Convolutions stay in float32: in int8 they are slower there, and cost more accuracy.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic

from agent.acoustics.bundle import Bundle, load_bundle, seal_bundle
from agent.acoustics.engines.onnx import OnnxEngine
from agent.acoustics.features import window_rows
from models.recipe.bundle import halve, widen
from models.recipe.calibration_data import orders
from models.recipe.noise import ratio_name
from models.recipe.peers import compare
from models.recipe.places import BUNDLES, CACHE, SPEECH

SNRS_DB = (None, 12.0, 6.0)


def quantized(bundle: Path, folder: Path) -> Bundle:
    """Write a bundle to a new `folder` that computes in int8; it has no model for an NPU."""
    shutil.copytree(bundle, folder, ignore=shutil.ignore_patterns("model.*", "support.json"))
    with tempfile.TemporaryDirectory() as scratch:
        wide, narrow = Path(scratch) / "wide.onnx", Path(scratch) / "narrow.onnx"
        widen(bundle / "model.onnx", wide)
        quantize_dynamic(
            wide, narrow, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8
        )
        halve(narrow, folder / "model.onnx")
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    manifest["name"] += "-int8"
    for key in ("files", "npu"):
        manifest.pop(key, None)
    sealed = seal_bundle(folder, manifest)
    samples = np.fromfile(folder / "canary.samples.i16", "<i2")
    logits = np.array(OnnxEngine(sealed).run(window_rows(sealed.manifest, samples)), "<f4")
    (folder / "canary.logits.f32").write_bytes(logits.tobytes())
    return seal_bundle(folder, manifest)


def window_ms(bundles: Sequence[Bundle], turns: int = 40) -> list[float]:
    """Return the least time of one core that a window takes each bundle, by turns, in ms.

    The least, since other work on the machine can only add to it.
    """
    engines = [OnnxEngine(bundle) for bundle in bundles]
    samples = np.fromfile(bundles[0].folder / "canary.samples.i16", "<i2")
    rows = window_rows(bundles[0].manifest, samples)
    took_s = [[_processor_s(engine, rows) for engine in engines] for _ in range(turns)]
    return [round(1000 * min(own), 2) for own in zip(*took_s, strict=True)]


def _processor_s(engine: OnnxEngine, rows: NDArray[np.float32]) -> float:
    start_s = time.process_time()
    engine.run(rows)
    return time.process_time() - start_s


def main(
    out: Annotated[Path, typer.Argument(help="Folder for the int8 bundle; must not be there yet.")],
    every: Annotated[int, typer.Option(min=1, help="Take each so manieth order.")] = 4,
    folder: Annotated[Path, typer.Option("--bundle", help="The bundle.")] = BUNDLES / "voxline-en-zh",
) -> None:
    """Quantize a bundle for CPUs, and print size, time and orders heard beside what it was made from."""
    bundles = [load_bundle(folder), quantized(folder, out)]
    for bundle, least_ms in zip(bundles, window_ms(bundles), strict=True):
        megabytes = bundle.onnx.stat().st_size / 1e6
        print(f"{bundle.manifest.name}: {megabytes:.1f} MB, {least_ms} ms per window", flush=True)
        grammar = compare.Grammars.of(bundle.manifest.tokens).coffee
        engine = compare.contestant("voxline", grammar, bundle, CACHE)
        for mode, scores in compare.count_orders(engine, orders(SPEECH, SNRS_DB, every)).items():
            for score in scores:
                print(f"  {mode}, {ratio_name(score.snr_db)}: {score.exact} exact, {score.wrong} wrong")


if __name__ == "__main__":
    typer.run(main)
