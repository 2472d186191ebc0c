import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.acoustics.bundle import load_bundle, seal_bundle
from agent.acoustics.cli import app
from agent.acoustics.support import SupportReport, fresh_report, read_layer_table, stored_report
from agent.errors import BundleError, EngineError
from tests.acoustics.small import manifest

# What toolkit 2.5.0 prints: a draft, then the table that counts; dashes, columns and times are shortened.
TABLES = r"""
Network Layer Information Table
ID OpType         DataType Target InputShape OutputShape Cycles(DDR/NPU/Total) RW(KB) FullName
1  Draft          FLOAT16  CPU    (1,2),(3)  (1,9)       0/0/0                 0      Draft:a
<<<<<<<< end: rknn::RKNNModelRegCmdbuildPass
Network Layer Information Table
---------------------------------------------------
ID OpType         DataType Target InputShape OutputShape Cycles(DDR/NPU/Total) RW(KB) FullName
0  InputOperator  FLOAT16  CPU    \ (1,127,1,745) 0/0/0                 0      Input:audio
1  ConvTanh       FLOAT16  NPU    (1,127,1,745),(288,127,1,1) (1,288,1,745) 105549/216576/216576 258 Conv:/a
2  exNorm         FLOAT16  NPU    (1,288,1,745),(1,8192,1,1),... (1,288,1,745) 0/0/0 451 exNorm:/b#1
3  exSoftmax13    FLOAT16  CPU    (8,123,1,123) (8,123,1,123) 0/0/0      238    exSoftmax13:/c
4  Conv           INT8     NPU    (1,2),(3)  (1,5)       310/96/310            1      Conv:/d
5  OutputOperator FLOAT16  NPU    (1,5)      \           0/0/0                 0      Output:logits
Const Tensor Information Table
ID User     Tensor DataType OrigShape   |     [Start       End)       Size
1  ConvTanh first  FLOAT16  (16,64,1,1) | 0x00000000 0x00000800 0x00000800
1  ConvTanh bias   FLOAT16  (16)        | 0x00000800*0x00000820 0x00000020
4  Conv     second FLOAT16  (5,16,1,3)  | 0x00000820 0x00000a00 0x000001e0
Total Internal Memory Size: 2712.19KB
Total Weight Memory Size: 2.5KB
"""
LOG = "\n".join(f"D RKNN: [00:45.366] {line}" for line in TABLES.splitlines())


def test_the_last_layer_table_is_read() -> None:
    support = read_layer_table(LOG, "rk3568")
    told = [(layer.kind, layer.place, layer.weight_bytes, layer.cycles) for layer in support.layers]
    assert told == [
        ("ConvTanh", "NPU", 0x820, 216576),
        ("exNorm", "NPU", 0, 0),
        ("exSoftmax13", "CPU", 0, 0),
        ("Conv", "NPU", 0x1E0, 310),
    ]
    assert support.layers[0].name == "Conv:/a"
    assert support.layers[0].traffic_kb == 258
    assert (support.memory_kb, support.weight_kb) == (2712.19, 2.5)
    low_ms, high_ms = support.predicted_ms
    assert low_ms == pytest.approx(0.400, abs=1e-3)
    assert high_ms == pytest.approx(0.448, abs=1e-3)


@pytest.mark.parametrize(
    "log", ["", "Network Layer Information Table", LOG.replace("NPU", "XPU").replace("CPU", "X")]
)
def test_a_log_without_a_table_is_refused(log: str) -> None:
    with pytest.raises(EngineError, match="layer table"):
        read_layer_table(log, "rk3568")


@pytest.fixture
def reported(damaged: Path) -> Path:
    sha256 = load_bundle(damaged).manifest.files["model.onnx"].sha256
    targets = (read_layer_table(LOG, "rk3568"), read_layer_table(LOG, "rk3588"))
    report = SupportReport(toolkit="2.5.0", onnx_sha256=sha256, settings="fp16", targets=targets)
    (damaged / "support.json").write_text(report.model_dump_json())
    seal_bundle(damaged, manifest())
    return damaged


def test_check_prints_the_report_that_the_bundle_carries(reported: Path) -> None:
    told = CliRunner().invoke(app, ["check", str(reported), "--layers"])
    assert told.exit_code == 0
    assert "rk3568: 3 of 4 layers on the NPU\n    1 x exSoftmax13 (CPU)" in told.stdout
    assert "216,886 cycles, predicted 0.40 to 0.45 ms" in told.stdout
    assert "not measured on a board" in told.stdout
    again = CliRunner().invoke(app, ["check", str(reported), "--json"])
    assert SupportReport.model_validate_json(again.stdout) == stored_report(load_bundle(reported))


def test_a_report_about_another_model_is_refused(reported: Path) -> None:
    report = json.loads((reported / "support.json").read_text())
    (reported / "support.json").write_text(json.dumps({**report, "onnx_sha256": "0" * 64}))
    with pytest.raises(BundleError, match="made for another model"):
        stored_report(seal_bundle(reported, manifest()))
    (reported / "support.json").write_text(json.dumps({**report, "toolkit": 1}))
    with pytest.raises(BundleError, match=r"support\.json: toolkit: "):
        stored_report(seal_bundle(reported, manifest()))


def test_without_report_and_converter_it_says_what_is_missing(damaged: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"converter's environment .* does not run"):
        fresh_report(load_bundle(damaged), tmp_path / "python")


def test_info_says_what_a_bundle_is(damaged: Path) -> None:
    told = CliRunner().invoke(app, ["info", str(damaged)])
    assert "small 0.1.0, tcn, en, 5 tokens\nhears 80 ms every 16 ms" in told.stdout
    fields = json.loads(CliRunner().invoke(app, ["info", str(damaged), "--json"]).stdout)
    assert fields["window_samples"] == 1280
    assert len(fields["digest"]) == 64


def test_profile_says_so_off_the_board(damaged: Path) -> None:
    told = CliRunner().invoke(app, ["profile", str(damaged)])
    assert told.exit_code == 1
    assert "run this on the board" in told.stderr
