"""Runs on arm64 beside the real wheel: prints as JSON what our engine and the wheel itself do."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from agent.acoustics.bundle import load_bundle
from agent.acoustics.engines.board import find_npu
from agent.acoustics.engines.rknn import RknnEngine
from agent.acoustics.profile import profile_layers
from agent.errors import EngineError

LATER_S = 10.0
now_s = 0.0


def clock() -> float:
    return now_s


def complaint(function: Callable[..., object], *arguments: object) -> str | None:
    try:
        function(*arguments)
    except EngineError as error:
        return str(error)
    return None


def ours(folder: Path) -> dict[str, Any]:
    """What our engine says in health and in sickness."""
    global now_s
    bundle = load_bundle(folder)
    rows = np.random.default_rng(11).standard_normal((3, 39, 64)).astype(np.float32)
    engine = RknnEngine(bundle, find_npu() or "none", clock)
    told: dict[str, Any] = {"npu": find_npu(), "profile": profile_layers(bundle, "rk3568")}
    told["right"] = all(bool((engine.run(window) == window[0:38:2, :5]).all()) for window in rows)
    for fault in ("init", "version", "run", "nan", "outputs"):
        os.environ["STUB_FAULT"] = fault
        told[f"start {fault}"] = complaint(RknnEngine, bundle, "rk3568")
    for fault in ("nan", "outputs", "run", "hang"):
        os.environ["STUB_FAULT"] = ""
        engine = RknnEngine(bundle, "rk3568", clock)
        engine.run(rows[0])
        now_s += LATER_S
        os.environ["STUB_FAULT"] = fault
        told[f"later {fault}"] = complaint(engine.run, rows[1])
    os.environ["STUB_FAULT"] = ""
    return told


def manners() -> dict[str, Any]:
    """What the wheel does by itself: the guards exist because of this."""
    from rknnlite.api import RKNNLite

    path = Path(sys.argv[1]) / "model.rk3568.rknn"
    garbage = Path(sys.argv[2])
    lite, told = RKNNLite(), {}
    told["loads garbage"] = lite.load_rknn(str(garbage))
    told["starts garbage"] = lite.init_runtime()
    lite.load_rknn(str(path))
    lite.init_runtime()
    window, data_format = np.ones((1, 1, 39, 64), np.float32), ["nhwc"]
    lite.inference([window], data_format=data_format)
    told["data_format afterwards"] = data_format
    told["float64"] = lite.inference([window.astype(np.float64)], data_format=["nhwc"])
    os.environ["STUB_FAULT"] = "run"
    (old,) = lite.inference([2 * window], data_format=["nhwc"])
    told["failing run"] = float(old.max())
    os.environ["STUB_FAULT"] = ""
    told["core mask"] = RKNNLite().init_runtime(core_mask=1)
    return told


print(json.dumps({"ours": ours(Path(sys.argv[1])), "manners": manners()}))  # noqa: T201
sys.stdout.flush()
os._exit(0)  # one thread hangs for good
