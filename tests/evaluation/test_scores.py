"""What counts as exact, wrong and rejected; what moving the threshold costs; the pictures of both."""

import json
import re
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import pytest

from agent.evaluation import commands, pictures, rejects
from agent.evaluation.commands import (
    Label,
    LabelsError,
    Trial,
    Verdict,
    read_labels,
    require_known,
    score,
)
from agent.evaluation.rejects import FalseAccept, Negatives, trade_off
from agent.grammar.load import parse_grammar
from agent.grammar.schema import Scalar
from agent.recognition.hypothesis import Hypothesis, Reject
from tests.grammar.graphs import graph_of

SAID = Label(command="set_speed", slots={"percent": 65, "belt": "left"})


def heard(
    command: str | None = "set_speed",
    slots: Mapping[str, Scalar] = SAID.slots,
    probability: float = 0.9,
    reject: Reject | None = None,
) -> Hypothesis:
    return Hypothesis(
        start_s=0, end_s=1, snr_db=None, command=command, slots=slots, probability=probability, reject=reject
    )


def trial(*hypotheses: Hypothesis, snr_db: float | None = None) -> Trial:
    return Trial("clip.wav", snr_db, SAID, hypotheses)


REFUSED = heard(reject=Reject.WEAK_WORD)
OTHER_VALUE = heard(slots={"percent": 60, "belt": "left"})
NOISE = heard(command=None, slots={}, probability=0.0, reject=Reject.BACKGROUND)


@pytest.mark.parametrize(
    ("hypotheses", "verdict"),
    [
        ([heard()], Verdict.EXACT),
        ([NOISE, heard()], Verdict.EXACT),
        ([OTHER_VALUE], Verdict.WRONG),
        ([heard(command="stop")], Verdict.WRONG),
        ([heard(), heard()], Verdict.WRONG),
        ([heard(), heard(command="stop", slots={})], Verdict.WRONG),
        ([REFUSED], Verdict.REJECTED),
        ([], Verdict.REJECTED),
    ],
    ids=["same", "noise_before", "other_slot", "other_command", "twice", "one_more", "refused", "unheard"],
)
def test_verdict(hypotheses: list[Hypothesis], verdict: Verdict) -> None:
    assert trial(*hypotheses).verdict is verdict


def test_score_counts_one_condition() -> None:
    trials = [
        trial(heard()),
        trial(heard()),
        trial(OTHER_VALUE),
        trial(REFUSED),
        trial(),
        trial(OTHER_VALUE, snr_db=6),
    ]
    clean = score(trials, None)
    assert (clean.exact.count, clean.wrong.count, clean.rejected.count, clean.exact.total) == (2, 1, 2, 5)
    assert (clean.slots.count, clean.slots.total) == (2 * 2 + 1, 10)
    assert (clean.numbers.count, clean.numbers.total) == (2, 5)
    assert clean.reasons == {"unheard": 1, "weak_word": 1}
    assert score(trials, 6).wrong.count == 1
    report = json.loads(commands.to_json(trials, [clean]))
    assert [fault["verdict"] for fault in report["not_exact"]] == ["wrong", "rejected", "rejected", "wrong"]
    assert report["scores"][0]["exact"]["count"] == 2


def test_labels_are_read(tmp_path: Path) -> None:
    file = tmp_path / "labels.json"
    file.write_text('{"a.wav": {"command": "stop"}, "b.wav": {"command": "go", "slots": {"to": 4.5}}}')
    assert read_labels(file) == {
        "a.wav": Label(command="stop"),
        "b.wav": Label(command="go", slots={"to": 4.5}),
    }


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ('{"a.wav": {"comand": "stop"}}', "a.wav"),
        ('{"a.wav": {"command": "stop", "slots": {"n": [1]}}}', "slots"),
        ('["a.wav"]', "labels.json"),
        ('{"a.wav": ', "labels.json"),
        (None, "No such file"),
    ],
    ids=["misspelt", "no_value", "no_object", "no_json", "no_file"],
)
def test_faulty_labels_are_a_message(tmp_path: Path, content: str | None, names: str) -> None:
    file = tmp_path / "labels.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(LabelsError, match=names):
        read_labels(file)


NEGATIVES = Negatives(
    hours=2.0,
    heard=(
        FalseAccept("talk.wav", heard(probability=0.4, reject=Reject.BACKGROUND)),
        FalseAccept("talk.wav", heard(probability=0.7)),
        FalseAccept("noise.wav", NOISE),
    ),
)
TRIALS = [trial(heard(probability=0.95)), trial(heard(probability=0.6)), trial(OTHER_VALUE), trial()]


def test_false_accepts_are_counted_per_hour() -> None:
    assert [item.file for item in NEGATIVES.accepted] == ["talk.wav"]
    assert NEGATIVES.rate.value == 0.5


def test_a_higher_threshold_trades_false_accepts_for_false_rejects() -> None:
    curve = trade_off(NEGATIVES, TRIALS, [0.0, 0.5, 0.65, 0.8, 0.99])
    assert [point.false_accepts.count for point in curve] == [2, 1, 1, 0, 0]
    assert [point.false_rejects.count for point in curve] == [2, 2, 3, 3, 4]
    report = json.loads(rejects.to_json(NEGATIVES, curve))
    assert report["false_accepts"]["count"] == len(report["accepted"]) == 1
    assert len(report["trade_off"]) == 5


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_pictures_are_written(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'voxline[demo]'")
    magic = {"png": b"\x89PNG", "svg": b"<?xml"}[suffix]
    trials = [*TRIALS, trial(heard(), snr_db=6), trial(OTHER_VALUE, snr_db=12)]
    scores = [score(trials, snr_db) for snr_db in (None, 12, 6)]
    accuracy, curve = tmp_path / f"accuracy.{suffix}", tmp_path / f"curve.{suffix}"
    pictures.accuracy_against_snr({"model": scores}, accuracy)
    pictures.trade_off_curve(trade_off(NEGATIVES, TRIALS, [0.0, 0.5, 0.9]), 0.5, curve)
    assert accuracy.read_bytes().startswith(magic)
    assert curve.read_bytes().startswith(magic)


@pytest.mark.parametrize(
    ("label", "says"),
    [
        (
            {"command": "blade_sped", "slots": {"speed": 1200}},
            "a.wav.command: the grammar has no `blade_sped`. Did you mean `blade_speed`?",
        ),
        (
            {"command": "blade_speed", "slots": {"sped": 1200}},
            "a.wav.slots.sped: `blade_speed` has no slot `sped`. Did you mean `speed`?",
        ),
        ({"command": "feed", "slots": {"speed": 1}}, "a.wav.slots.speed: `feed` has no slot `speed`."),
        ({"command": "blade_speed", "slots": {"speed": 1200}}, ""),
        ({"command": "voxline.cancel"}, ""),
    ],
)
def test_labels_name_what_the_grammar_has(label: dict[str, object], says: str) -> None:
    graph = graph_of(
        parse_grammar(
            "name: saw\nlists: {rpm: {minimum: 500, maximum: 3000, step: 50}}\ncommands:\n"
            "  blade_speed: {topic: a, sentences: ['blade speed {rpm:speed}'], payload: '{speed}'}\n"
            "  feed: {topic: b, sentences: [start the feed]}\n"
        )
    )
    labels = {"a.wav": Label.model_validate(label)}
    with pytest.raises(LabelsError, match=re.escape(f"l.json: {says}")) if says else nullcontext():
        require_known(labels, graph, Path("l.json"))
