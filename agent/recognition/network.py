"""The search network: the phone graph with CTC's own states made explicit.

A CTC path through node n first repeats the sound of n, then may rest in blank. So every node becomes two
states, and the rule that the same sound twice in a row needs a blank between becomes the absence of an arc
(Graves et al. 2006, section 4.1). After this expansion decoding is a plain Viterbi search.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from agent.grammar.graph import Graph


@dataclass(frozen=True, eq=False)
class Network:
    """States of a graph with N nodes: 2n sounds node n, 2n + 1 rests after it, 2N is before the sentence.

    Arcs are grouped by the state they leave (compressed sparse rows), S = 2N + 1 states, E arcs.
    """

    graph: Graph
    rest: int
    """Emission index of resting: one past the token table."""
    emission: NDArray[np.intp]
    """Shape [S]: which emission each state consumes."""
    first_arc: NDArray[np.intp]
    """Shape [S]."""
    arcs_out: NDArray[np.intp]
    """Shape [S]: how many arcs leave each state."""
    target: NDArray[np.intp]
    """Shape [E]."""
    meaning: NDArray[np.uint64]
    """Shape [E]: fingerprint of the slot word that taking this arc completes, 0 for none."""
    command: NDArray[np.int32]
    """Shape [S]: command that is complete in this state, or -1."""
    may_continue: NDArray[np.bool_]
    """Shape [S]: can the sentence go on from this state?"""
    foreign: NDArray[np.bool_]
    """Shape [V]: sounds of a language that the grammar does not speak. The loop may not use them either: a
    model of two languages would hear one in the other."""
    native: NDArray[np.bool_]
    """Shape [V]: sounds of the languages that the grammar speaks."""
    pinyin: NDArray[np.bool_]
    """Shape [V]: sounds of Mandarin."""

    @property
    def start(self) -> int:
        """The state before the sentence."""
        return len(self.emission) - 1

    def after(self, node: int) -> list[int]:
        """Return the nodes that may follow a node."""
        rest = 2 * node + 1
        first = self.first_arc[rest]
        targets = self.target[first : first + self.arcs_out[rest]]
        return [int(target) // 2 for target in targets if target != rest]


def build_network(graph: Graph, commands: Collection[str] | None = None) -> Network:
    """Expand a graph to its CTC states.

    Args:
        graph: N nodes.
        commands: names of those that can be said now; all of them if None. The others cannot be heard at all,
            which is stronger than refusing them afterwards.
    """
    nodes = len(graph.label)
    sayable: Sequence[int] = range(len(graph.commands))
    usable = np.ones(nodes, bool)
    if commands is not None:
        sayable = [index for index, command in enumerate(graph.commands) if command.name in commands]
        usable = graph.enabled(commands)
    destination = np.repeat(np.arange(nodes), np.diff(graph.first_arc))
    source = graph.source.astype(np.intp)
    keep = usable[source] & usable[destination]
    source, destination = source[keep], destination[keep]
    node = np.flatnonzero(usable)
    changes_sound = graph.label[source] != graph.label[destination]
    first = np.flatnonzero(graph.starts & usable)

    leaves = np.concatenate(
        [
            2 * node,
            2 * node,
            2 * node + 1,
            2 * source[changes_sound],
            2 * source + 1,
            np.full(len(first), 2 * nodes),
        ]
    )
    enters = np.concatenate(
        [2 * node, 2 * node + 1, 2 * node + 1, 2 * destination[changes_sound], 2 * destination, 2 * first]
    )
    order = np.argsort(leaves, kind="stable")
    leaves, enters = leaves[order], enters[order]
    arcs_out = np.bincount(leaves, minlength=2 * nodes + 1)

    rest = len(graph.tokens)
    emission = np.full(2 * nodes + 1, rest, np.intp)
    emission[0 : 2 * nodes : 2] = graph.label
    command = np.full(2 * nodes + 1, -1, np.int32)
    command[:-1] = np.repeat(np.where(np.isin(graph.final, sayable), graph.final, -1), 2)
    # ARPAbet is written in capitals and pinyin in small letters; <blank> and <noise> belong to both
    common = np.array([token.startswith("<") for token in graph.tokens])
    arpabet = np.array([token.isupper() for token in graph.tokens])
    foreign = ~common & ~np.isin(arpabet, np.unique(arpabet[graph.label]))
    goes_on = np.bincount(source, minlength=nodes) > 0
    return Network(
        graph=graph,
        rest=rest,
        emission=emission,
        first_arc=np.cumsum(arcs_out) - arcs_out,
        arcs_out=arcs_out,
        target=enters,
        meaning=np.where(leaves != enters, _slot_fingerprints(graph)[enters], np.uint64(0)),
        command=command,
        may_continue=np.append(np.repeat(goes_on, 2), True),
        foreign=foreign,
        native=~foreign & ~common,
        pinyin=~arpabet & ~common,
    )


def _slot_fingerprints(graph: Graph) -> NDArray[np.uint64]:
    """Shape [S]: fingerprint of the slot word that ends in a state, 0 where no slot word does.

    Words outside slots do not change what a sentence of a given command means, so they count for nothing.
    """
    nodes = len(graph.label)
    fingerprint = [0] * (2 * nodes + 1)
    inside = [""] * nodes
    first_arc, sources, ends = graph.first_arc.tolist(), graph.source.tolist(), graph.word.tolist()
    for node in range(nodes):
        arcs = sources[first_arc[node] : first_arc[node + 1]]
        slot = next((inside[source] for source in arcs if inside[source]), "")
        if ends[node] >= 0:
            word = graph.words[ends[node]]
            slot = word.opens or slot
            if slot:
                fingerprint[2 * node] = crc32(f"{slot}\0{word.text}".encode()) + 1
            if word.closes:
                slot = ""
        inside[node] = slot
    return np.array(fingerprint, np.uint64)
