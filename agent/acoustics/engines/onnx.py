"""ONNX Runtime on the CPU: the engine that runs everywhere."""

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as fault

from agent.acoustics.bundle import Bundle
from agent.acoustics.engines.engine import Latency
from agent.errors import EngineError

_FAULTS = (
    fault.Fail,
    fault.InvalidArgument,
    fault.InvalidGraph,
    fault.InvalidProtobuf,
    fault.NoSuchFile,
    fault.NotImplemented,
    fault.RuntimeException,
)


class OnnxEngine:
    """Runs `model.onnx`, on one core.

    Args:
        bundle: a verified bundle.

    Raises:
        EngineError: the model cannot be loaded, or its tensors are not those of the manifest.
    """

    name = "onnx"

    def __init__(self, bundle: Bundle) -> None:
        path = bundle.onnx
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # it would keep the peak for ever
        # weights outside the arena: 30 MB less for the encoder, at the same speed
        options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except _FAULTS as error:
            raise EngineError(f"{path}: ONNX Runtime cannot load it: {error}") from error
        self._input, self._output = bundle.manifest.input, bundle.manifest.output
        for kind, ours, theirs in (
            ("input", self._input, self._session.get_inputs()),
            ("output", self._output, self._session.get_outputs()),
        ):
            shapes = {tensor.name: tuple(tensor.shape) for tensor in theirs}
            if shapes.get(ours.name) != ours.shape or (kind == "input" and len(shapes) != 1):
                raise EngineError(f"{path}: {kind}s are {shapes}, the manifest says {ours.name} {ours.shape}")
        self.latency = Latency()

    def run(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return logits [frames, tokens] for the front end's rows [rows, channels].

        Raises:
            EngineError: ONNX Runtime fails, or the answer is not finite.
        """
        with self.latency.measure():
            tensor = np.ascontiguousarray(self._input.from_rows(rows), dtype=np.float32)
            try:
                (answer,) = self._session.run([self._output.name], {self._input.name: tensor})
            except _FAULTS as error:
                raise EngineError(f"ONNX Runtime failed: {error}") from error
        logits = self._output.to_rows(np.asarray(answer, dtype=np.float32))
        if not np.isfinite(logits).all():
            raise EngineError("ONNX Runtime answered values that are not finite")
        return logits

    def close(self) -> None:
        """Give memory back. Safe to call twice."""
        self._session = None
