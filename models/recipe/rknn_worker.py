"""Runs in the converter's own environment and process: ONNX to RKNN, and its simulator's answer.

    python rknn_worker.py JOB.json

The job names `onnx`, `rknn`, `inputs` (.npy, [N, *input shape]), `outputs` (.npy to write) and, for int8,
`calibration` (a text file that lists .npy files) and `half` (tensors to keep in float16). The toolkit prints
its layer table, which the caller reads from this process's output.
"""

import json
import sys
from pathlib import Path

import numpy as np
from rknn.api import RKNN


def main(job_file: str) -> None:
    """Do one job; raises RuntimeError where the toolkit fails."""
    job = json.loads(Path(job_file).read_text())
    calibration = job.get("calibration")
    rknn = RKNN(verbose=True)
    # This rule fails on a product of small matrices before a multiplication, as rotary attention has it.
    rknn.config(
        target_platform="rk3568",
        optimization_level=3,
        disable_rules=["fuse_mul_into_matmul"],
        quantized_algorithm=job.get("algorithm", "normal"),
    )
    steps = [("load_onnx", lambda: rknn.load_onnx(job["onnx"]))]
    if calibration and job.get("half"):
        steps.append(
            (
                "hybrid_quantization_step1",
                lambda: rknn.hybrid_quantization_step1(
                    dataset=calibration, proposal=False, custom_hybrid=job["half"]
                ),
            )
        )
        stem = Path(job["onnx"]).stem
        steps.append(
            (
                "hybrid_quantization_step2",
                lambda: rknn.hybrid_quantization_step2(
                    model_input=f"{stem}.model",
                    data_input=f"{stem}.data",
                    model_quantization_cfg=f"{stem}.quantization.cfg",
                ),
            )
        )
    else:
        steps.append(("build", lambda: rknn.build(do_quantization=bool(calibration), dataset=calibration)))
    steps += [
        ("export_rknn", lambda: rknn.export_rknn(job["rknn"])),
        ("init_runtime", lambda: rknn.init_runtime()),
    ]
    for name, step in steps:
        if step() != 0:
            raise RuntimeError(f"{name} failed")
    answers = [rknn.inference(inputs=[x], data_format=["nchw"])[0] for x in np.load(job["inputs"])]
    np.save(job["outputs"], np.stack(answers).astype(np.float32))
    rknn.release()


if __name__ == "__main__":
    main(sys.argv[1])
