"""A word of the grammar exchanged for one that is a sound away, under the recording of a command."""

import json
from pathlib import Path

import pytest

pytest.importorskip("misaki", reason="the recipe's phones are read with misaki, of the extra `train`")

from agent.acoustics.bundle import load_bundle
from agent.acoustics.engines.onnx import OnnxEngine
from agent.audio.file import read_audio
from agent.evaluation.commands import Label, Verdict
from agent.evaluation.listening import in_room
from agent.grammar import compile_grammar, load_grammar
from models.recipe.calibrate import Positive, permissive
from models.recipe.near_grammars import near_grammars
from models.recipe.remembering import Recording

REPOSITORY = Path(__file__).parents[2]
DEMO = REPOSITORY / "grammars/demo.yaml"
BUNDLE = load_bundle(REPOSITORY / "models/bundles/voxline-en-zh")
FREE = permissive(BUNDLE.manifest.operating_points.normal)


def positive(file: str, cache: Path) -> Positive:
    labels = json.loads((BUNDLE.folder / "golden/labels.json").read_text())
    sound = in_room(read_audio(BUNDLE.folder / "golden" / file), None, None, seed=0)
    graph = compile_grammar(load_grammar(DEMO), BUNDLE.manifest.tokens)
    recording = Recording(BUNDLE, OnnxEngine(BUNDLE), sound, cache)
    return Positive(file, None, Label.model_validate(labels[file]), graph, recording)


def test_what_was_said_is_no_command_of_a_near_grammar(tmp_path: Path) -> None:
    said = positive("08-turn-on-the-hall-lights.opus", tmp_path)
    assert said.trial(FREE).verdict is Verdict.EXACT
    negatives = list(near_grammars(DEMO, [said], 3, BUNDLE.manifest.tokens))
    assert len(negatives) == 3
    for negative in negatives:
        words = {word.text for word in negative.graph.words}
        assert "hall" not in words
        assert words > {"turn", "on", "the", "lights", "warning"}
        heard = Positive(said.file, None, said.label, negative.graph, said.recording).trial(FREE)
        assert heard.verdict is not Verdict.EXACT


def test_words_that_no_list_writes_out_stay(tmp_path: Path) -> None:
    said = positive("13-set-the-speed-of-conveyor-two-to-sixty-five-percent.opus", tmp_path)
    assert list(near_grammars(DEMO, [said], 3, BUNDLE.manifest.tokens)) == []
