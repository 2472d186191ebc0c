"""Our NPU engine against the real vendor wheel, on arm64 under qemu, with an NPU library made here."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.acoustics.bundle import seal_bundle
from agent.acoustics.features import window_rows
from tests.acoustics.small import manifest, write_bundle
from tests.integration.arm64 import arm64_tree, python

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    tree, scratch = arm64_tree(), tmp_path_factory.mktemp("npu")
    library = scratch / "librknnrt.so"
    gcc = ["aarch64-linux-gnu-gcc", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(library)]
    subprocess.run([*gcc, str(HERE / "librknnrt.c")], check=True)
    (tree / "usr/lib/librknnrt.so").write_bytes(library.read_bytes())
    bundle = write_bundle(scratch / "bundle")
    canary = bundle.canary()
    assert canary is not None
    answer = window_rows(bundle.manifest, canary.samples)[0:38:2, :5]  # what the library computes
    np.ascontiguousarray(answer).tofile(bundle.folder / "canary.logits.f32")
    seal_bundle(bundle.folder, manifest())
    (scratch / "garbage.rknn").write_bytes(b"garbage")
    done = python(tree, str(HERE / "rknn_lite_probe.py"), str(bundle.folder), str(scratch / "garbage.rknn"))
    assert done.returncode == 0, done.stderr
    report: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return report


def test_the_engine_runs_the_real_wheel(told: dict[str, dict[str, Any]]) -> None:
    assert told["ours"]["npu"] == "rk3568"
    assert told["ours"]["right"] is True


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("start init", "RKNN init failed. error code: RKNN_ERR_MODEL_INVALID"),
        ("start version", "librknnrt.so is version 1.6.0"),
        ("start nan", "not finite"),
        ("start run", "same answer to different sound"),
        ("start outputs", "gave no answer"),
        ("later nan", "not finite"),
        ("later outputs", "gave no answer"),
        ("later run", "same answer to different sound"),
        ("later hang", "did not answer within 1 s"),
    ],
)
def test_no_fault_of_the_library_passes(told: dict[str, dict[str, Any]], fault: str, message: str) -> None:
    assert message in (told["ours"][fault] or "no complaint")


def test_layers_are_profiled_through_the_library(told: dict[str, dict[str, Any]]) -> None:
    run_ms, table = told["ours"]["profile"]
    assert run_ms == 1.234
    assert "ConvRelu 700" in table


def test_the_wheel_has_the_manners_that_the_stand_in_copies(told: dict[str, dict[str, Any]]) -> None:
    manners = told["manners"]
    assert manners["loads garbage"] == 0
    assert manners["starts garbage"] == -1
    assert manners["data_format afterwards"] != ["nhwc"]
    assert manners["float64"] is None
    assert manners["failing run"] == 1.0  # of the run before
    assert manners["core mask"] == -1
