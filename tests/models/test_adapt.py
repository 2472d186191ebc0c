"""Adapting the shipped model, damaged where it must learn, to a few real utterances."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra `train`)")

from agent.acoustics.bundle import Bundle, load_bundle, reseal_bundle  # noqa: E402
from agent.acoustics.engines.onnx import OnnxEngine  # noqa: E402
from agent.acoustics.features import window_rows  # noqa: E402
from agent.errors import AudioError, BundleError  # noqa: E402
from agent.grammar import compile_grammar, load_grammar  # noqa: E402
from models.recipe.adapt import Lesson, Settings, adapt, foreign_sounds, losses  # noqa: E402
from models.recipe.hearings import Lower, Upper  # noqa: E402
from models.recipe.network import Network, Window  # noqa: E402
from models.recipe.proof import Commands, Comparison, folds  # noqa: E402
from models.recipe.recordings import RecordingsError, SiteRecording, read_recordings  # noqa: E402
from models.recipe.restore import restore  # noqa: E402
from models.recipe.site import NotAdaptedError, adapt_bundle, heard_as_labelled, write  # noqa: E402
from models.recipe.tokens import INDEX, TOKENS  # noqa: E402

REPOSITORY = Path(__file__).parents[2]
SHIPPED = REPOSITORY / "models/bundles/voxline-en-zh"
DEMO = REPOSITORY / "grammars/demo.yaml"
SAID = {
    "00-start-conveyor-three.opus": "start conveyor three",
    "01-run-conveyor-one.opus": "run conveyor one",
    "02-start-belt-two.opus": "start belt two",
    "03-run-belt-four.opus": "run belt four",
    "04-stop-conveyor-two.opus": "stop conveyor two",
    "05-halt-conveyor-four.opus": "halt conveyor four",
    "06-stop-belt-one.opus": "stop belt one",
    "07-halt-belt-three.opus": "halt belt three",
    "31-start-conveyor-four.opus": "start conveyor four",
}
QUICK = Settings(guises=0, passes=6, rate=3e-3, pull=0.0, rehearsal=0.0, batch=3)
"""The head alone learns, fast: enough to mend what `damaged` breaks."""


def silent(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    return load_bundle(SHIPPED)


@pytest.fixture(scope="module")
def network(shipped: Bundle) -> Network:
    return restore(shipped)


@pytest.fixture
def small(tmp_path: Path) -> Bundle:
    """The shipped bundle with a golden set of three commands and one reject, which is quick to hear."""
    folder = shutil.copytree(SHIPPED, tmp_path / "small")
    kept = ["08-turn-on-the-hall-lights.opus", "32-stop-conveyor-three.opus", "38-report-status.opus"]
    rejects = ["44-start-the-dress.opus"]
    for name, files in (("labels.json", kept), ("rejects.json", rejects)):
        path = folder / "golden" / name
        everything = json.loads(path.read_text())
        path.write_text(json.dumps({file: everything[file] for file in files}))
    for path in (folder / "golden").glob("*.opus"):
        if path.name not in kept + rejects:
            path.unlink()
    return reseal_bundle(folder)


@pytest.fixture
def damaged(small: Bundle, network: Network, tmp_path: Path) -> Bundle:
    """A model that hardly hears some sounds, as if this site's people said them in a way of their own."""
    broken = Network(len(TOKENS))
    broken.load_state_dict(network.state_dict())
    with torch.no_grad():
        broken.head.out.bias[[INDEX[sound] for sound in ("T", "AA", "V")]] -= 12
    return write(broken, small, tmp_path / "damaged", {}, None)


def record(folder: Path, said: Mapping[str, str]) -> Path:
    folder.mkdir()
    for file in said:
        shutil.copyfile(SHIPPED / "golden" / file, folder / file)
    lines = "".join(f"{file}\t{text}\n" for file, text in said.items())
    (folder / "recordings.tsv").write_text("# who said it, and where\n\n" + lines)
    return folder


def test_a_bundle_comes_back_to_the_bit(shipped: Bundle, network: Network, tmp_path: Path) -> None:
    again = write(network, shipped, tmp_path / "again", {}, None)
    weights = [
        {each.name: each.SerializeToString() for each in onnx.load(bundle.onnx).graph.initializer}
        for bundle in (shipped, again)
    ]
    assert weights[0] == weights[1]
    canary = again.canary()
    assert canary is not None
    answer = OnnxEngine(shipped).run(window_rows(shipped.manifest, canary.samples))
    np.testing.assert_array_equal(canary.logits, answer)
    with torch.no_grad():
        ours = network(torch.from_numpy(canary.samples.astype(np.float32))[None] / 32768)[0].numpy()
    np.testing.assert_allclose(ours, answer, atol=1e-2)  # the file holds rotary tables in float16
    assert again.manifest.npu is None
    assert again.rknn("rk3568") is None
    assert "support.json" not in again.manifest.files


def test_a_model_of_another_make_does_not_come_back(small: Bundle) -> None:
    model = onnx.load(small.onnx)
    first = next(node for node in model.graph.node if node.op_type == "MatMul")
    other = next(node for node in model.graph.node if node.op_type == "MatMul" and node is not first)
    first.input[1], other.input[1] = other.input[1], first.input[1]
    onnx.save(model, small.onnx)
    with pytest.raises(BundleError, match=r"model.onnx: .*rotation do not belong together"):
        restore(reseal_bundle(small.folder))


def test_recordings_are_read_with_the_sites_grammar(tmp_path: Path) -> None:
    folder = record(tmp_path / "site", SAID)
    first, *others = read_recordings(folder, load_grammar(DEMO))
    assert len(others) == 8
    assert (first.text, first.language) == ("start conveyor three", "en")
    assert first.label is not None
    assert (first.label.command, first.label.slots) == ("conveyor_start", {"conveyor": 3})
    assert [TOKENS[token] for token in first.words[0][0]] == ["S", "T", "AA", "R", "T"]
    free = read_recordings(folder)[0]
    assert free.label is None
    assert free.words[0][0] == first.words[0][0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.wav start belt two", r"recordings.tsv:1: must be file, tab, sentence"),
        ("../a.wav\tstart belt two", r"recordings.tsv:1: ../a.wav: must lie in the folder"),
        ("a.wav\tstart felt two", r"recordings.tsv:1: .* after 'start' it expects belt, conveyor"),
        ("", r"recordings.tsv: names no recording"),
    ],
)
def test_a_faulty_list_is_named_with_its_line(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "recordings.tsv").write_text(line)
    with pytest.raises(RecordingsError, match=message):
        read_recordings(tmp_path, load_grammar(DEMO))


def test_recordings_that_are_missing_or_unspeakable_are_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingsError, match=r"recordings.tsv: cannot be read"):
        read_recordings(tmp_path)
    (tmp_path / "recordings.tsv").write_text("a.wav\tpress 5\n")
    with pytest.raises(RecordingsError, match=r"recordings.tsv:1: nobody knows how 'press 5' sounds"):
        read_recordings(tmp_path)
    (tmp_path / "recordings.tsv").write_text("a.wav\tstart\n")
    with pytest.raises(AudioError, match="no such file"):
        read_recordings(tmp_path)


def test_recordings_are_heard_as_the_station_hears(shipped: Bundle, tmp_path: Path) -> None:
    grammar = load_grammar(DEMO)
    graph = compile_grammar(grammar, shipped.manifest.tokens)
    right, other = read_recordings(record(tmp_path / "site", dict(list(SAID.items())[:2])), grammar)
    mistaken = replace(other, label=right.label)
    assert heard_as_labelled(shipped, graph, [right, mistaken]) == Commands(exact=1, wrong=1, total=2)


def recording(text: str) -> SiteRecording:
    return SiteRecording(f"{text}.wav", text, "en", [[[INDEX["T"]]]], None, np.zeros(16_000, np.int16))


def test_folds_have_no_sentence_in_common() -> None:
    recordings = [recording(text) for text in "abcdefghij" for _ in range(3)]
    parts = folds(recordings)
    assert sorted(i for part in parts for i in part) == list(range(30))
    texts = [{recordings[i].text for i in part} for part in parts]
    assert not texts[0] & texts[1]
    assert not (texts[0] | texts[1]) & texts[2]
    with pytest.raises(RecordingsError, match="only 8 different sentences"):
        folds(recordings[:24])


def test_a_gain_must_be_sure_and_cost_no_command() -> None:
    before, after = np.array([3, 2, 4, 3, 2, 5]), np.array([1, 2, 2, 1, 1, 3])
    same, worse = (Commands(5, 0, 6), Commands(5, 0, 6)), (Commands(5, 0, 6), Commands(5, 1, 6))
    assert Comparison(60, before, after, None).fault == ""
    assert Comparison(60, before, after, same).fault == ""
    assert "more are wrong" in Comparison(60, before, after, worse).fault
    unsure = Comparison(60, before, np.array([3, 2, 4, 3, 2, 1]), None).fault
    assert unsure.startswith("no gain on held-back recordings is shown: phone errors 31.7 % before, 25.0 %")
    assert Comparison(60, before, before, None).fault


def test_only_the_upper_part_learns() -> None:
    torch.manual_seed(0)
    network, blocks = Network(len(TOKENS)).eval(), 1
    before = {name: value.clone() for name, value in network.state_dict().items()}
    sound = np.random.default_rng(0).integers(-9000, 9000, 20_000).astype(np.int16)
    lower = Lower(network, blocks, [sound], Window(60, 20, 12), seed=0)
    heard = [lower.as_recorded(0), *lower.guises(0, 2)]
    assert not torch.equal(heard[1].features[0], heard[2].features[0])
    lessons = [Lesson(each, (INDEX["S"], INDEX["T"]), foreign_sounds("en")) for each in heard]
    settings = Settings(blocks=blocks, passes=4, rate=1e-3)
    adapted = adapt(network, lessons, heard[:1], settings)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    changed = {name for name, value in adapted.state_dict().items() if not torch.equal(value, before[name])}
    frozen = ("encoder.conv", "encoder.groupnorm", *(f"encoder.blocks.{i}" for i in range(5)))
    assert "encoder.blocks.5.fc1.weight" in changed
    assert not [name for name in changed if name.startswith(frozen)]
    with torch.no_grad():
        old, new = (float(losses(Upper(each, blocks), lessons).sum()) for each in (network, adapted))
    assert new < old


def test_foreign_sounds_are_not_learnt_from() -> None:
    foreign = foreign_sounds("zh")
    assert foreign[INDEX["AA"]]
    assert not foreign[INDEX["zh"]]
    assert not foreign[:2].any()


def test_a_site_that_gains_gets_a_sealed_bundle(damaged: Bundle, tmp_path: Path) -> None:
    folder = record(tmp_path / "site", SAID)
    recordings = read_recordings(folder)
    out = tmp_path / "adapted"
    outcome = adapt_bundle(damaged, recordings, None, out, "0.1.1+lyon", None, QUICK, silent)
    assert outcome.held_back.after.sum() < outcome.held_back.before.sum()
    assert outcome.golden[1].exact >= outcome.golden[0].exact
    made = load_bundle(out)
    assert made.digest == outcome.bundle.digest != damaged.digest
    assert made.manifest.version == "0.1.1+lyon"
    assert made.manifest.training.data[-1].startswith("a site's own 9 recordings")
    assert made.manifest.golden == "golden/labels.json"
    assert "For the CPU engine only" in (out / "README.md").read_text()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("tmp")) == []


def test_a_site_without_a_gain_gets_nothing(small: Bundle, tmp_path: Path) -> None:
    recordings = read_recordings(record(tmp_path / "site", SAID))
    out = tmp_path / "adapted"
    timid = Settings(guises=0, passes=1, rate=1e-6)
    with pytest.raises(NotAdaptedError, match="no gain on held-back recordings is shown: phone errors"):
        adapt_bundle(small, recordings, None, out, "0.1.1", None, timid, silent)
    assert not out.exists()


def test_what_does_not_fit_is_refused_before_anything_is_heard(small: Bundle, tmp_path: Path) -> None:
    recordings = [recording(text) for text in "abcdefghij"]
    with pytest.raises(BundleError, match=r"must be newer than 0.1.0, such as 0.1.1\+site"):
        adapt_bundle(small, recordings, None, tmp_path / "new", "0.1.0+lyon", None, QUICK, silent)
    with pytest.raises(BundleError, match="exists"):
        adapt_bundle(small, recordings, None, small.folder, "0.1.1", None, QUICK, silent)
