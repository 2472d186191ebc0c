from pathlib import Path

import numpy as np
import onnx
import pytest

from agent.acoustics.bundle import seal_bundle
from agent.acoustics.engines.onnx import OnnxEngine
from agent.errors import EngineError
from tests.acoustics.small import KERNEL, ROWS, manifest


@pytest.mark.parametrize("content", [b"", b"garbage", bytes(5000)])
def test_what_is_no_model_is_refused(damaged: Path, content: bytes) -> None:
    (damaged / "model.onnx").write_bytes(content)
    with pytest.raises(EngineError, match=r"model\.onnx: "):
        OnnxEngine(seal_bundle(damaged, manifest()))


@pytest.mark.parametrize("part", ["input", "output"])
def test_a_model_with_other_tensors_is_refused(damaged: Path, part: str) -> None:
    fields = manifest()
    fields[part]["name"] = "other"
    with pytest.raises(EngineError, match=rf"{part}s are .*the manifest says other"):
        OnnxEngine(seal_bundle(damaged, fields))


def test_an_answer_that_is_not_finite_is_an_error(damaged: Path) -> None:
    model = onnx.load(damaged / "model.onnx")
    (weight,) = (tensor for tensor in model.graph.initializer if tensor.name == "second")
    weight.CopyFrom(onnx.numpy_helper.from_array(np.full((5, 16, 1, 3), np.inf, np.float32), "second"))
    onnx.save(model, damaged / "model.onnx")
    engine = OnnxEngine(seal_bundle(damaged, manifest()))
    with pytest.raises(EngineError, match="not finite"):
        engine.run(np.ones((ROWS, KERNEL), np.float32))
