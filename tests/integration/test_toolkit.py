"""The vendor's converter, where its environment exists (see models/recipe)."""

import os
from pathlib import Path

import pytest

from agent.acoustics.bundle import load_bundle, seal_bundle
from agent.acoustics.support import fresh_report, store_report, stored_report
from agent.errors import EngineError
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
