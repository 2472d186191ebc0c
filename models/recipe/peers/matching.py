"""Free text to the nearest sentence of a grammar, by sound: what a recognizer without grammars is given here.

Text becomes sounds, and of all sentences of the graph the one is found that takes the least to turn into
them, where similar sounds cost little ("rose" is nearly "roast"). Sentences are not listed: the search walks
the graph.
"""

import math
import re
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from agent.grammar.automaton import Automata
from agent.grammar.graph import Graph, Interpretation
from agent.grammar.lexicon import Lexicon, Origin
from agent.grammar.similarity import dropping, replacing
from agent.grammar.words import WordStates

_WORD = re.compile(r"\d+|[A-Za-z]+(?:'[A-Za-z]+)?")
_ARTICLE = "a"
_ABBREVIATIONS = {"oz": "ounce"}
_DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@dataclass(frozen=True, slots=True)
class Nearest:
    """The sentence that a text is nearest to."""

    words: tuple[str, ...]
    meaning: Interpretation
    cost_per_sound: float
    """What the change costs, for each sound of the sentence; 0: the text sounds exactly so."""


class Matcher:
    """Finds the nearest sentence of one graph."""

    def __init__(self, graph: Graph, lexicon: Lexicon) -> None:
        self._graph, self._lexicon = graph, lexicon
        self._labels = [graph.tokens[label] for label in graph.label]

    def nearest(self, text: str) -> Nearest | None:
        """Return the nearest sentence to an English text, however it may be read; None if it says nothing."""
        found = [self._nearest(words) for words in readings(text, self._lexicon)]
        return min((each for each in found if each), key=lambda each: each.cost_per_sound, default=None)

    def _nearest(self, words: list[str]) -> Nearest | None:
        heard = [sound for word in words for sound in next(iter(self._lexicon[word].variants), ())]
        if not heard:
            return None
        before, costs = self._costs(heard)
        last = int(np.argmin(np.where(self._graph.final >= 0, costs[:, -1], np.inf)))
        path = self._path(before, costs, heard, last)
        said = [self._graph.words[word].text for word in self._graph.word[path] if word >= 0]
        return Nearest(tuple(said), self._graph.interpret(path), float(costs[last, -1]) / len(path))

    def _costs(self, heard: list[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the cost of all first j sounds before each node's sound and with it, [nodes, sounds + 1]."""
        graph = self._graph
        spoken = np.concatenate([[0.0], np.cumsum([dropping(sound) for sound in heard])])
        changes = {
            label: np.array([replacing(label, sound) for sound in heard]) for label in set(self._labels)
        }
        before = np.empty((len(self._labels), len(heard) + 1))
        costs = np.empty_like(before)
        for node, label in enumerate(self._labels):
            sources = graph.source[graph.first_arc[node] : graph.first_arc[node + 1]]
            options = [costs[sources].min(axis=0)] if len(sources) else []
            before[node] = np.min([*options, spoken] if graph.starts[node] else options, axis=0)
            row = before[node] + dropping(label)
            row[1:] = np.minimum(row[1:], before[node, :-1] + changes[label])
            costs[node] = np.minimum.accumulate(row - spoken) + spoken  # sounds too many after this one
        return before, costs

    def _path(
        self, before: NDArray[np.float64], costs: NDArray[np.float64], heard: list[str], node: int
    ) -> list[int]:
        """Follow the cheapest way back from a node and all sounds."""
        graph, position, path = self._graph, len(heard), []
        while True:
            path.append(node)
            label = self._labels[node]
            while True:  # to where this node's sound was taken
                kept = before[node, position] + dropping(label)
                changed = (
                    before[node, position - 1] + replacing(label, heard[position - 1])
                    if position
                    else math.inf
                )
                if math.isclose(costs[node, position], min(kept, changed), abs_tol=1e-9):
                    break
                position -= 1
            position -= changed <= kept
            sources = graph.source[graph.first_arc[node] : graph.first_arc[node + 1]]
            if not len(sources) or (costs[sources, position].min() > before[node, position] + 1e-9):
                return path[::-1]
            node = int(sources[np.argmin(costs[sources, position])])


def readings(text: str, lexicon: Lexicon) -> list[list[str]]:
    """Return the words of a text, in each way to read it.

    Numerals are numbers or digits one by one; words that no dictionary knows may be letters run together.
    """
    tokens = _tokens(text)
    ways: dict[tuple[str, ...], None] = {}
    for number, run_together in product((_digits, _cardinal), (False, True)):
        words: list[str] = []
        for token in tokens:
            if token.isdigit():
                words += number(token)
            elif run_together and lexicon[token].origin is Origin.GUESS:
                words += token.upper()
            else:
                words.append(token)
        ways[tuple(words)] = None
    return [list(way) for way in ways]


def _tokens(text: str) -> list[str]:
    """Words as the lexicon knows them; single letters, and those of capitals, are names of letters."""
    found = _WORD.findall(text.replace("’", "'"))
    tokens: list[str] = []
    for index, token in enumerate(found):
        beside = found[max(0, index - 1) : index] + found[index + 1 : index + 2]
        among_letters = any(len(other) == 1 and other.isalpha() for other in beside)
        if token.isdigit() or (token == _ARTICLE and not among_letters):
            tokens.append(token)
        elif len(token) == 1 or token.isupper():
            tokens += token.upper()
        else:
            tokens.append(_ABBREVIATIONS.get(token.lower(), token.lower()))
    return tokens


def _digits(token: str) -> list[str]:
    return [_DIGITS[int(digit)] for digit in token]


def _cardinal(token: str) -> list[str]:
    store = WordStates("en")
    state = store.text(token, store.automata.state({}, 0))
    return [store.words[symbol].text for symbol in _shortest(store.automata, state)]


def _shortest(automata: Automata, state: int) -> tuple[int, ...]:
    return min((symbols for symbols, _ in automata.sentences(state)), key=len)
