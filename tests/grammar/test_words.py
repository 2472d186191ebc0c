"""Templates against hassil's own sampler, and what hassil leaves to us."""

import pytest
from hassil.intents import SlotList, TextSlotList
from hassil.parse_expression import parse_sentence
from hassil.sample import sample_expression
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import GrammarError
from agent.grammar.compiler import accepted_sentences
from agent.grammar.sentences import Sentences
from tests.grammar.graphs import one_command

COLOURS = ["red", "green", "dark blue"]
COLOUR_LIST = f"lists:\n  colour: [{', '.join(COLOURS)}]"

words = st.sampled_from(["start", "stop", "the", "belt", "pump", "un", "lock"])
gap = st.sampled_from(["", " ", "  "])


def _group(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    several = st.lists(inner, min_size=2, max_size=3)
    return st.one_of(
        several.map(lambda items: f"({'|'.join(items)})"),
        inner.map(lambda item: f"[{item}]"),
        several.map(lambda items: f" ({';'.join(items)}) "),  # hassil's sampler glues one to its neighbours
        st.tuples(inner, gap, inner).map("".join),
    )


templates = st.recursive(words, _group, max_leaves=7)


def spoken(sentences: Sentences) -> set[str]:
    return {
        " ".join(sentences.words[symbol].text for symbol in symbols)
        for symbols, _ in sentences.automata.sentences(sentences.start)
    }


@settings(max_examples=300, deadline=None)
@given(templates)
def test_same_sentences_as_hassil(template: str) -> None:
    wanted = {" ".join(text.split()) for text in sample_expression(parse_sentence(template).expression)} - {
        ""
    }
    if not wanted:
        return
    # An obligatory word keeps sentences from being empty.
    assert spoken(accepted_sentences(one_command(f"now {template}"))) - {"now"} == {
        f"now {text}" for text in wanted
    }


@settings(max_examples=100, deadline=None)
@given(templates)
def test_lists_as_hassil(template: str) -> None:
    expression = parse_sentence(f"make {{colour}} {template}").expression
    lists: dict[str, SlotList] = {"colour": TextSlotList.from_strings(COLOURS, name="colour")}
    wanted = {" ".join(text.split()) for text in sample_expression(expression, slot_lists=lists)}
    grammar = one_command(f"make {{colour}} {template}", extra=COLOUR_LIST)
    assert spoken(accepted_sentences(grammar)) == wanted


@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        ("light[s] on", {"light on", "lights on"}),
        (
            "(un|)lock [the] door[s]",
            {f"{u}lock {t}door{s}" for u in ("un", "") for t in ("the ", "") for s in ("s", "")},
        ),
        ("go, now!", {"go now"}),
        ("Start X-axis", {"start X axis"}),
        ("I’d like tea", {"i'd like tea"}),
        ("run pump 12", {"run pump twelve"}),
        ("set 2.5", {"set two point five"}),
        ("code 007", {f"code {a} {b} seven" for a in ("zero", "oh") for b in ("zero", "oh")}),
        ("reset PLC", {"reset PLC"}),
        ("jog {0..4,2:n}", {"jog zero", "jog two", "jog four"}),
    ],
)
def test_words(template: str, wanted: set[str]) -> None:
    assert spoken(accepted_sentences(one_command(template))) == wanted


def test_chinese_needs_no_spaces() -> None:
    grammar = one_command(
        "启动{n}号(输送带|线)", extra="lists:\n  n: {minimum: 1, maximum: 2}", language="zh"
    )
    assert {text.replace(" ", "") for text in spoken(accepted_sentences(grammar))} == {
        f"启动{n}号{what}" for n in ("一", "二", "两") for what in ("输送带", "线")
    }


def test_chinese_ends_a_word_and_letters_go_on() -> None:
    assert spoken(accepted_sentences(one_command("开light(s|灯|)", language="zh"))) == {
        "开 lights",
        "开 light 灯",
        "开 light",
    }


def test_letters_end_where_chinese_begins() -> None:
    assert spoken(accepted_sentences(one_command("PLC启动X轴", language="zh"))) == {"PLC 启动 X 轴"}


@pytest.mark.parametrize(
    "template",
    [
        " ".join(["[a]"] * 300),
        "(" + ";".join("abcdefghijk") + ")",
        "".join(f"({a}{a}|{a}b)" for a in "acdefghijklm") + " go",
    ],
)
def test_what_would_explode_is_refused(template: str) -> None:
    with pytest.raises(GrammarError):
        accepted_sentences(one_command(template))


def test_rules_that_double_each_other_are_bounded() -> None:
    doubling = "\n".join(f'  r{i}: "<r{i - 1}> <r{i - 1}>"' for i in range(1, 40))
    with pytest.raises(GrammarError, match="200 words"):
        accepted_sentences(one_command("go <r39>", extra=f"rules:\n  r0: go\n{doubling}"))
    either = "\n".join(f'  r{i}: "(<r{i - 1}>|<r{i - 1}>)"' for i in range(1, 40))
    assert spoken(accepted_sentences(one_command("go <r39>", extra=f"rules:\n  r0: on\n{either}"))) == {
        "go on"
    }
