import gc
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from agent.acoustics.bundle import Bundle, seal_bundle
from agent.acoustics.engines import rknn
from agent.acoustics.engines.board import find_npu
from agent.acoustics.engines.choose import ChosenEngine, EngineChoice
from agent.acoustics.engines.onnx import OnnxEngine
from agent.acoustics.engines.rknn import RknnEngine
from agent.errors import EngineError
from tests.acoustics.rknnlite_stand_in import Board
from tests.acoustics.small import KERNEL, ROWS, manifest, write_model


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def board(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    board = Board(bundle.onnx)
    monkeypatch.setitem(sys.modules, "rknnlite", board.module())
    monkeypatch.setitem(sys.modules, "rknnlite.api", board.module())
    yield board
    board.hang.set()


def rows(seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((ROWS, KERNEL)).astype(np.float32)


@pytest.mark.usefixtures("board")
def test_it_answers_what_onnx_answers_whatever_array_it_is_given(bundle: Bundle) -> None:
    engine, onnx = RknnEngine(bundle, "rk3568"), OnnxEngine(bundle)
    for seed in range(3):
        given: NDArray[Any] = rows(seed)
        expected = onnx.run(given)
        assert np.allclose(engine.run(given), expected, atol=1e-5)
        assert np.allclose(engine.run(given.astype(np.float64)), expected, atol=1e-5)
        assert np.allclose(engine.run(np.asfortranarray(given)), expected, atol=1e-5)
        assert np.allclose(engine.run(given[::-1][::-1]), expected, atol=1e-5)
    assert engine.latency.calls == 12
    assert (engine.latency.quantile_s(0.95) or 0) > 0


def wrong_weights(board: Board, folder: Path) -> None:
    write_model(folder / "other.onnx", seed=9)
    board.session = Board(folder / "other.onnx").session


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda b, _: setattr(b, "init", -1), "cannot start it: .*RKNN_ERR_MODEL_INVALID"),
        (lambda b, _: setattr(b, "version", None), "does not tell its version"),
        (lambda b, _: setattr(b, "version", "2.2.9"), r"version 2\.2\.9, the bundle needs 2\.3\.0"),
        (lambda b, _: setattr(b, "version", "3.0.0"), r"version 3\.0\.0, the bundle needs 2\.3\.0"),
        (lambda b, _: setattr(b, "stale", True), "same answer to different sound"),
        (wrong_weights, "answer to the canary is wrong"),
        (lambda b, _: setattr(b, "answer", lambda: None), "gave no answer"),
    ],
)
def test_what_is_wrong_at_the_start_is_refused_and_the_device_given_back(
    bundle: Bundle, board: Board, tmp_path: Path, fault: Callable[[Board, Path], object], message: str
) -> None:
    fault(board, tmp_path)
    with pytest.raises(EngineError, match=message):
        RknnEngine(bundle, "rk3568")
    assert board.released == 1


def raising(error: BaseException) -> Callable[[], None]:
    def answer() -> None:
        raise error

    return answer


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda: None, "gave no answer: it gave no reason"),
        (lambda: [np.full((1, 5, 1, 19), np.nan, np.float32)], "not finite"),
        (lambda: [np.full((1, 5, 1, 19), -np.inf, np.float32)], "not finite"),
        (lambda: [np.zeros((1, 5, 19), np.float32)], r"answered shapes \[\(1, 5, 19\)\]"),
        (lambda: [np.zeros((1, 5, 1, 19), np.float32)] * 2, "answered shapes"),
        (list, r"answered shapes \[\]"),
        (raising(AttributeError("undefined symbol")), "raised AttributeError"),
        (raising(SystemExit(-1)), "raised SystemExit"),
    ],
)
def test_an_answer_that_is_no_result_is_an_error(
    bundle: Bundle, board: Board, answer: Callable[[], Any], message: str
) -> None:
    engine = RknnEngine(bundle, "rk3568")
    board.answer = answer
    with pytest.raises(EngineError, match=message):
        engine.run(rows())
    board.answer = None
    engine.run(rows())


def test_a_call_that_hangs_is_given_up_and_never_repeated(
    bundle: Bundle, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rknn, "RUN_LIMIT_S", 0.1)
    engine = RknnEngine(bundle, "rk3568")
    board.answer = board.hang.wait
    began = time.monotonic()
    with pytest.raises(EngineError, match=r"did not answer within 0\.1 s"):
        engine.run(rows())
    runs = board.runs
    with pytest.raises(EngineError, match="never returned"):
        engine.run(rows())
    engine.close()
    assert board.runs == runs
    assert time.monotonic() - began < 5


def test_old_outputs_of_failing_runs_are_noticed(bundle: Bundle, board: Board) -> None:
    clock = Clock()
    engine = RknnEngine(bundle, "rk3568", clock)
    for seed in range(3):
        engine.run(rows(seed))
    clock.now_s += 6
    board.stale = True
    with pytest.raises(EngineError, match="same answer to different sound"):
        engine.run(rows(7))


def test_old_outputs_are_noticed_even_when_they_are_those_of_the_canary(bundle: Bundle, board: Board) -> None:
    clock = Clock()
    engine = RknnEngine(bundle, "rk3568", clock)
    board.stale = True  # from the first run on: the right canary answer comes back for ever
    engine.run(rows(1))
    clock.now_s += 5
    with pytest.raises(EngineError, match="same answer to different sound"):
        engine.run(rows(2))


def test_silence_may_give_the_same_answer_again(bundle: Bundle, board: Board) -> None:
    clock = Clock()
    engine = RknnEngine(bundle, "rk3568", clock)
    runs = board.runs
    for _ in range(10):
        clock.now_s += 6
        engine.run(np.zeros_like(rows()))
    assert board.runs == runs + 10


def test_the_canary_sings_every_hour(bundle: Bundle, board: Board, tmp_path: Path) -> None:
    clock = Clock()
    engine = RknnEngine(bundle, "rk3568", clock)
    runs = board.runs
    assert runs == 2
    engine.run(rows())
    clock.now_s += 3601
    engine.run(rows())
    assert board.runs == runs + 4
    wrong_weights(board, tmp_path)
    clock.now_s += 3000
    engine.run(rows())
    clock.now_s += 601
    with pytest.raises(EngineError, match="answer to the canary is wrong"):
        engine.run(rows())


def test_a_leak_that_python_can_collect_is_collected(
    bundle: Bundle, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rknn, "MEMORY_CHECK_CALLS", 8)
    monkeypatch.setattr(rknn, "MEMORY_GROWTH_BYTES", 24 * 2**20)
    engine = RknnEngine(bundle, "rk3568")
    board.leak_bytes = 2 * 2**20
    gc.disable()
    try:
        before = psutil.Process().memory_info().rss
        for seed in range(80):
            engine.run(rows(seed))
        grown = psutil.Process().memory_info().rss - before
    finally:
        gc.enable()
    assert grown < 100 * 2**20  # of the 160 MiB that leaked; the allocator keeps some
    assert board.started <= 4  # every 24 MiB if nothing were freed; other tests leave the scale unsteady


def test_a_leak_of_the_runtime_restarts_it(
    bundle: Bundle, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rknn, "MEMORY_CHECK_CALLS", 8)
    monkeypatch.setattr(rknn, "MEMORY_GROWTH_BYTES", 24 * 2**20)
    engine = RknnEngine(bundle, "rk3568")
    board.leak_bytes, board.collectable = 2 * 2**20, False
    expected = OnnxEngine(bundle).run(rows(3))
    for seed in range(200):  # enough that memory which other tests give back meanwhile does not hide it
        engine.run(rows(seed))
    assert board.started >= 3
    assert board.released == board.started - 1
    assert np.allclose(engine.run(rows(3)), expected, atol=1e-5)


def test_garbage_is_refused_before_the_runtime_believes_it(damaged: Path, board: Board) -> None:
    (damaged / "model.rk3568.rknn").write_bytes(b"garbage")
    with pytest.raises(EngineError, match="is no RKNN model"):
        RknnEngine(seal_bundle(damaged, manifest()), "rk3568")
    assert board.started == 0


def test_without_the_package_it_says_so(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rknnlite", None)
    with pytest.raises(EngineError, match="rknn-toolkit-lite2 is not installed"):
        RknnEngine(bundle, "rk3568")


def test_without_a_model_for_the_board_it_says_so(bundle: Bundle) -> None:
    with pytest.raises(EngineError, match="no model for rk3588"):
        RknnEngine(bundle, "rk3588")


@pytest.fixture
def rk3566(tmp_path: Path) -> Path:
    path = tmp_path / "compatible"
    path.write_bytes(b"pine64,quartz64-a\0rockchip,rk3566\0")
    return path


@pytest.mark.parametrize(
    ("names", "npu"),
    [
        (b"rockchip,rk3568-evb1-ddr4-v10\0rockchip,rk3568\0", "rk3568"),
        (b"pine64,quartz64-a\0rockchip,rk3566\0", "rk3568"),
        (b"radxa,rock-5a\0rockchip,rk3588s\0", "rk3588"),
        (b"raspberrypi,4-model-b\0brcm,bcm2711\0", None),
        (b"rockchip,rk3399\0", None),
        (b"\xff\xfe", None),
        (b"", None),
    ],
)
def test_the_board_is_read_from_the_device_tree(tmp_path: Path, names: bytes, npu: str | None) -> None:
    (tmp_path / "compatible").write_bytes(names)
    assert find_npu(tmp_path / "compatible") == npu


def test_a_machine_without_device_tree_has_no_npu(tmp_path: Path) -> None:
    assert find_npu(tmp_path / "none") is None


@pytest.mark.usefixtures("board")
def test_auto_takes_the_npu_that_answers_right(bundle: Bundle, rk3566: Path) -> None:
    choices: list[EngineChoice] = []
    engine = ChosenEngine(bundle, "auto", choices.append, compatible=rk3566)
    assert (engine.name, engine.choice.fallback) == ("rknn", False)
    assert "canary" in engine.choice.reason
    assert choices == [engine.choice]


def test_auto_falls_back_at_the_start_and_says_why(bundle: Bundle, board: Board, rk3566: Path) -> None:
    board.version = "2.0.0"
    engine = ChosenEngine(bundle, "auto", compatible=rk3566)
    assert (engine.name, engine.choice.fallback) == ("onnx", True)
    assert "librknnrt.so is version 2.0.0" in engine.choice.reason


def test_auto_falls_back_later_without_losing_a_window(bundle: Bundle, board: Board, rk3566: Path) -> None:
    choices: list[EngineChoice] = []
    engine = ChosenEngine(bundle, "auto", choices.append, compatible=rk3566)
    board.answer = lambda: None
    assert np.allclose(engine.run(rows(1)), OnnxEngine(bundle).run(rows(1)))
    assert [(choice.name, choice.fallback) for choice in choices] == [("rknn", False), ("onnx", True)]
    assert board.released == 1


def test_auto_without_an_npu_is_no_fallback(bundle: Bundle, tmp_path: Path) -> None:
    engine = ChosenEngine(bundle, "auto", compatible=tmp_path / "none")
    assert engine.choice == EngineChoice("onnx", "this machine has no Rockchip NPU")


def test_what_is_asked_for_is_taken_or_refused(bundle: Bundle, board: Board, rk3566: Path) -> None:
    assert ChosenEngine(bundle, "onnx", compatible=rk3566).name == "onnx"
    with pytest.raises(EngineError, match="names no Rockchip NPU"):
        ChosenEngine(bundle, "rknn", compatible=rk3566.parent / "none")
    engine = ChosenEngine(bundle, "rknn", compatible=rk3566)
    board.answer = lambda: None
    with pytest.raises(EngineError, match="gave no answer"):
        engine.run(rows())
    assert engine.name == "rknn"
    board.answer = None
    engine.run(rows())
