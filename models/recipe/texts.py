"""Sentences for synthetic speech: drawn from the templates in `sentences/`, distinct, in a fixed order.

A draw depends only on the seed, so that a corpus can be made again, continued, or made once more with another
seed for sentences that no training has seen.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Literal

import yaml
from hassil.expression import Alternative, Expression, Group, ListReference, TextChunk
from hassil.parse_expression import parse_sentence

from models.recipe import numbers
from models.recipe.phones import mandarin_words, near_words, plain_words

Language = Literal["en", "zh"]
TEMPLATES = Path(__file__).parent / "sentences"

_DRAWS: dict[Language, dict[str, Callable[[Random], str]]] = {
    "en": {
        "number": numbers.number,
        "small": numbers.small,
        "decimal": numbers.decimal,
        "digits": numbers.digits,
        "letter": numbers.letter,
        "letters": numbers.letters,
        "nato": numbers.nato,
        "code": numbers.code,
        "date": numbers.date,
        "clock": numbers.clock,
        "word": lambda rng: rng.choice(plain_words()),
    },
    "zh": {
        "number": numbers.zh_number,
        "small": numbers.zh_small,
        "decimal": numbers.zh_decimal,
        "digits": numbers.zh_digits,
        "any_noun": lambda rng: rng.choice(mandarin_words("n")),
        "any_verb": lambda rng: rng.choice(mandarin_words("v")),
        "any_adjective": lambda rng: rng.choice(mandarin_words("a")),
        "any_adverb": lambda rng: rng.choice(mandarin_words("d")),
        "any_place": lambda rng: rng.choice(mandarin_words("ns")),
    },
}


@dataclass(frozen=True)
class Text:
    """One sentence to be spoken; `kind` is a key of the template file, or `near`."""

    language: Language
    kind: str
    words: str
    label: str = ""
    """What a sentence of a grammar means, as JSON."""


@dataclass(frozen=True)
class _Kind:
    weight: float
    templates: list[Expression]


@cache
def _load(language: Language) -> tuple[dict[str, _Kind], dict[str, list[str]]]:
    content = yaml.safe_load((TEMPLATES / f"{language}.yaml").read_text(encoding="utf-8"))
    kinds = {
        name: _Kind(kind["weight"], [parse_sentence(template).expression for template in kind["templates"]])
        for name, kind in content["kinds"].items()
    }
    # YAML 1.1 reads a bare yes, no, on or off as a truth value and a bare number as a number.
    lists = {
        name: [item if isinstance(item, str) else _refuse(name, item) for item in items]
        for name, items in content["lists"].items()
    }
    return kinds, lists


def _refuse(name: str, item: object) -> str:
    raise ValueError(f"sentences: list {name!r} holds {item!r}, which is no text: put it in quotes")


def _draw(expression: Expression, language: Language, rng: Random) -> str:
    """Walk a hassil template once, choosing at random wherever it leaves a choice."""
    if isinstance(expression, TextChunk):
        return expression.original_text
    if isinstance(expression, ListReference):
        draw = _DRAWS[language].get(expression.list_name)
        return draw(rng) if draw else rng.choice(_load(language)[1][expression.list_name])
    if isinstance(expression, Alternative):
        return _draw(rng.choice(expression.items), language, rng)
    if isinstance(expression, Group):
        return "".join(_draw(item, language, rng) for item in expression.items)
    raise ValueError(f"sentences: a template holds {expression!r}, which is not supported here")


def near_miss(words: str, rng: Random) -> str | None:
    """Change one word of an English sentence into another real word one sound away; None if none is known."""
    parts = words.split()
    for place in rng.sample(range(len(parts)), len(parts)):
        if others := near_words(parts[place].lower()):
            return " ".join([*parts[:place], rng.choice(others), *parts[place + 1 :]])
    return None


def sentences(language: Language, seed: int, near_share: float = 0.16) -> Iterator[Text]:
    """Yield sentences without end, long ones once, short ones more often, for more voices.

    `near_share` (0 to 1) of the English commands and orders become near misses.
    """
    kinds, _ = _load(language)
    rng = Random(f"{language}-{seed}")
    drawn: Counter[str] = Counter()
    while True:
        name = rng.choices(list(kinds), [kind.weight for kind in kinds.values()])[0]
        words = " ".join(_draw(rng.choice(kinds[name].templates), language, rng).split())
        if language == "en" and name in ("command", "order") and rng.random() < near_share:
            missed = near_miss(words, rng)
            if missed:
                name, words = "near", missed
        drawn[words] += 1
        if words and drawn[words] <= _repeats(words):
            yield Text(language, name, words)


def mixed(seed: int, mandarin: float, kinds: Collection[str] = ()) -> Iterator[Text]:
    """Yield English and, `mandarin` (0 to 1) of all, Mandarin sentences; only `kinds`, if any are named."""
    rng = Random(f"mixed-{seed}")
    streams = {"en": sentences("en", seed), "zh": sentences("zh", seed)}
    while True:
        text = next(streams["zh" if rng.random() < mandarin else "en"])
        if not kinds or text.kind in kinds:
            yield text


def _repeats(words: str) -> int:
    length = len(words.split()) if words.isascii() else len(words) / 2
    return 21 if length <= 1 else 7 if length <= 2 else 1
