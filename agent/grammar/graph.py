"""The compiled grammar: a minimal phone graph that the decoder walks.

Nodes carry sounds, arcs carry nothing. A path from a start node to a final node is one sentence; the nodes
at which words end name the words, and words open and close slots. Homophones that lead to different
meanings are a fault that `voxline grammar check` reports, so a path has exactly one meaning.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agent.grammar.neighbours import Neighbours
from agent.grammar.schema import Command, Scalar


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a sentence, and the slot that it opens or closes."""

    text: str
    opens: str | None = None
    """Slot that begins with this word."""
    closes: str | None = None
    """Slot that ends with this word."""
    carrier: bool = False
    """Nothing hangs on it: see `agent.grammar.carriers`."""


@dataclass(frozen=True, slots=True)
class Interpretation:
    """What a sentence means."""

    command: str
    slots: Mapping[str, Scalar]


SlotValues = Mapping[tuple[str, str], Mapping[str, Scalar]]
"""Per (command, slot): spoken words, joined by single spaces, to value."""


def interpret(command: str, words: Iterable[Word], slot_values: SlotValues) -> Interpretation:
    """Tell what the words of a complete sentence of `command` mean."""
    slots: dict[str, Scalar] = {}
    spoken: list[str] = []
    for word in words:
        spoken = [word.text] if word.opens else [*spoken, word.text]
        if word.closes:
            slots[word.closes] = slot_values[command, word.closes][" ".join(spoken)]
    return Interpretation(command, slots)


@dataclass(frozen=True, eq=False)
class Graph:
    """A node-labelled, acyclic phone graph with N nodes and E arcs.

    Nodes are in topological order. Arcs are grouped by their destination (compressed sparse rows), which is
    the order in which token passing needs them.
    """

    tokens: tuple[str, ...]
    """Token table that `label` indexes: the one in the model bundle."""
    label: NDArray[np.int32]
    """Shape [N]: the sound of each node, an index into `tokens`."""
    first_arc: NDArray[np.int32]
    """Shape [N + 1]: the arcs into node n are `source[first_arc[n]:first_arc[n + 1]]`."""
    source: NDArray[np.int32]
    """Shape [E]: node from which each arc comes."""
    starts: NDArray[np.bool_]
    """Shape [N]: may a sentence begin with this node?"""
    word: NDArray[np.int32]
    """Shape [N]: index into `words` of the word that ends at this node, or -1 inside a word."""
    final: NDArray[np.int32]
    """Shape [N]: index into `commands` of the command that is complete at this node, or -1."""
    words: tuple[Word, ...]
    commands: tuple[Command, ...]
    slot_values: SlotValues
    neighbours: Neighbours = field(default_factory=dict)
    """What the words are one sound away from; empty in graphs that nobody listens with."""

    def interpret(self, path: Sequence[int]) -> Interpretation:
        """Tell what the nodes of a complete path mean.

        Raises:
            ValueError: the last node of `path` completes no command.
        """
        command_index = int(self.final[path[-1]])
        if command_index < 0:
            raise ValueError("the path completes no command")
        words = (self.words[index] for index in self.word[np.asarray(path)] if index >= 0)
        return interpret(self.commands[command_index].name, words, self.slot_values)

    def followers(self) -> list[list[int]]:
        """Return per node the nodes that may follow."""
        after: list[list[int]] = [[] for _ in self.label]
        targets = np.repeat(np.arange(len(self.label)), np.diff(self.first_arc))
        for source, target in zip(self.source.tolist(), targets.tolist(), strict=True):
            after[source].append(target)
        return after

    def enabled(self, commands: Collection[str]) -> NDArray[np.bool_]:
        """Shape [N]: from which nodes can a sentence still end in one of `commands`?

        A decoder that walks only these nodes, and lets sentences end only where `final` names one of
        `commands`, cannot hear the others. Built-in commands count like any other: name them to keep them.
        """
        wanted = [index for index, command in enumerate(self.commands) if command.name in commands]
        # Lists: looking at arrays node by node would hold the listener up for a second in large grammars.
        alive = np.isin(self.final, wanted).tolist()
        first_arc, source = self.first_arc.tolist(), self.source.tolist()
        for node in range(len(alive) - 1, -1, -1):
            if alive[node]:
                for before in source[first_arc[node] : first_arc[node + 1]]:
                    alive[before] = True
        return np.array(alive)
