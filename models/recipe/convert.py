"""From ONNX to the RK3568's NPU, through the vendor's toolkit in its own environment."""

import json
import os
import subprocess
import tempfile
import venv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.acoustics.support import TargetSupport, read_layer_table

TARGET = "rk3568"
TOOLKIT = "2.5.0"
"""Version of the toolkit, and of the runtime that its models need."""
ENVIRONMENT = (
    # In this order: the toolkit names versions that do not fit each other, and needs an old pkg_resources.
    "numpy==1.26.4 protobuf==4.25.4 scipy<1.14 opencv-python-headless<4.11 onnx==1.17.0 onnxruntime==1.20.1 "
    "psutil ruamel.yaml tqdm fast-histogram torch==2.13.0",
    f"--no-deps rknn-toolkit2=={TOOLKIT}",
    "setuptools<81",
)
WORKER = Path(__file__).with_name("rknn_worker.py")


def install(folder: Path) -> None:
    """Make the converter's environment."""
    venv.create(folder, with_pip=True)
    for packages in ENVIRONMENT:
        subprocess.run([folder / "bin/python", "-m", "pip", "install", *packages.split()], check=True)  # noqa: S603


def convert(
    python: Path, onnx: Path, rknn: Path, inputs: NDArray[np.float32], **options: object
) -> tuple[NDArray[np.float32], TargetSupport]:
    """Convert; return the simulator's answers to `inputs` [N, *input shape] and the layer table.

    Args:
        python: interpreter of the converter's environment.
        onnx: float32 model with fixed shapes.
        rknn: file to write; its bytes differ from run to run.
        inputs: what to ask the simulator.
        options: more of the worker's job: `calibration`, `algorithm`, `half`.

    Raises:
        RuntimeError: the toolkit failed; the message ends with the end of its output.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        np.save(folder / "inputs.npy", inputs)
        job = {
            "onnx": str(onnx.resolve()),
            "rknn": str(rknn.resolve()),
            "inputs": str(folder / "inputs.npy"),
            "outputs": str(folder / "outputs.npy"),
            **options,
        }
        (folder / "job.json").write_text(json.dumps(job))
        done = subprocess.run(  # noqa: S603
            [python, "-P", WORKER, folder / "job.json"],
            cwd=folder,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        output = done.stdout + done.stderr
        if done.returncode != 0:
            raise RuntimeError(f"{onnx} was not converted:\n{output[-3000:]}")
        return np.load(folder / "outputs.npy"), read_layer_table(output, TARGET)
