"""How long every layer takes on a real NPU, asked from librknnrt.so itself.

RKNNLite cannot ask for it, so this speaks to the library directly, once, outside the running agent.
"""

import ctypes

import numpy as np
from numpy.typing import NDArray

from agent.acoustics.bundle import Bundle
from agent.acoustics.features import window_rows
from agent.errors import EngineError

LIBRARY = "/usr/lib/librknnrt.so"
RUNS = 5
_COLLECT_PERF = 1 << 3
_PERF_DETAIL, _PERF_RUN = 3, 4
_FLOAT32 = 0
_LAYOUT = {"nchw": 0, "nhwc": 1, None: 3}


class _Input(ctypes.Structure):
    _fields_ = [
        ("index", ctypes.c_uint32),
        ("buf", ctypes.c_void_p),
        ("size", ctypes.c_uint32),
        ("pass_through", ctypes.c_uint8),
        ("type", ctypes.c_int),
        ("fmt", ctypes.c_int),
    ]


class _Output(ctypes.Structure):
    _fields_ = [
        ("want_float", ctypes.c_uint8),
        ("is_prealloc", ctypes.c_uint8),
        ("index", ctypes.c_uint32),
        ("buf", ctypes.c_void_p),
        ("size", ctypes.c_uint32),
    ]


class _PerfDetail(ctypes.Structure):
    _fields_ = [("text", ctypes.c_char_p), ("size", ctypes.c_uint64)]


def profile_layers(bundle: Bundle, soc: str) -> tuple[float, str]:
    """Run the canary window and return milliseconds per run and the runtime's own table of layers.

    The table costs time itself: the sum of its layers is more than a run takes.

    Raises:
        EngineError: the board cannot run it.
    """
    model, canary = bundle.rknn(soc), bundle.canary()
    if model is None or canary is None or bundle.manifest.npu is None:
        raise EngineError(f"{bundle.folder}: the bundle has no model for {soc}")
    layout = bundle.manifest.npu.input_layout
    fed = bundle.manifest.npu_tensor(window_rows(bundle.manifest, canary.samples))
    try:
        runtime = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise EngineError(f"the NPU runtime cannot be loaded: {error}") from error
    quick_ms, _ = _run(runtime, model.read_bytes(), fed, layout, flags=0)
    _, table = _run(runtime, model.read_bytes(), fed, layout, flags=_COLLECT_PERF)
    return quick_ms, table


def _run(
    runtime: ctypes.CDLL, model: bytes, fed: NDArray[np.float32], layout: str | None, flags: int
) -> tuple[float, str]:
    context = ctypes.c_uint64()
    _ok("rknn_init", runtime.rknn_init(ctypes.byref(context), model, len(model), flags, None))
    try:
        given = _Input(0, fed.ctypes.data, fed.nbytes, 0, _FLOAT32, _LAYOUT[layout])
        took_us, microseconds = [], ctypes.c_int64()
        for _ in range(RUNS):
            _ok("rknn_inputs_set", runtime.rknn_inputs_set(context, 1, ctypes.byref(given)))
            _ok("rknn_run", runtime.rknn_run(context, None))
            answer = _Output(want_float=1)  # times are valid only once outputs were asked for
            _ok("rknn_outputs_get", runtime.rknn_outputs_get(context, 1, ctypes.byref(answer), None))
            _ok("rknn_query", runtime.rknn_query(context, _PERF_RUN, ctypes.byref(microseconds), 8))
            runtime.rknn_outputs_release(context, 1, ctypes.byref(answer))
            took_us.append(microseconds.value)
        table = ""
        if flags & _COLLECT_PERF:
            told = _PerfDetail()
            size = ctypes.sizeof(told)
            _ok("rknn_query", runtime.rknn_query(context, _PERF_DETAIL, ctypes.byref(told), size))
            table = (told.text or b"").decode("utf-8", "replace")
        return float(np.median(took_us)) / 1000, table
    finally:
        runtime.rknn_destroy(context)


def _ok(function: str, status: int) -> None:
    if status != 0:
        raise EngineError(f"{function} answered {status}")
