"""What is said means what the author reads: random grammars against all that their templates say."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations, product

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from agent.errors import GrammarError
from agent.grammar.compiler import accepted_sentences
from agent.grammar.homophones import homophones
from agent.grammar.inspect import Parse, explain
from agent.grammar.lexicon import Lexicon
from agent.grammar.load import parse_grammar
from tests.grammar.graphs import all_paths, graph_of, text_of

LISTS: dict[str, tuple[str, Mapping[str, object]]] = {
    "colour": ("[red, {in: (bare|bear), out: 3}]", {"red": "red", "bare": 3, "bear": 3}),
    "other": ("[{in: read, out: 4}, {in: bear, out: 3}, 2]", {"read": 4, "bear": 3, "two": 2}),
    "parts": (
        "[{in: red one, out: 1}, {in: read one, out: 2}, {in: (red|read) two, out: 3}]",
        {"red one": 1, "read one": 2, "red two": 3, "read two": 3},
    ),
    "twenties": (
        "{minimum: 20, maximum: 25, step: 5, unit: '[bar]'}",
        {"twenty": 20, "twenty bar": 20, "twenty five": 25, "twenty five bar": 25},
    ),
    "hundreds": ("{minimum: 1, maximum: 2, unit: hundred}", {"one hundred": 1, "two hundred": 2}),
    "larger": (
        "{minimum: 100, maximum: 200, step: 100}",
        {"a hundred": 100, "one hundred": 100, "two hundred": 200},
    ),
    "halves": (
        "{minimum: -0.5, maximum: 0.5, step: 1}",
        {"minus zero point five": -0.5, "minus point five": -0.5}
        | {"negative zero point five": -0.5, "negative point five": -0.5}
        | {"zero point five": 0.5, "point five": 0.5},
    ),
    "code": (
        "{spell: digits, max_length: 1}",
        {"zero": "0", "oh": "0", "one": "1", "two": "2", "three": "3", "four": "4"}
        | {"five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9"},
    ),
}
"""What the file says of a list, and what its author reads: spoken to published."""
HEAD = "name: a\nconfirm: []\ncancel: []\nlists:\n" + "".join(
    f"  {name}: {written}\n" for name, (written, _) in LISTS.items()
)

Filled = tuple[tuple[str, str, object], ...]
"""Slots with what was said for them and what that means."""


@dataclass(frozen=True)
class Part:
    """A template, and all that it says."""

    written: str
    said: tuple[tuple[str, Filled], ...]


def slot(name: str, slot: str) -> Part:
    said = LISTS[name][1].items()
    return Part(f"{{{name}:{slot}}}", tuple((text, ((slot, text, value),)) for text, value in said))


def joined(*parts: Part) -> Part:
    said = [
        (" ".join(text for text, _ in each if text), tuple(one for _, filled in each for one in filled))
        for each in product(*(part.said for part in parts))
    ]
    return Part(" ".join(part.written for part in parts), tuple(said))


def any_order(one: Part, other: Part) -> Part:
    said = (joined(*parts).said for parts in permutations((one, other)))
    return Part(f"({one.written};{other.written})", tuple(each for order in said for each in order))


def group(inner: st.SearchStrategy[Part]) -> st.SearchStrategy[Part]:
    return st.one_of(
        st.builds(joined, inner, inner),
        st.builds(any_order, inner, inner),
        st.builds(
            lambda one, other: Part(f"({one.written}|{other.written})", one.said + other.said), inner, inner
        ),
        inner.map(lambda part: Part(f"[{part.written}]", (("", ()), *part.said))),
    )


def commands(lists: list[str]) -> st.SearchStrategy[list[list[Part]]]:
    words = st.sampled_from(["for", "four", "the belt", "hundred", "one", "two", "to"])
    leaves = words.map(lambda word: Part(word, ((word, ()),))) | st.builds(
        slot, st.sampled_from(lists), st.sampled_from("xy")
    )
    sentences = st.recursive(leaves, group, max_leaves=4).map(
        lambda part: joined(Part("go", (("go", ()),)), part)
    )
    return st.lists(st.lists(sentences, min_size=1, max_size=2), min_size=2, max_size=2)


# Of few lists: so they meet.
few = st.lists(st.sampled_from(sorted(LISTS)), min_size=2, max_size=2, unique=True)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(few.flatmap(commands))
def test_what_is_said_means_what_the_author_reads(both: list[list[Part]]) -> None:
    file, twice = HEAD + "commands:\n", False
    wanted: dict[str, set[object]] = defaultdict(set)
    values: dict[tuple[str, str, str], set[object]] = defaultdict(set)
    for name, sentences in zip("ab", both, strict=True):
        file += f"  {name}: {{topic: a, sentences: {[sentence.written for sentence in sentences]}}}\n"
        assume(sum(len(sentence.said) for sentence in sentences) < 500)
        for text, filled in (each for sentence in sentences for each in sentence.said):
            wanted[text].add((name, frozenset((slot, value) for slot, _, value in filled)))
            twice |= len({slot for slot, _, _ in filled}) < len(filled)
            for filled_slot, phrase, value in filled:
                values[name, filled_slot, phrase].add(value)
    differ = twice or any(len(each) > 1 for each in values.values())
    grammar = parse_grammar(file)
    try:
        accepted = accepted_sentences(grammar)
    except GrammarError:
        assert differ or any(len(meanings) > 1 for meanings in wanted.values())
        return
    assert not differ
    said: dict[str, set[object]] = defaultdict(set)
    heard: dict[tuple[int, ...], set[object]] = defaultdict(set)
    graph = graph_of(grammar)
    for path in all_paths(graph):
        meant = graph.interpret(path)
        meaning = meant.command, frozenset(meant.slots.items())
        said[text_of(graph, path)].add(meaning)
        heard[tuple(graph.label[list(path)])].add(meaning)
    assert said == wanted
    assert any(homophones(graph)) == any(len(meanings) > 1 for meanings in heard.values())
    for text, meanings in wanted.items():
        read = explain(accepted, Lexicon({}), text)
        assert isinstance(read, Parse)
        assert (read.meaning.command, frozenset(read.meaning.slots.items())) in meanings
