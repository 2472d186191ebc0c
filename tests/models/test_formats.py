from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from onnx import TensorProto, helper

torch = pytest.importorskip("torch", reason="torch is not installed (extra `train`)")

from torch import Tensor  # noqa: E402

from agent.acoustics.bundle import Bundle, load_bundle  # noqa: E402
from models.recipe.calibration_data import orders  # noqa: E402
from models.recipe.export import Deployed, framed  # noqa: E402
from models.recipe.figures import write  # noqa: E402
from models.recipe.formats import Bench, divergence, read, table  # noqa: E402
from models.recipe.network import FRAME, RECEPTIVE, WIDTH, Block, Network  # noqa: E402
from models.recipe.peers.compare import Grammars, contestant, count_orders  # noqa: E402
from models.recipe.peers.contestants import Mode  # noqa: E402
from models.recipe.places import SPEECH  # noqa: E402
from models.recipe.quantize import STEM, Workplace, recipes  # noqa: E402
from models.recipe.sensitivity import answers, ranges, tensors_rounded  # noqa: E402
from models.recipe.spread import Spread, axes  # noqa: E402
from models.recipe.tokens import TOKENS  # noqa: E402

REPOSITORY = Path(__file__).parents[2]
needs_speech = pytest.mark.skipif(not SPEECH.is_dir(), reason=f"no recordings at {SPEECH}")


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle(REPOSITORY / "models/bundles/voxline-en-zh")


@needs_speech
def test_answers_given_all_at_once_are_heard_as_the_station_hears(bundle: Bundle, tmp_path: Path) -> None:
    few = list(orders(SPEECH, (None,), every=62))
    bench = Bench(bundle, bundle.manifest.hop_samples, few, tmp_path)
    exact = bench.outcome(None, Workplace(tmp_path, tmp_path))
    engine = contestant("voxline", Grammars.of(bundle.manifest.tokens).coffee, bundle, tmp_path)
    assert exact.orders == count_orders(engine, few)
    assert exact.orders[Mode.EVERYTHING][0].exact.count == len(few) == 2
    assert (exact.divergence, exact.best_kept) == (0.0, 1.0)
    figures = replace(read(tmp_path / "figures.json", bundle, 3840, 62), formats={"float32": exact})
    write(figures, tmp_path / "figures.json")
    assert read(tmp_path / "figures.json", bundle, 3840, 62) == figures
    assert table(figures).endswith(" | clean 2 / 0 |")


def test_figures_of_something_else_are_not_gone_on_with(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    write(read(path, bundle, 3840, 4), path)
    with pytest.raises(ValueError, match=r"its every is 4, not 1: name another file"):
        read(path, bundle, 3840, 1)
    normal = bundle.manifest.operating_points.normal
    stricter = bundle.manifest.operating_points.model_copy(
        update={"normal": normal.model_copy(update={"min_margin": 9.0})}
    )
    changed = bundle.manifest.model_copy(update={"operating_points": stricter})
    with pytest.raises(ValueError, match=r"its bundle is .*: name another file"):
        read(path, replace(bundle, manifest=changed), 3840, 4)


def test_figures_outlast_a_new_card(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    figures = read(path, bundle, 3840, 4)
    write(figures, path)
    assert read(path, replace(bundle, digest="with another README.md"), 3840, 4) == figures


def test_divergence_is_zero_for_the_same_answer_whatever_is_added_to_all_logits() -> None:
    logits = np.random.default_rng(0).normal(size=(3, 5, 7)).astype(np.float32)
    assert divergence(logits, logits + 4) == pytest.approx(0, abs=1e-6)
    two = np.log(np.array([[0.5, 0.5], [0.25, 0.75]], np.float32))
    expected = 0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75)
    assert divergence(two[:1], two[1:]) == pytest.approx(expected, rel=1e-5)


def test_formats_to_compare(tmp_path: Path) -> None:
    assert list(recipes("normal", STEM, None)) == [
        "float32",
        "float16",
        "int8-ptq",
        "int8-hybrid",
        "int8-spread",
    ]
    made = recipes("normal", STEM, tmp_path / "qat.onnx")
    spread, trained = made["int8-spread"], made["int8-qat"]
    assert spread is not None
    # Trained weights are spread already; all else is as with those that were not trained.
    assert trained == replace(spread, onnx=tmp_path / "qat.onnx", spread=False)


def test_a_spread_network_answers_as_before_with_smaller_outliers() -> None:
    torch.manual_seed(0)
    network = Network(len(TOKENS)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)  # norms and biases that matter
        for block in (cast(Block, each) for each in network.encoder.blocks):
            block.fc2.weight[7] *= 40  # a loud channel, as training grows them
    frames = 12
    audio = torch.randn((frames - 1) * FRAME + RECEPTIVE) * 0.1
    features = torch.from_numpy(framed(audio.numpy()))
    peaks = []
    with torch.no_grad():
        for model in (Deployed(network, frames), Spread(network, frames)):
            streams: list[Tensor] = []
            for each in model.blocks:
                each.register_forward_hook(lambda _module, _given, out, keep=streams: keep.append(out))
            answer = model.eval()(features)[0, :, 0].T
            torch.testing.assert_close(answer, network(audio[None])[0], rtol=1e-3, atol=1e-3)
            peaks.append(max(float(out.abs().max() / out.std()) for out in streams))
    assert peaks[1] < 0.6 * peaks[0]


def test_axes_are_orthogonal_and_leave_means_alone() -> None:
    turn = axes()
    torch.testing.assert_close(turn @ turn.T, torch.eye(WIDTH), rtol=0, atol=1e-5)
    torch.testing.assert_close(turn @ torch.ones(WIDTH), torch.ones(WIDTH), rtol=0, atol=1e-4)


def test_only_the_named_tensors_are_rounded() -> None:
    nodes = [
        helper.make_node("Relu", ["audio"], ["positive"]),
        helper.make_node("Neg", ["positive"], ["negative"]),
        helper.make_node("Add", ["positive", "negative"], ["nothing"]),
        helper.make_node("Add", ["nothing", "audio"], ["logits"]),
    ]
    shape = [1, 2, 1, 3]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "small",
            [helper.make_tensor_value_info("audio", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    window = np.array([-1, 0.1, 0.2, 1, 2, 255], np.float32).reshape(shape)
    found = ranges(model, [window])
    assert found["positive"] == (0, 255)
    assert found["negative"] == (-255, 0)
    exact = answers(model, [window])
    np.testing.assert_array_equal(answers(tensors_rounded(model, found, ["positive"]), [window]), exact)
    moved = answers(tensors_rounded(model, found, ["negative"]), [window]) - exact
    np.testing.assert_allclose(sorted(moved.ravel()), [0, 0, 0, 0, 0.1, 0.2], atol=1e-6)
