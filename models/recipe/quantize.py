"""int8 through the vendor's toolkit, judged in its simulator on whole recordings."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from agent.acoustics.support import TargetSupport
from models.recipe.batches import Data
from models.recipe.convert import convert
from models.recipe.evaluate import Judge
from models.recipe.export import framed
from models.recipe.network import FRAME, Window
from models.recipe.scoring import error_rate, greedy
from models.recipe.sliding import padded

WINDOW = Window(hop=40, look_ahead=12)
"""Larger steps than the bundle's: the simulator is slow."""


def calibration(data: Data, folder: Path, count: int) -> Path:
    """Write `count` windows of training streams, and the list of them that the toolkit reads."""
    paths: list[Path] = []
    while len(paths) < count:
        plan = data.planner.plan(len(paths), 34, hop=40)
        streams, _ = data.batch(plan)
        windows = streams.unfold(1, plan.window.samples, 17 * FRAME).flatten(0, 1)
        for one in windows[torch.randperm(len(windows))[:8]]:
            paths.append(folder / f"{len(paths)}.npy")
            np.save(paths[-1], framed(one.numpy()))
    listing = folder / "calibration.txt"
    listing.write_text("".join(f"{path}\n" for path in paths))
    return listing


def dev_windows(judge: Judge, chosen: Sequence[int]) -> list[NDArray[np.float32]]:
    """Return the framed windows of each chosen dev clip, [windows, *input shape]."""
    out = []
    for i in chosen:
        stream = padded(judge.audio[i], WINDOW)
        windows = stream.unfold(0, WINDOW.samples, WINDOW.hop * FRAME)
        out.append(np.stack([framed(window.numpy()) for window in windows]))
    return out


def table(
    judge: Judge, chosen: Sequence[int], answers: Sequence[NDArray[np.float32]], penalty: float
) -> float:
    """Return the phone error rate of the answers, [windows, tokens, frames] per clip."""
    end = WINDOW.frames - WINDOW.look_ahead
    pairs = []
    for i, logits in zip(chosen, answers, strict=True):
        used = np.concatenate(list(logits[:, :, end - WINDOW.hop : end]), axis=1).T
        pairs.append((greedy(torch.from_numpy(used).log_softmax(-1), penalty), judge.references[i]))
    return error_rate(pairs)


def compare(
    python: Path, model: Path, judge: Judge, chosen: Sequence[int], scratch: Path, **options: object
) -> tuple[dict[str, float], TargetSupport]:
    """Convert with the worker's `options` and compare the simulator with ONNX Runtime on dev clips."""
    windows = dev_windows(judge, chosen)
    flat = np.concatenate(windows)
    session = onnxruntime.InferenceSession(model / "model.onnx", providers=["CPUExecutionProvider"])
    exact = np.concatenate([session.run(None, {"audio": one})[0] for one in flat])
    simulated, support = convert(python, model / "model.onnx", scratch / "model.rknn", flat, **options)
    ends = np.cumsum([len(each) for each in windows])[:-1]
    shape = (len(flat), exact.shape[1], exact.shape[3])
    exact, simulated = exact.reshape(shape), simulated.reshape(shape)
    return {
        "windows": len(flat),
        "correlation": round(float(np.corrcoef(exact.ravel(), simulated.ravel())[0, 1]), 5),
        "error_rate_onnx": round(table(judge, chosen, np.split(exact, ends), 1.0), 4),
        "error_rate_rknn": round(table(judge, chosen, np.split(simulated, ends), 1.0), 4),
        "bytes": (scratch / "model.rknn").stat().st_size,
        "cycles": support.cycles,
    }, support
