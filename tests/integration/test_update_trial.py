"""The trial of a bundle in a process of its own: the real bundle, the real path from sound to command."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import helper

from agent.acoustics.bundle import MANIFEST_FILE
from agent.settings import Recognition
from agent.updates import trial
from agent.updates.effects import CancelledError
from agent.updates.release import Limits
from agent.updates.trial import Conditions, run, run_apart
from tests.integration.booth import BUNDLE, GRAMMAR
from tests.integration.bundles import reseal, spoil, teach_canary

FEW = 4

pytestmark = pytest.mark.skipif(not (BUNDLE / MANIFEST_FILE).exists(), reason="no model bundle was built")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle with few of its golden utterances, to be quick."""
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    shutil.copytree(BUNDLE, folder)
    labels = json.loads((folder / "golden" / "labels.json").read_text())
    (folder / "golden" / "labels.json").write_text(json.dumps(dict(list(labels.items())[:FEW])))
    rejects = folder / "golden" / "rejects.json"
    rejects.write_text(json.dumps(dict(list(json.loads(rejects.read_text()).items())[:1])))
    return reseal(folder)


def conditions(bundle: Path, **changes: Any) -> Conditions:
    grammar = changes.pop("grammar", GRAMMAR)
    recognition = Recognition(bundle=bundle, grammar=grammar, engine="onnx")
    return Conditions(recognition=recognition, new=(), **changes)


def test_a_good_bundle_passes(bundle: Path) -> None:
    evidence = run_apart(conditions(bundle), lambda: False)
    assert evidence.fault == ""
    assert evidence.utterances == FEW
    assert evidence.exact >= FEW - 1
    assert evidence.latency_p95_s
    assert evidence.memory_bytes > 10_000_000


def test_a_deaf_bundle_fails_by_its_canary(bundle: Path, tmp_path: Path) -> None:
    deaf = reseal(spoil(bundle, tmp_path / "deaf"))
    assert "canary" in run(conditions(deaf)).fault


def test_a_deaf_bundle_with_a_canary_that_fits_fails_by_its_golden_set(bundle: Path, tmp_path: Path) -> None:
    deaf = reseal(spoil(bundle, tmp_path / "deaf"))
    teach_canary(deaf)
    evidence = run(conditions(reseal(deaf)))
    assert "golden" in evidence.fault or "became" in evidence.fault
    assert evidence.exact == 0


def test_limits_are_held(bundle: Path) -> None:
    slow = run(conditions(bundle, limits=Limits(latency_p95_s=0.0001, memory_bytes=10**10)))
    assert "latency p95" in slow.fault


def glutton(folder: Path, out: Path, floats: int) -> Path:
    """The same bundle with a model that fills memory first."""
    shutil.copytree(folder, out)
    model = onnx.load(out / "model.onnx")
    graph, answer = model.graph, model.graph.output[0].name
    for node in graph.node:
        node.output[:] = ["answer" if name == answer else name for name in node.output]
    feast = [
        helper.make_node("Shape", [graph.input[0].name], ["shape"]),
        helper.make_node("ReduceProd", ["shape"], ["count"], keepdims=1),  # not foldable: known when it runs
        helper.make_node("Div", ["count", "count"], ["one"]),
        helper.make_node("Mul", ["one", "floats"], ["much"]),
        helper.make_node("ConstantOfShape", ["much"], ["full"]),
        helper.make_node("ReduceMax", ["full"], ["nothing"], keepdims=0),
        helper.make_node("Add", ["answer", "nothing"], [answer]),
    ]
    graph.initializer.append(helper.make_tensor("floats", onnx.TensorProto.INT64, [1], [floats]))
    graph.node.extend(feast)
    onnx.save(model, out / "model.onnx")
    return out


def test_a_model_that_eats_memory_ends_its_trial_and_nothing_else(bundle: Path, tmp_path: Path) -> None:
    greedy = reseal(glutton(bundle, tmp_path / "greedy", 2**28))  # 1 GiB
    limits = Limits(latency_p95_s=10, memory_bytes=300 * 2**20)  # it takes 190 to 220 MB
    evidence = run_apart(conditions(greedy, limits=limits), lambda: False)
    assert evidence.fault
    assert evidence.memory_bytes == 0  # it never got so far as to be measured
    modest = reseal(glutton(bundle, tmp_path / "modest", 1000))
    assert run_apart(conditions(modest, limits=limits), lambda: False).fault == ""


def test_damaged_or_another_bundle(bundle: Path, tmp_path: Path) -> None:
    other = conditions(bundle).model_copy(update={"new": ("model/other/9.0.0",)})
    assert "holds another bundle" in run(other).fault
    damaged = tmp_path / "damaged"
    shutil.copytree(bundle, damaged)
    (damaged / "model.onnx").write_bytes(b"\0" * 1000)
    assert "damaged" in run(conditions(damaged)).fault


def test_a_grammar_with_a_fault(bundle: Path, tmp_path: Path) -> None:
    bad = tmp_path / "grammar.yaml"
    bad.write_text(
        "name: press\nlanguage: en\n"
        "commands:\n  stop: {sentences: ['stop {belt}'], topic: stop, payload: 1}\n"
    )
    evidence = run(conditions(bundle, grammar=bad))
    assert "belt" in evidence.fault


def test_a_crash_a_hang_and_an_interruption(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CancelledError):
        run_apart(conditions(bundle), lambda: True)
    monkeypatch.setattr(trial, "TIMEOUT_S", 0.1)
    assert "did not end" in run_apart(conditions(bundle), lambda: False).fault
    monkeypatch.setattr(trial, "TIMEOUT_S", 60)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert "ended with status 1" in run_apart(conditions(bundle), lambda: False).fault


@pytest.mark.parametrize("how", ["TERM", "INT"])
def test_a_station_that_is_stopped_holds_that_against_nobody(
    how: str, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal comes to the trial, too, and ends it before its agent has stopped."""
    stopped = tmp_path / "python"
    # Whoever runs the tests in the background has SIGINT ignored, and a shell could not change that.
    dies = f"signal.signal(signal.SIG{how}, signal.SIG_DFL)\nos.kill(os.getpid(), signal.SIG{how})\n"
    stopped.write_text(f"#!{sys.executable}\nimport os, signal\n{dies}")
    stopped.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stopped))
    with pytest.raises(CancelledError):
        run_apart(conditions(bundle), lambda: False)
