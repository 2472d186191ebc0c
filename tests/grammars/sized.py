"""Grammars of a wanted size, for benchmarks and tests.

Three slots: an action, a part with a name of its own, and a range of 0 to 3000 in steps of 10. Larger
grammars have more parts, each a different pair of words, so the graph grows as a plant's would.
"""

from itertools import product

from agent.grammar.load import parse_grammar
from agent.grammar.schema import Grammar

_ACTIONS = ("set", "move", "raise", "lower", "adjust")
_FIRST = [
    "north",
    "south",
    "east",
    "west",
    "upper",
    "lower",
    "middle",
    "inner",
    "outer",
    "front",
    "rear",
    "left",
    "right",
    "primary",
    "second",
    "third",
    "fourth",
    "main",
    "spare",
    "heavy",
    "light",
    "large",
    "small",
    "narrow",
    "wide",
    "long",
    "short",
    "high",
    "deep",
    "fast",
    "slow",
    "hot",
    "cold",
    "dry",
    "wet",
    "clean",
    "raw",
    "green",
    "yellow",
    "orange",
]
_SECOND = [
    "conveyor",
    "pump",
    "motor",
    "valve",
    "mixer",
    "feeder",
    "press",
    "lathe",
    "oven",
    "crane",
    "lift",
    "drum",
    "tank",
    "filter",
    "fan",
    "heater",
    "cooler",
    "roller",
    "cutter",
    "printer",
    "scanner",
    "gripper",
    "spindle",
    "table",
    "carriage",
    "turret",
    "winder",
    "stacker",
    "labeller",
    "sorter",
]

RANGE_VALUES = 301


def grammar_of(sentences: int) -> Grammar:
    """A grammar of at least `sentences` sentences, and few more; 100 to 1,800,000.

    Counted as (action, part, value): each value of the range has several spoken forms on top.
    """
    values = RANGE_VALUES if sentences >= 5_000 else 11
    parts = -(-sentences // (len(_ACTIONS) * values))
    names = [f"{first} {second}" for second, first in product(_SECOND, _FIRST)][:parts]
    if len(names) < parts:
        raise ValueError(f"no grammar of {sentences} sentences: too few names")
    return parse_grammar(
        "\n".join(
            (
                f"name: sized-{sentences}",
                "lists:",
                f"  action: [{', '.join(_ACTIONS)}]",
                f"  part: [{', '.join(names)}]",
                f"  level: {{minimum: 0, maximum: {(values - 1) * 10}, step: 10}}",
                "confirm: []",
                "cancel: []",
                "commands:",
                "  order:",
                '    sentences: ["{action} {part} to {level}"]',
                "    topic: order",
                '    payload: {action: "{action}", part: "{part}", level: "{level}"}',
            )
        )
    )


def listed_grammar_of(sentences: int) -> Grammar:
    """A grammar whose sentences are written out one by one, each with words of its own: nothing to share."""
    parts = product(_SECOND, _FIRST, _SECOND, _FIRST)
    lines = [f"    - {a} {b} to {c} {d}" for a, b, c, d in _stepped(parts, sentences)]
    return parse_grammar(
        "\n".join(("name: listed", "commands:", "  order:", "    topic: order", "    sentences:", *lines))
    )


def _stepped(parts: "product[tuple[str, str, str, str]]", wanted: int) -> list[tuple[str, str, str, str]]:
    every = list(parts)
    return every[:: max(1, len(every) // wanted)][:wanted]
