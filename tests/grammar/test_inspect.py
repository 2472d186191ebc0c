from itertools import islice
from pathlib import Path

import pytest

from agent.grammar.compiler import accepted_sentences, audible_sentences
from agent.grammar.inspect import NoParse, Parse, counts, explain, sample
from agent.grammar.load import load_grammar

ROOT = Path(__file__).parents[2]


def read(name: str, text: str) -> Parse | NoParse:
    grammar = load_grammar(ROOT / "grammars" / f"{name}.yaml")
    return explain(*audible_sentences(grammar), text)


@pytest.mark.parametrize(
    ("grammar", "text", "command", "slots"),
    [
        ("demo", "Turn on the work lights!", "lights", {"switch": "on", "lamp": "work"}),
        ("demo", "go to position a hundred and twenty point five", "move_axis", {"position": 120.5}),
        ("demo", "load recipe oh one two five", "select_recipe", {"recipe": "0125"}),
        ("demo", "yes do it", "voxline.confirm", {}),
        ("cnc", "move x to minus twelve point two five", "move_axis", {"axis": "X", "coordinate": -12.25}),
        ("cnc", "set spindle speed to fifteen hundred rpm", "spindle_speed", {"rpm": 1500}),
        ("cnc", "set spindle speed to one two five zero rpm", "spindle_speed", {"rpm": 1250}),
        ("press", "load die delta four seven two", "select_die", {"die": "D472"}),
        ("warehouse", "go to aisle bravo bay one two", "go_to", {"aisle": "B", "bay": 12}),
        (
            "conveyor-zh",
            "把三号输送带的速度调到百分之六十五",
            "set_speed_percent",
            {"line": 3, "percent": 65},
        ),
        ("conveyor-zh", "把两号线速度设为十二点五米每分钟", "set_speed", {"line": 2, "metres": 12.5}),
        ("conveyor-zh", "载入工单幺二五零", "load_order", {"order": "1250"}),
    ],
)
def test_explain(grammar: str, text: str, command: str, slots: dict[str, object]) -> None:
    found = read(grammar, text)
    assert isinstance(found, Parse)
    assert (found.meaning.command, dict(found.meaning.slots)) == (command, slots)
    assert all(found.sounds)


def test_explain_says_how_far_it_goes() -> None:
    found = read("demo", "turn off the ceiling lights")
    assert isinstance(found, NoParse)
    assert found.read == "turn off the"
    assert (found.refused, set(found.expected)) == (
        "ceiling",
        {"hall", "work", "machine", "warning", "beacon"},
    )
    assert not found.complete
    longer = read("demo", "cancel that")
    assert isinstance(longer, NoParse)
    assert (longer.read, longer.refused, longer.complete) == ("cancel", "that", True)


def test_explain_expects_what_is_nearest_first_and_leaves_nothing_out() -> None:
    found = read("demo", "set the speed of conveyor two to sixti percent")
    assert isinstance(found, NoParse)
    assert found.refused == "sixti"
    assert found.expected[0] == "sixty"
    assert {"one", "twenty", "ninety"} < set(found.expected)


def test_samples_are_seeded_and_reach_every_command() -> None:
    sentences = accepted_sentences(load_grammar(ROOT / "grammars/demo.yaml"))
    once, again = (list(islice(sample(sentences, 3), 200)) for _ in range(2))
    assert once == again
    assert once != list(islice(sample(sentences, 4), 200))
    assert {meaning.command for _, meaning in once} == set(counts(sentences))


def test_counts() -> None:
    per_command = counts(accepted_sentences(load_grammar(ROOT / "grammars/demo.yaml")))
    assert per_command["conveyor_start"] == 2 * 2 * 4
    assert per_command["lights"] == 2 * 2 * 2 * 5 * 2 * 2
    assert per_command["select_recipe"] == 2 * 2 * 11**4
