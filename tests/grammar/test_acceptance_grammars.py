"""The grammars that real recordings are heard with hold everything that was said in them."""

import json
from itertools import permutations
from pathlib import Path

import pytest

from agent.grammar.compiler import audible_sentences
from agent.grammar.inspect import Parse, explain
from agent.grammar.load import load_grammar
from models.recipe.peers.spelling import spelled
from models.recipe.places import SPEECH

GRAMMARS = Path(__file__).parents[1] / "grammars"

needs_speech = pytest.mark.skipif(not SPEECH.is_dir(), reason=f"no recordings at {SPEECH}")


@needs_speech
def test_coffee_has_every_value_of_the_benchmark() -> None:
    grammar = load_grammar(GRAMMARS / "coffee.yaml")
    wanted = json.loads((SPEECH / "dev/coffee/slots.json").read_text())
    held = {name: [value.value for value in entry.values] for name, entry in grammar.lists.items()}  # type: ignore[union-attr]
    assert held == wanted


@needs_speech
def test_coffee_orders_are_in_the_grammar_in_any_order_of_words() -> None:
    grammar = load_grammar(GRAMMARS / "coffee.yaml")
    sentences, lexicon = audible_sentences(grammar)
    for label in json.loads((SPEECH / "dev/coffee/labels.json").read_text()).values():
        slots = label["slots"]
        details = [slots[name] for name in ("size", "roast", "numberOfShots") if name in slots]
        extras = [slots[name] for name in ("milkAmount", "sugarAmount") if name in slots]
        for order in permutations(details):
            for extra in permutations(extras):
                ending = f" with {' and '.join(extra)}" if extra else ""
                text = f"I'd like a {' '.join(order)} {slots['coffeeDrink']}{ending}"
                found = explain(sentences, lexicon, text)
                assert isinstance(found, Parse), text
                assert (found.meaning.command, dict(found.meaning.slots)) == (label["command"], slots)


@needs_speech
def test_an4_strings_of_digits_and_letters_are_in_the_grammar() -> None:
    grammar = load_grammar(GRAMMARS / "an4.yaml")
    sentences, lexicon = audible_sentences(grammar)
    digits = {"zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}
    heard = {"digits": 0, "letters": 0, "code": 0}
    for string in spelled(SPEECH):
        found = explain(sentences, lexicon, " ".join(string.words))
        assert isinstance(found, Parse), string
        kind = "code" if digits.intersection(string.words) else "letters"
        kind = "digits" if digits.issuperset(string.words) else kind
        assert found.meaning.command == kind
        assert sum(len(str(value)) for value in found.meaning.slots.values()) == len(string.words)
        heard[kind] += 1
    assert min(heard["digits"], heard["letters"]) > 10
    assert heard["code"] == 7
