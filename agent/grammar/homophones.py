"""Sentences that sound the same and mean different things."""

from collections import deque
from collections.abc import Iterator
from itertools import islice

import numpy as np

from agent.grammar.checks import place_of_commands
from agent.grammar.fault import Fault
from agent.grammar.graph import Graph
from agent.grammar.schema import Grammar

MAX_PAIRS = 200_000
"""Pairs of nodes that are looked at; beyond it the search stops and has found what it has found."""

_MOST_FAULTS = 20

_Pair = tuple[int, int]
Path = tuple[int, ...]


class Paths:
    """Ways through a graph, forwards and backwards."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        count = len(graph.label)
        self.after: list[list[int]] = [[] for _ in range(count)]
        """Per node, the nodes that may follow."""
        targets = np.repeat(np.arange(count), np.diff(graph.first_arc))
        for source, target in zip(graph.source.tolist(), targets.tolist(), strict=True):
            self.after[source].append(target)

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

    Walks all pairs of different nodes that the same sounds reach. Where the two ways meet again, or both may
    end, their meanings are compared.
    """
    paths = Paths(graph)
    origin: dict[_Pair, _Pair | int] = {}
    queue: deque[_Pair] = deque()

    def visit(nodes: list[int], others: list[int], before: _Pair | int) -> None:
        by_label: dict[int, list[int]] = {}
        for node in others:
            by_label.setdefault(int(graph.label[node]), []).append(node)
        for node in nodes:
            for other in by_label.get(int(graph.label[node]), ()):
                if node != other and (node, other) not in origin and (other, node) not in origin:
                    origin[node, other] = before
                    queue.append((node, other))

    starts = np.flatnonzero(graph.starts).tolist()
    visit(starts, starts, -1)
    for node, followers in enumerate(paths.after):
        visit(followers, followers, node)
    while queue and len(origin) < MAX_PAIRS:
        first, second = pair = queue.popleft()
        shared = set(paths.after[first]) & set(paths.after[second])
        both_end = graph.final[first] >= 0 and graph.final[second] >= 0
        if shared or both_end:
            one, other = _trace(paths, origin, pair)
            rest = () if both_end else (min(shared), *paths.on(min(shared)))
            if graph.interpret((*one, *rest)) != graph.interpret((*other, *rest)):
                yield (*one, *rest), (*other, *rest)
        visit(paths.after[first], paths.after[second], pair)


def _trace(paths: Paths, origin: dict[_Pair, _Pair | int], pair: _Pair) -> tuple[Path, Path]:
    """The two ways from a start to the two nodes of `pair`."""
    trail = [pair]
    before = origin[pair]
    while not isinstance(before, int):
        trail.append(before)
        before = origin[before]
    prefix = paths.to(before) if before >= 0 else ()
    trail.reverse()
    return (*prefix, *(first for first, _ in trail)), (*prefix, *(second for _, second in trail))
