"""Runs in the converter's own environment and process: ONNX to RKNN, and its simulator's answer.

    python rknn_worker.py JOB.json

The job names `onnx`, `rknn`, `inputs` (.npy, [N, *input shape]), `outputs` (.npy to write) and, for int8,
`calibration` (a text file that lists .npy files), `algorithm` (how ranges are chosen) and `half` (regular
expressions of tensors to keep in float16, by the names that the toolkit gives them). The toolkit prints its
layer table, which the caller reads from this process's output.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rknn.api import RKNN
from ruamel.yaml import YAML


def must(step: str, status: int) -> None:
    """Stop if the toolkit says that a step failed: it raises nothing itself."""
    if status != 0:
        raise RuntimeError(f"{step} failed")


def keep_half(config: Path, patterns: list[str]) -> None:
    """Write into the toolkit's file of ranges which tensors stay in float16; nothing else may change."""
    text, none = config.read_text(), "custom_quantize_layers: {}\n"
    tensors = list(YAML().load(text)["quantize_parameters"])
    missing = [pattern for pattern in patterns if not any(re.fullmatch(pattern, name) for name in tensors)]
    if missing or none not in text:
        raise ValueError(f"no tensor of the model is called {' or '.join(missing)}; there are {tensors}")
    half = [name for name in tensors if any(re.fullmatch(pattern, name) for pattern in patterns)]
    layers = "".join(f"    {json.dumps(name)}: float16\n" for name in half)
    config.write_text(text.replace(none, f"custom_quantize_layers:\n{layers}"))


def load(job: dict[str, Any]) -> RKNN:
    """Read the model and say how it is to be converted."""
    rknn = RKNN(verbose=True)
    # This rule fails on a product of small matrices before a multiplication, as rotary attention has it.
    status = rknn.config(
        target_platform="rk3568",
        optimization_level=3,
        disable_rules=["fuse_mul_into_matmul"],
        quantized_algorithm=job.get("algorithm", "normal"),
    )
    must("config", status)
    must("load_onnx", rknn.load_onnx(job["onnx"]))
    return rknn


def build(job: dict[str, Any]) -> RKNN:
    """Convert."""
    rknn, calibration = load(job), job.get("calibration")
    if not job.get("half"):
        must("build", rknn.build(do_quantization=bool(calibration), dataset=calibration))
        return rknn
    must("hybrid_quantization_step1", rknn.hybrid_quantization_step1(dataset=calibration, proposal=False))
    stem = Path(job["onnx"]).stem  # files of the first step, in the working directory
    keep_half(Path(f"{stem}.quantization.cfg"), job["half"])
    rknn.release()
    rknn = RKNN(verbose=True)  # the second step refuses to follow the first in one object
    status = rknn.hybrid_quantization_step2(
        model_input=f"{stem}.model",
        data_input=f"{stem}.data",
        model_quantization_cfg=f"{stem}.quantization.cfg",
    )
    must("hybrid_quantization_step2", status)
    return rknn


def main(job_file: str) -> None:
    """Do one job; raises RuntimeError where the toolkit fails."""
    job = json.loads(Path(job_file).read_text())
    rknn = build(job)
    must("export_rknn", rknn.export_rknn(job["rknn"]))
    must("init_runtime", rknn.init_runtime())
    inputs = np.load(job["inputs"], mmap_mode="r")
    answers = [rknn.inference(inputs=[np.array(x)], data_format=["nchw"])[0] for x in inputs]
    np.save(job["outputs"], np.stack(answers).astype(np.float32))
    rknn.release()


if __name__ == "__main__":
    main(sys.argv[1])
