import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from agent.grammar.load import parse_grammar
from agent.grammar.payload import render, slots_in
from agent.grammar.schema import CANCEL, CONFIRM, WAKE, Condition, Grammar, Risk
from agent.grammar.slots import values

GRAMMAR = """
name: a
language: {language}
wake: [hey machine]
commands:
  go:
    sentences: [go ahead now]
    topic: go
"""


def condition(**fields: object) -> Condition:
    return Condition.model_validate({"state": "door", **fields})


@pytest.mark.parametrize(
    ("test", "holding", "failing"),
    [
        (condition(equals=True), [True], [False, 1, "true", None, [True]]),
        (condition(equals=1), [1, 1.0], [True, 2, "1", None]),
        (condition(equals="open"), ["open"], ["Open", None, True]),
        (condition(one_of=["manual", "setup"]), ["manual", "setup"], ["auto", None, ["manual"]]),
        (condition(minimum=2, maximum=5), [2, 3.5, 5], [1.9, 5.1, True, "3", None, float("nan")]),
        (condition(maximum=0), [0, -3], [1, False, None]),
    ],
)
def test_condition(test: Condition, holding: list[object], failing: list[object]) -> None:
    assert all(test.holds(value) for value in holding)
    assert not any(test.holds(value) for value in failing)


def test_defaults() -> None:
    command = parse_grammar(GRAMMAR.format(language="en")).commands["go"]
    assert (command.risk, command.time_to_live_s, command.refractory_s) == (Risk.NORMAL, 2.0, 1.0)
    assert (command.name, command.requires, command.builtin) == ("go", (), False)


@pytest.mark.parametrize(("language", "confirm"), [("en", "confirm"), ("zh", "确认")])
def test_builtin_commands(language: str, confirm: str) -> None:
    commands = {
        command.name: command for command in parse_grammar(GRAMMAR.format(language=language)).all_commands()
    }
    assert list(commands) == ["go", CONFIRM, CANCEL, WAKE]
    assert confirm in commands[CONFIRM].sentences
    assert commands[WAKE].sentences == ("hey machine",)
    assert all(commands[name].builtin for name in (CONFIRM, CANCEL, WAKE))


def test_own_phrases_replace_the_default() -> None:
    grammar = parse_grammar(GRAMMAR.format(language="en") + "confirm: [affirmative]\ncancel: []\n")
    assert grammar.confirm == ("affirmative",)
    assert CANCEL not in {command.name for command in grammar.all_commands()}


def test_a_grammar_survives_the_way_through_json() -> None:
    lists = "lists: {a: [on, {in: b, out: 2}], b: {minimum: 0, maximum: 2}}"
    grammar = parse_grammar(GRAMMAR.format(language="en") + lists)
    written = grammar.model_dump_json(by_alias=True)
    assert Grammar.model_validate_json(written).model_dump() == grammar.model_dump()


def test_a_number_may_begin_with_its_point() -> None:
    more = "    requires: [{state: bar, equals: .5}]\nlists: {bar: [.5, -.25]}\n"
    grammar = parse_grammar(GRAMMAR.format(language="en") + more)
    assert grammar.commands["go"].requires[0].holds(0.5)
    assert dict(values(grammar.lists["bar"], "en")) == {
        "zero point five": 0.5,
        "minus zero point two five": -0.25,
        "negative zero point two five": -0.25,
    }


def test_payload_keeps_types_and_leaves_out_what_was_not_said() -> None:
    template: JsonValue = {
        "line": "{line}", "speed": "{speed}", "text": "line {line} at {speed}",
        "fixed": [1, "{line}", "{speed}"],
        "deep": {"x": {"y": "{line}"}}, "null": None, "braces": "{}", "on": True,
    }  # fmt: skip
    assert render(template, {"line": 3}) == {
        "line": 3, "fixed": [1, 3], "deep": {"x": {"y": 3}}, "null": None, "braces": "{}", "on": True,
    }  # fmt: skip
    assert render(template, {"line": 3, "speed": 1.5})["text"] == "line 3 at 1.5"  # type: ignore[index,call-overload]
    assert render("{line}", {"line": 3}) == 3
    assert render("{line}", {}) is None
    assert render("lamp is {on}", {"on": True}) == "lamp is true"
    assert set(slots_in(template)) == {"line", "speed"}


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(plain_values)
def test_what_is_said_is_never_read_as_a_template(template: JsonValue) -> None:
    """A value such as "{b}" must come out as it is."""
    slots = dict.fromkeys(slots_in(template), "{b}")
    filled = render(template, slots)
    assert set(slots_in(filled)) <= {"b"}
    if not slots:
        assert filled == template
