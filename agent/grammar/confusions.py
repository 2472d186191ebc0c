"""Which commands, and which words of a slot, sound most alike."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from agent.grammar.graph import Graph
from agent.grammar.lexicon import Lexicon
from agent.grammar.schema import Command, Risk
from agent.grammar.sentences import Sentences
from agent.grammar.similarity import distance, dropping, replacing

MAX_STEPS = 3_000_000
"""Continuations looked at before the search gives up."""
FAR = 4.0
"""Sounds; commands further apart than this are not confused."""
CLOSE = 2.0
"""Commands nearer than this want other words."""
ALIKE = 1.0
"""Commands nearer than this should be read back; `check` warns of those that are not."""
CLOSE_WORDS = 1.2
_MAX_FAN = 300

_START = -1


@dataclass(frozen=True, slots=True)
class CommandPair:
    """Two commands and their two sentences that sound most alike."""

    commands: tuple[str, str]
    sentences: tuple[str, str]
    distance: float
    """In sounds, weighted by how alike they are: one wholly different sound is 1."""
    advice: str


@dataclass(frozen=True, slots=True)
class WordPair:
    """Two words that exchange one value of a slot for another, and sound alike."""

    slots: tuple[str, ...]
    words: tuple[str, str]
    distance: float
    advice: str


def command_pairs(graph: Graph, within: float = FAR) -> list[CommandPair]:
    """Pairs of commands by the distance of their most similar sentences, most alike first.

    A search for the cheapest first over pairs of nodes: both go one sound further at the cost of replacing
    one by the other, or one alone at the cost of dropping it. It ends at `within`, after `MAX_STEPS`, or when
    every pair is found.

    Args:
        graph: what can be said.
        within: sounds, at most `FAR`; pairs further apart are left out. A smaller one is found sooner.
    """
    after = graph.followers()
    tokens, label = graph.tokens, graph.label.tolist()
    starts = np.flatnonzero(graph.starts).tolist()

    def following(node: int) -> list[int]:
        return starts if node == _START else after[node]

    ends_of = _ends(graph, after)
    best: dict[tuple[int, int], float] = {(_START, _START): 0.0}
    origin: dict[tuple[int, int], tuple[int, int]] = {}
    heap = [(0.0, _START, _START)]
    found: dict[tuple[int, int], CommandPair] = {}
    wanted = len(graph.commands) * (len(graph.commands) - 1) // 2
    steps = 0
    while heap and steps < MAX_STEPS and len(found) < wanted:
        cost, one, other = heapq.heappop(heap)
        if cost > best[one, other]:
            continue
        if one != _START and other != _START:
            ends = int(graph.final[one]), int(graph.final[other])
            pair = min(ends), max(ends)
            if min(ends) >= 0 and ends[0] != ends[1] and pair not in found:
                ways = _walk(origin, (one, other))
                found[pair] = _command_pair(graph, pair, ways if pair == ends else ways[::-1], cost)
        options = [(one, n, dropping(tokens[label[n]])) for n in following(other)]
        options += [(n, other, dropping(tokens[label[n]])) for n in following(one)]
        options += [
            (n, m, replacing(tokens[label[n]], tokens[label[m]]))
            for n in following(one)
            for m in following(other)
        ]
        steps += len(options)
        for left, right, extra in options:
            pair = min(left, right), max(left, right)
            if (ends_of[left] | ends_of[right]).bit_count() < 2:
                continue  # both only lead to the same command
            if cost + extra <= within and cost + extra < best.get(pair, within + 1):
                best[pair] = cost + extra
                # Pairs are kept sorted; a swap here is undone by `_walk`, which follows either order.
                origin[pair] = (one, other) if (left, right) == pair else (other, one)
                heapq.heappush(heap, (cost + extra, *pair))
    return sorted(found.values(), key=lambda pair: pair.distance)


def _ends(graph: Graph, after: list[list[int]]) -> list[int]:
    """Per node, a bit for each command that it leads to; last, at `_START`, all of them."""
    ends = [0] * len(graph.label) + [(1 << len(graph.commands)) - 1]
    for node in reversed(range(len(graph.label))):  # in topological order
        if graph.final[node] >= 0:
            ends[node] = 1 << int(graph.final[node])
        for follower in after[node]:
            ends[node] |= ends[follower]
    return ends


def word_pairs(sentences: Sentences, lexicon: Lexicon) -> list[WordPair]:
    """Pairs of words within slots that exchange one value for another and sound alike, most alike first."""
    automata, words = sentences.automata, sentences.words
    endings = _endings(sentences)
    slots: dict[tuple[str, str], set[str]] = {}
    inside: dict[int, tuple[str, ...]] = {}  # per state within a slot, words since the slot was opened
    for state in reversed(automata.reachable(sentences.start)):
        groups: dict[str, dict[str, tuple[str, ...]]] = {}
        before = inside.get(state, ())
        for symbol, target in automata.arcs[state]:
            word = words[symbol]
            if word.opens or before:
                slot, rest = (word.closes, ()) if word.closes else endings[target]
                groups.setdefault(slot, {})[word.text] = rest
                if not word.closes:
                    inside[target] = *(() if word.opens else before), word.text
        for slot, rests in groups.items():
            for pair in combinations(sorted(rests)[:_MAX_FAN], 2):
                known = slots.setdefault(pair, set())
                if slot not in known and _exchange(sentences, slot, before, pair, rests[pair[0]]):
                    known.add(slot)
    advice = "Read the value back (`risk: high`), have it said digit by digit, or give it another word"
    found = [
        WordPair(tuple(sorted(names)), pair, round(_nearest(lexicon, *pair), 2), advice)
        for pair, names in slots.items()
        if names
    ]
    close = (pair for pair in found if 0 < pair.distance <= CLOSE_WORDS)
    return sorted(close, key=lambda pair: (pair.distance, pair.words))


def _endings(sentences: Sentences) -> dict[int, tuple[str, tuple[str, ...]]]:
    """Per state from which a slot may be closed: that slot, and the fewest words that do it."""
    automata, words = sentences.automata, sentences.words
    endings: dict[int, tuple[str, tuple[str, ...]]] = {}
    for state in automata.reachable(sentences.start):
        options: list[tuple[str, tuple[str, ...]]] = []
        for symbol, target in automata.arcs[state]:
            word = words[symbol]
            if word.closes:
                options.append((word.closes, (word.text,)))
            elif not word.opens and target in endings:
                slot, rest = endings[target]
                options.append((slot, (word.text, *rest)))
        if options:
            endings[state] = min(options, key=lambda option: (len(option[1]), option))
    return endings


def _exchange(
    sentences: Sentences, slot: str, before: tuple[str, ...], pair: tuple[str, str], rest: tuple[str, ...]
) -> bool:
    """Whether two words of a slot make different values of it, in any command."""
    one, other = (" ".join((*before, word, *rest)) for word in pair)
    held = [mapping for (_, name), mapping in sentences.slot_values.items() if name == slot]
    return any(one in mapping and other in mapping and mapping[one] != mapping[other] for mapping in held)


def _nearest(lexicon: Lexicon, one: str, other: str) -> float:
    return min(
        (distance(a, b) for a in lexicon[one].variants for b in lexicon[other].variants), default=float("inf")
    )


def _walk(
    origin: dict[tuple[int, int], tuple[int, int]], pair: tuple[int, int]
) -> tuple[list[int], list[int]]:
    """The nodes of both ways to `pair`."""
    left, right = pair
    ways: tuple[list[int], list[int]] = ([], [])
    while (left, right) != (_START, _START):
        before = origin[min(left, right), max(left, right)]
        if left > right:
            before = before[1], before[0]
        for way, node, last in ((ways[0], left, before[0]), (ways[1], right, before[1])):
            if node != last:
                way.append(node)
        left, right = before
    ways[0].reverse()
    ways[1].reverse()
    return ways


def _command_pair(graph: Graph, ends: tuple[int, int], ways: Sequence[list[int]], cost: float) -> CommandPair:
    one, other = (graph.commands[end] for end in ends)
    first, second = (
        " ".join(graph.words[word].text for word in graph.word[np.asarray(way)] if word >= 0) for way in ways
    )
    return CommandPair(
        (one.name, other.name), (first, second), round(cost, 2), _advice(one, other, first, second, cost)
    )


def _advice(one: Command, other: Command, first: str, second: str, cost: float) -> str:
    if cost > CLOSE:
        return "Far enough apart"
    differing = sorted(set(first.split()) ^ set(second.split())) or [first]
    risky = max(one, other, key=lambda command: (not command.builtin, list(Risk).index(command.risk)))
    wanted = f"Replace one of {', '.join(f'`{word}`' for word in differing)} by a word that sounds different"
    if risky.risk is Risk.HIGH or risky.builtin or cost > ALIKE:
        return f"{wanted}, or add a word"
    return f"{wanted}, add a word, or set `risk: high` on `{risky.name}` so that it is read back"
