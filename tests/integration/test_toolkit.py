"""The vendor's converter, where its environment exists (see models/recipe)."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from onnxruntime import InferenceSession as OnnxModel

from agent.acoustics.bundle import load_bundle, seal_bundle
from agent.acoustics.support import fresh_report, store_report, stored_report
from agent.errors import EngineError
from models.recipe.convert import convert
from tests.acoustics.small import manifest, write_bundle

CACHE = Path(os.environ.get("VOXLINE_CACHE", Path.home() / ".cache/voxline"))
PYTHON = CACHE / "convert-venv/bin/python"
pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason=f"no converter environment at {PYTHON}")


def test_the_toolkit_tells_where_every_layer_runs(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    report = fresh_report(bundle, PYTHON, ["rk3568", "rk3588"])
    assert report.toolkit.startswith("2.")
    assert stored_report(store_report(bundle, report)) == report
    for target in report.targets:
        assert [(layer.kind, layer.place) for layer in target.layers] == [
            ("ConvRelu", "NPU"),
            ("Conv", "NPU"),
        ]
        assert [layer.weight_bytes for layer in target.layers] == [16 * 64 * 2, 5 * 16 * 3 * 2]
        assert target.cycles > 0
    assert {
        path.name for path in Path.cwd().glob("check*.onnx")
    } == set()  # its litter stayed in its own folder


def test_what_the_toolkit_refuses_is_an_error(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle").folder
    (folder / "model.onnx").write_bytes(b"garbage")
    seal_bundle(folder, manifest())
    with pytest.raises(EngineError, match="the toolkit refuses it"):
        fresh_report(load_bundle(folder), PYTHON, ["rk3568"])


def test_a_hybrid_keeps_the_named_tensors_in_float16(tmp_path: Path) -> None:
    onnx = write_bundle(tmp_path / "bundle").onnx
    rng = np.random.default_rng(0)
    inputs = rng.normal(0, 0.3, (4, 1, 64, 1, 39)).astype(np.float32)
    for number, each in enumerate(inputs):
        np.save(tmp_path / f"{number}.npy", each)
    listing = tmp_path / "listing.txt"
    listing.write_text("".join(f"{tmp_path / str(number)}.npy\n" for number in range(4)))
    exact = np.stack([OnnxModel(onnx).run(None, {"audio": each})[0] for each in inputs])

    def types(half: list[str]) -> tuple[list[str], float]:
        answers, table = convert(
            PYTHON, onnx, tmp_path / "model.rknn", inputs, calibration=str(listing), half=half
        )
        error = float(np.abs(answers.reshape(exact.shape) - exact).max())
        return [layer.dtype for layer in table.layers if layer.kind.startswith("Conv")], error

    int8, int8_error = types([])
    hybrid, hybrid_error = types(["a", "b"])
    assert (int8, hybrid) == (["INT8", "INT8"], ["FLOAT16", "INT8"])
    assert hybrid_error < int8_error
    with pytest.raises(RuntimeError, match="no tensor of the model is called nothing"):
        types(["nothing"])


def test_a_bundle_of_the_recipe_says_where_every_layer_runs(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed (extra `train`)")
    from models.recipe.bundle import build
    from models.recipe.bundle import manifest as described_by
    from models.recipe.export import export
    from models.recipe.facts import ENGLISH_MANDARIN
    from models.recipe.network import Network, Window
    from models.recipe.tokens import TOKENS

    torch.manual_seed(0)
    torch.save(Network(len(TOKENS)).state_dict(), tmp_path / "weights.pt")
    export(tmp_path / "weights.pt", tmp_path / "model", Window(frames=30))
    info = json.loads((tmp_path / "model/info.json").read_text())
    canary = np.random.default_rng(0).integers(-3000, 3000, info["window_samples"], dtype=np.int16)
    made, conversion = build(
        tmp_path / "model", tmp_path / "bundle", described_by(info, ENGLISH_MANDARIN), PYTHON, canary
    )
    report = stored_report(made)
    assert report is not None
    assert [target.target for target in report.targets] == ["rk3566", "rk3568", "rk3588"]
    assert report.targets[1].cycles == conversion["cycles"] > 0
    assert conversion["simulator_onnx_correlation"] > 0.999
