from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.grammar.compiler import audible_sentences
from agent.grammar.confusions import FAR, command_pairs, word_pairs
from agent.grammar.homophones import homophones
from agent.grammar.lexicon import inventory
from agent.grammar.load import load_grammar, parse_grammar
from agent.grammar.schema import Grammar
from agent.grammar.similarity import distance, dropping, replacing
from tests.grammar.graphs import all_paths, graph_of, text_of

ROOT = Path(__file__).parents[2]
WORDS = ("start", "stop", "two", "too", "to", "read", "red", "press", "dress", "the", "line", "nine")

phrases = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join)


def commands(*sentences: str) -> Grammar:
    listed = "".join(
        f"  c{index}: {{topic: c, sentences: [{text}]}}\n" for index, text in enumerate(sentences)
    )
    return parse_grammar(f"name: test\nconfirm: []\ncancel: []\ncommands:\n{listed}")


@settings(max_examples=60, deadline=None)
@given(st.lists(phrases, min_size=2, max_size=5, unique=True))
def test_search_finds_the_same_distances_as_trying_all_pairs(sentences: list[str]) -> None:
    graph = graph_of(commands(*sentences))
    sounds: dict[str, list[tuple[str, ...]]] = {}
    for path in all_paths(graph):
        command = graph.interpret(path).command
        sounds.setdefault(command, []).append(tuple(graph.tokens[n] for n in graph.label[list(path)]))
    wanted = {}
    for one, other in combinations(sorted(sounds), 2):
        nearest = min(distance(a, b) for a in sounds[one] for b in sounds[other])
        if nearest <= FAR - 0.01:
            wanted[one, other] = nearest
    found = {tuple(sorted(pair.commands)): pair for pair in command_pairs(graph)}
    for names, nearest in wanted.items():
        assert found[names].distance == pytest.approx(nearest, abs=0.011)  # given to two decimals
    assert list(found.values()) == sorted(found.values(), key=lambda pair: pair.distance)
    for pair in found.values():
        assert {sentences[int(name[1:])] for name in pair.commands} == set(pair.sentences)


@settings(max_examples=100, deadline=None)
@given(st.lists(phrases, min_size=2, max_size=5, unique=True))
def test_homophones_are_those_found_by_trying_all_pairs(sentences: list[str]) -> None:
    graph = graph_of(commands(*sentences))
    by_sound: dict[tuple[int, ...], set[str]] = {}
    for path in all_paths(graph):
        by_sound.setdefault(tuple(graph.label[list(path)]), set()).add(graph.interpret(path).command)
    wanted = {frozenset(pair) for group in by_sound.values() for pair in combinations(sorted(group), 2)}
    found = list(homophones(graph))
    assert bool(found) == bool(wanted)
    for one, other in found:
        assert [graph.label[n] for n in one] == [graph.label[n] for n in other]
        assert frozenset({graph.interpret(one).command, graph.interpret(other).command}) in wanted


def test_homophones_with_one_meaning_are_none() -> None:
    grammar = parse_grammar(
        "name: a\nlists: {n: [{in: (grey|gray), out: grey}, blue]}\n"
        "commands: {go: {topic: a, sentences: ['(to|too|two) {n}'], payload: '{n}'}}"
    )
    assert list(homophones(graph_of(grammar))) == []


def test_homophones_within_a_slot() -> None:
    grammar = parse_grammar(
        "name: a\nlists: {n: [write, right, left]}\n"
        "commands: {go: {topic: a, sentences: ['go {n}'], payload: '{n}'}}"
    )
    graph = graph_of(grammar)
    ((one, other),) = homophones(graph)
    assert {text_of(graph, one), text_of(graph, other)} == {"go write", "go right"}


@pytest.mark.parametrize(
    ("lists", "sentences", "texts"),
    [
        (  # the same words, and only their order tells the slots
            "p: [red belt, blue belt]",
            "set ({p:left};{p:right}) now",
            {"set blue belt red belt now"},
        ),
        (  # a difference that the next word takes back, or does not
            "p: [{in: red one, out: 1}, {in: read one, out: 2}, {in: (red|read) two, out: 3}]",
            "go {p}",
            {"go red one", "go read one"},
        ),
        (  # a pair of nodes that two words with one value reach first
            "p: [{in: red, out: 1}, {in: bare, out: 3}], q: [{in: read, out: 2}, {in: bear, out: 3}]",
            "go {p:x} for it', 'go {q:x} four it",
            {"go red for it", "go read four it"},
        ),
    ],
)
def test_homophones_that_other_ways_hide(lists: str, sentences: str, texts: set[str]) -> None:
    grammar = parse_grammar(
        f"name: a\nlists: {{{lists}}}\ncommands: {{go: {{topic: a, sentences: ['{sentences}']}}}}"
    )
    graph = graph_of(grammar)
    one, other = next(homophones(graph))
    assert {text_of(graph, one), text_of(graph, other)} == texts
    assert graph.interpret(one) != graph.interpret(other)


def test_worst_comes_first_with_advice() -> None:
    pairs = command_pairs(graph_of(commands("press the line", "dress the line", "open everything now")))
    assert set(pairs[0].sentences) == {"press the line", "dress the line"}
    assert pairs[0].distance < 1
    assert "`dress`, `press`" in pairs[0].advice
    assert all(pair.distance > 1 for pair in pairs[1:])


def test_fifteen_and_fifty_are_named() -> None:
    grammar = load_grammar(ROOT / "grammars/demo.yaml")
    pairs = {pair.words: pair for pair in word_pairs(*audible_sentences(grammar))}
    assert "percent" in pairs["fifteen", "fifty"].slots
    assert ("degree", "degrees") not in pairs


def test_sounds_are_compared_alike_in_both_directions() -> None:
    sounds = sorted(inventory())
    for one in sounds:
        assert replacing(one, one) == 0
        assert 0 < dropping(one) <= 1
        for other in sounds:
            assert replacing(one, other) == replacing(other, one)
            assert one == other or 0 < replacing(one, other) <= 1
    assert replacing("P", "B") < replacing("P", "M") <= replacing("P", "AA")
    assert replacing("in", "ing") < replacing("in", "ao")
