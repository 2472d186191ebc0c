"""Sentences that sound the same and mean different things."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from agent.grammar.fault import Fault
from agent.grammar.graph import Graph
from agent.grammar.places import place_of_commands
from agent.grammar.schema import Grammar

MAX_PAIRS = 200_000
"""Pairs of nodes that are looked at; beyond it the search stops and has found what it has found."""

_MOST_FAULTS = 20
_MOST_WAYS = 4
"""To one pair of nodes: numbers in two slots may differ in millions."""

_Apart = tuple[tuple[str, ...], ...]
_Pair = tuple[int, int, _Apart]
"""Two nodes, and what only either of the ways to them put into slots."""
Path = tuple[int, ...]


class _Paths:
    """Ways through a graph, forwards and backwards."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.after = graph.followers()

    def to(self, node: int) -> Path:
        """One way from a start to `node`, both included."""
        path = [node]
        while not self.graph.starts[path[-1]]:
            path.append(int(self.graph.source[self.graph.first_arc[path[-1]]]))
        return tuple(reversed(path))

    def on(self, node: int) -> Path:
        """One way from `node` to the end of a sentence, `node` not included."""
        path = [node]
        while self.graph.final[path[-1]] < 0:
            path.append(self.after[path[-1]][0])
        return tuple(path[1:])


def same_sounds(grammar: Grammar, graph: Graph) -> Iterator[Fault]:
    """Sentences that sound the same and mean different things, where the grammar has them."""
    for one, other in islice(homophones(graph), _MOST_FAULTS):
        texts = [
            " ".join(graph.words[word].text for word in graph.word[list(path)] if word >= 0)
            for path in (one, other)
        ]
        meanings = [graph.interpret(path) for path in (one, other)]
        said = [f"`{m.command}`{dict(m.slots) or ''}" for m in meanings]
        message = f"the same sounds mean {said[0]} (`{texts[0]}`) and {said[1]} (`{texts[1]}`)"
        place = place_of_commands(grammar, [meaning.command for meaning in meanings])
        yield grammar.source.fault(place, "homophones", message, "Use other words for one of them")


def homophones(graph: Graph) -> Iterator[tuple[Path, Path]]:
    """Pairs of complete paths with the same sounds and different meanings, one per place where they meet.

    Walks all pairs of nodes that the same sounds reach, again where other slots differ so far. Where the two
    ways meet again, or both may end, their meanings are compared. Within a slot they go on together: what it
    holds is told by all of its words.
    """
    paths = _Paths(graph)
    origin: dict[_Pair, _Pair | int] = {}
    seen: dict[tuple[int, int], set[_Apart]] = {}
    queue: deque[tuple[_Pair, _Heard, _Heard]] = deque()

    def visit(nodes: list[int], others: list[int], heard: _Heard, also: _Heard, before: _Pair | int) -> None:
        by_label: dict[int, list[int]] = {}
        for node in others:
            by_label.setdefault(int(graph.label[node]), []).append(node)
        for node in nodes:
            for other in by_label.get(int(graph.label[node]), ()):
                if node == other and heard == also:
                    continue
                one, two = _hear(graph, heard, node), _hear(graph, also, other)
                apart = _apart(graph, one, two)
                known = seen.setdefault((min(node, other), max(node, other)), set())
                if apart in known or apart[::-1] in known or len(known) == _MOST_WAYS:
                    continue
                known.add(apart)
                pair = node, other, apart
                origin[pair] = before
                queue.append((pair, one, two))

    starts = np.flatnonzero(graph.starts).tolist()
    visit(starts, starts, _SILENCE, _SILENCE, -1)
    for node, followers in enumerate(paths.after):
        if len({*graph.label[followers].tolist()}) < len(followers):
            heard = _SILENCE
            for step in paths.to(node):
                heard = _hear(graph, heard, step)
            visit(followers, followers, heard, heard, node)
    while queue and len(origin) < MAX_PAIRS:
        pair, heard, also = queue.popleft()
        first, second, _ = pair
        met = first == second and heard.within is None
        if met or (graph.final[first] >= 0 and graph.final[second] >= 0):
            one, other = _trace(paths, origin, pair)
            rest = paths.on(first) if met else ()
            if graph.interpret((*one, *rest)) != graph.interpret((*other, *rest)):
                yield (*one, *rest), (*other, *rest)
        if not met:
            visit(paths.after[first], paths.after[second], heard, also, pair)


@dataclass(frozen=True, slots=True)
class _Heard:
    """What the words so far put into slots."""

    slots: tuple[tuple[str, str], ...] = ()
    """Slots that are filled, with their words."""
    within: str | None = None
    """The slot that is being filled."""
    words: tuple[str, ...] = ()
    """Its words."""


_SILENCE = _Heard()


def _hear(graph: Graph, heard: _Heard, node: int) -> _Heard:
    """What is heard after `node`, too."""
    index = graph.word[node]
    word = graph.words[index]
    slot = heard.within or word.opens
    if index < 0 or not slot:
        return heard
    words = (*heard.words, word.text)
    if word.closes:
        return _Heard((*heard.slots, (slot, " ".join(words))))
    return _Heard(heard.slots, slot, words)


def _apart(graph: Graph, one: _Heard, other: _Heard) -> _Apart:
    """What only either of two ways put into slots so far."""
    if one == other:
        return (), ()
    mine, others = dict(one.slots), dict(other.slots)
    both = {
        slot
        for slot in mine.keys() & others.keys()
        if all(
            held.get(mine[slot]) == held.get(others[slot])
            for (_, name), held in graph.slot_values.items()
            if name == slot
        )
    }
    within = (one.within, one.words) != (other.within, other.words)

    def rest(heard: _Heard) -> tuple[str, ...]:
        left = sorted(filled for filled in heard.slots if filled[0] not in both)
        return (*(part for filled in left for part in filled), *(heard.words if within else ()))

    return rest(one), rest(other)


def _trace(paths: _Paths, origin: dict[_Pair, _Pair | int], pair: _Pair) -> tuple[Path, Path]:
    """The two ways from a start to the two nodes of `pair`."""
    trail = [pair]
    before = origin[pair]
    while not isinstance(before, int):
        trail.append(before)
        before = origin[before]
    prefix = paths.to(before) if before >= 0 else ()
    trail.reverse()
    return (*prefix, *(pair[0] for pair in trail)), (*prefix, *(pair[1] for pair in trail))
