"""What the NPU does with a model: the toolkit's own layer table, read into values."""

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from agent.acoustics.bundle import Bundle, reseal_bundle
from agent.acoustics.manifest import ONNX_FILE
from agent.errors import BundleError, EngineError, first_fault

REPORT_FILE = "support.json"
TARGETS = ("rk3566", "rk3568", "rk3588")
CLOCK_MHZ: Mapping[str, int] = {"rk3566": 900, "rk3568": 900, "rk3588": 1000}
REAL_PER_CYCLE = (1.66, 1.86)
PREDICTION_SOURCE = (
    "predicted as 1.66 to 1.86 times the compiler's cycles: the ratio of published times of MobileNetV2 and"
    " ResNet50 on the RK3568 to their cycles; not measured on a board, and not checked at all for the RK3588"
)
CONVERSION_LIMIT_S = 900.0
CONFIG: Mapping[str, Any] = {"optimization_level": 3, "disable_rules": ["fuse_mul_into_matmul"]}
"""The rule breaks a product by a constant table, which is how rotary positions are written."""

_ROW = re.compile(
    r"\] (?P<id>\d+)\s+(?P<kind>\S+)\s+(?P<dtype>\S+)\s+(?P<place>NPU|CPU|GPU)\s+\S+\s+(?P<output>\S+)"
    r"\s+\d+/\d+/(?P<cycles>\d+)\s+(?P<kb>[\d.]+)\s.*?(?P<name>\S+)\s*$"
)
_WEIGHT = re.compile(r"\] (?P<id>\d+)\s+\S+\s+\S.*\|\s*0x[0-9a-f]+\W+0x[0-9a-f]+\W+0x(?P<size>[0-9a-f]+)\s*$")


class _Value(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Layer(_Value):
    """One step of the compiled model."""

    name: str
    kind: str
    """The compiler's name of the operation; fused ones are joined, such as `ConvRelu`."""
    place: Literal["NPU", "CPU", "GPU"]
    dtype: str
    output_shape: str
    weight_bytes: int
    traffic_kb: float
    """Memory read and written."""
    cycles: int
    """The larger of memory and compute; 0 where the compiler does not estimate (norms, element-wise)."""


class TargetSupport(_Value):
    """How one system on chip runs the model."""

    target: str
    layers: tuple[Layer, ...]
    """Without the operators that stand for input and output."""
    weight_kb: float
    memory_kb: float
    """For what flows between layers."""

    @property
    def cycles(self) -> int:
        """Of all layers."""
        return sum(layer.cycles for layer in self.layers)

    @property
    def predicted_ms(self) -> tuple[float, float]:
        """Lower and upper prediction, see `PREDICTION_SOURCE`."""
        low, high = (self.cycles * ratio / CLOCK_MHZ[self.target] / 1000 for ratio in REAL_PER_CYCLE)
        return low, high


class SupportReport(_Value):
    """What the converter said about one ONNX model."""

    toolkit: str
    """Version of the compiler."""
    onnx_sha256: str
    settings: str
    """How it was converted."""
    targets: tuple[TargetSupport, ...]


def stored_report(bundle: Bundle) -> SupportReport | None:
    """Return the report that the bundle carries, None if it has none.

    Raises:
        BundleError: it cannot be read, or is about another model.
    """
    if REPORT_FILE not in bundle.manifest.files:
        return None
    path = bundle.folder / REPORT_FILE
    try:
        report = SupportReport.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise BundleError(f"{path}: {first_fault(error)}") from error
    if report.onnx_sha256 != bundle.manifest.files[ONNX_FILE].sha256:
        raise BundleError(f"{path}: was made for another model: onnx_sha256 is not that of {ONNX_FILE}")
    return report


def fresh_report(bundle: Bundle, python: Path, targets: Sequence[str] = TARGETS) -> SupportReport:
    """Convert the bundle's ONNX model as it is (fp16, or the int8 it holds) for every target.

    Args:
        bundle: a verified bundle.
        python: of the converter's environment.
        targets: systems on chip.

    Raises:
        EngineError: there is no such environment, or the toolkit refuses.
    """
    reports, version = [], "unknown"
    for target in targets:
        with tempfile.TemporaryDirectory() as scratch:
            log = convert(
                python, bundle.onnx, Path(scratch) / "model.rknn", {**CONFIG, "target_platform": target}
            )
        version = (
            told[1] if (told := re.search(r"librknnc version: (.*?)\s*$", log, re.MULTILINE)) else version
        )
        reports.append(read_layer_table(log, target))
    settings = f"do_quantization=False, {json.dumps(CONFIG)}"
    onnx_sha256 = bundle.manifest.files[ONNX_FILE].sha256
    return SupportReport(toolkit=version, onnx_sha256=onnx_sha256, settings=settings, targets=tuple(reports))


def store_report(bundle: Bundle, report: SupportReport) -> Bundle:
    """Put a report into its bundle, and return the bundle with its new seal."""
    (bundle.folder / REPORT_FILE).write_text(report.model_dump_json(indent=1) + "\n")
    return reseal_bundle(bundle.folder)


def convert(
    python: Path,
    onnx: Path,
    out: Path,
    config: Mapping[str, Any],
    build: Mapping[str, Any] | None = None,
) -> str:
    """Convert in a process and a working directory of its own; return everything that the toolkit said.

    Args:
        python: of the converter's environment.
        onnx: model to convert.
        out: where the `.rknn` file goes.
        config: arguments of `RKNN.config`.
        build: arguments of `RKNN.build`; none means floating point as in the ONNX file.

    Raises:
        EngineError: there is no such environment, or the toolkit refuses.
    """
    job = {
        "onnx": str(onnx.resolve()),
        "out": str(out.resolve()),
        "config": dict(config),
        "build": dict(build or {"do_quantization": False}),
    }
    script = Path(__file__).with_name("toolkit_job.py")
    with tempfile.TemporaryDirectory() as scratch:
        try:
            done = subprocess.run(  # noqa: S603 (the interpreter that the user names)
                [str(python), "-I", str(script)],
                input=json.dumps(job),
                cwd=scratch,
                env={"PATH": os.environ.get("PATH", ""), "HOME": scratch},
                capture_output=True,
                text=True,
                errors="replace",
                timeout=CONVERSION_LIMIT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EngineError(f"the converter's environment {python} does not run: {error}") from error
    if done.returncode != 0:
        told = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise EngineError(f"{onnx}: the toolkit refuses it: {' / '.join(told[-3:]) or 'it gave no reason'}")
    return done.stdout + done.stderr


def read_layer_table(log: str, target: str) -> TargetSupport:
    """Read what the toolkit prints with `verbose=True`; the last table counts, earlier ones are drafts.

    Raises:
        EngineError: there is no table in it that this function understands.
    """
    tables = log.split("Network Layer Information Table")
    constants = log.split("Const Tensor Information Table")
    if len(tables) < 2 or len(constants) < 2:
        raise EngineError("the toolkit printed no layer table; another version of it may be installed")
    weights: dict[str, int] = {}
    for row in filter(None, map(_WEIGHT.search, constants[-1].splitlines())):
        weights[row["id"]] = weights.get(row["id"], 0) + int(row["size"], 16)
    layers = tuple(
        Layer(
            name=row["name"],
            kind=row["kind"],
            place=row["place"],  # type: ignore[arg-type]
            dtype=row["dtype"],
            output_shape=row["output"],
            weight_bytes=weights.get(row["id"], 0),
            traffic_kb=float(row["kb"]),
            cycles=int(row["cycles"]),
        )
        for row in filter(None, map(_ROW.search, tables[-1].splitlines()))
        if row["kind"] not in ("InputOperator", "OutputOperator")
    )
    memory = re.findall(r"Total Internal Memory Size: ([\d.]+)KB", log)
    weight = re.findall(r"Total Weight Memory Size: ([\d.]+)KB", log)
    if not (layers and memory and weight):
        raise EngineError("the toolkit's layer table cannot be read; another version of it may be installed")
    return TargetSupport(
        target=target, layers=layers, weight_kb=float(weight[-1]), memory_kb=float(memory[-1])
    )
