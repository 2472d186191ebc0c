"""Words on which nothing hangs, against what all the sentences mean."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, reject
from hypothesis import strategies as st

from agent.grammar import load_grammar
from agent.grammar.carriers import mark_carriers
from agent.grammar.compiler import accepted_sentences
from agent.grammar.fault import FaultyGrammarError
from agent.grammar.graph import Word
from agent.grammar.load import parse_grammar
from agent.grammar.schema import Grammar
from agent.grammar.sentences import Sentences

REPOSITORY = Path(__file__).parents[2]


def grammar(commands: Mapping[str, Sequence[str]], builtin: str = "confirm: []\ncancel: []") -> Grammar:
    listed = "".join(
        f"  {name}: {{topic: {name}, sentences: {list(sentences)}}}\n" for name, sentences in commands.items()
    )
    return parse_grammar(
        f"name: a\n{builtin}\nlists:\n  door: [north, {{in: '(south|rear) [wing]', out: 2}}]\n"
        f"commands:\n{listed}"
    )


def said(sentences: Sentences) -> dict[tuple[Word, ...], int]:
    """Every sentence, and its outcome."""
    listed = sentences.automata.sentences(sentences.start)
    return {tuple(sentences.words[symbol] for symbol in symbols): outcome for symbols, outcome in listed}


def carriers(grammar: Grammar) -> set[str]:
    """Sentences that begin with carriers, up to the last of these."""
    found = set()
    for words in said(mark_carriers(accepted_sentences(grammar))):
        flags = [word.carrier for word in words]
        if any(flags):
            found.add(
                " ".join(f"({w.text})" if w.carrier else w.text for w in words[: flags.index(False) + 1])
            )
    return found


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        ({"open": ["[please] open"], "shut": ["[please] shut"]}, {"(please) open", "(please) shut"}),
        ({"open": ["[please] open"], "shut": ["shut"]}, set()),
        ({"open": ["(open|unlock) {door}"]}, {"(open) north", "(open) south", "(open) rear"} |
         {"(unlock) north", "(unlock) south", "(unlock) rear"}),
        ({"open": ["open {door}"], "shut": ["shut {door}"]}, set()),
        ({"open": ["(robot|machine) open"], "shut": ["(robot|machine) shut"]},
         {"(robot) open", "(robot) shut", "(machine) open", "(machine) shut"}),
        ({"open": ["robot open"], "shut": ["robot shut"]}, set()),
        ({"open": ["(open|unlock)"]}, set()),
        ({"open": ["(open|unlock) it"]}, set()),
        ({"open": ["[now] {door} [please]"]}, {"(now) north", "(now) south", "(now) rear"}),
        ({"wait": ["please"], "open": ["[please] open"]}, set()),
    ],
    ids=["courtesy", "of_one_command", "one_command", "verbs", "names", "as_a_wake_phrase", "one_meaning",
         "one_meaning_in_words", "after_the_slot", "a_command_itself"],
)  # fmt: skip
def test_a_word_carries_if_all_can_still_be_meant(
    commands: Mapping[str, Sequence[str]], expected: set[str]
) -> None:
    assert carriers(grammar(commands)) == expected


def test_built_in_commands_are_not_meant() -> None:
    commands = {"open": ["[please] open"], "shut": ["[please] shut"]}
    assert carriers(grammar(commands, "confirm: ['yes']\nwake: [hey door]")) == {
        "(please) open", "(please) shut"
    }  # fmt: skip


def test_orders_may_begin_in_ten_ways() -> None:
    marked = mark_carriers(accepted_sentences(load_grammar(REPOSITORY / "tests/grammars/coffee.yaml")))
    assert {word.text for word in marked.words if word.carrier} == {
        "a", "an", "brew", "can", "get", "give", "have", "I", "i'd", "make", "may"
    }  # fmt: skip


PARTS = ("[please]", "(open|shut)", "open", "[the]", "{door}", "(can|may) I", "[now]", "robot")
TEMPLATES = st.lists(st.sampled_from(PARTS), min_size=1, max_size=4, unique=True).map(" ".join)


@given(st.lists(TEMPLATES, min_size=1, max_size=2), st.lists(TEMPLATES, min_size=1, max_size=2))
@example(["[please] (open|shut)", "(open|shut) (can|may) I open"], ["(open|shut) (can|may) I"])  # ends before
def test_after_a_carrier_every_meaning_follows(first: list[str], second: list[str]) -> None:
    try:
        plain = accepted_sentences(grammar({"a": first, "b": second}))
    except FaultyGrammarError:  # a sentence of both, or of no words
        reject()
    found = said(mark_carriers(plain))
    assert {tuple(replace(word, carrier=False) for word in words): of for words, of in found.items()} == said(
        plain
    )
    meant = {words: meaning(words, outcome) for words, outcome in found.items()}
    for words in found:
        assert not words[-1].carrier
        for place, word in enumerate(words):
            if word.carrier:
                begun = words[: place + 1]
                assert {meant[other] for other in meant if other[: place + 1] == begun} == set(meant.values())
                longer = [other for other in meant if len(other) > place and other[:place] == words[:place]]
                assert any(other[place] != word for other in longer)


def meaning(words: Sequence[Word], outcome: int) -> tuple[int, tuple[str, ...]]:
    """The command, and the words of its slots."""
    held, inside = [], False
    for word in words:
        inside = inside or bool(word.opens)
        held += [word.text] if inside else []
        inside = inside and not word.closes
    return outcome, tuple(held)
