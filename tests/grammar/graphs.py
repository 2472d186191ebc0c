"""Looking at compiled graphs from outside, without the code under test."""

from collections.abc import Iterator
from itertools import product

import numpy as np

from agent.grammar.compiler import audible_sentences, build_graph, sounds_of
from agent.grammar.graph import Graph
from agent.grammar.lexicon import Lexicon
from agent.grammar.load import parse_grammar
from agent.grammar.schema import Grammar


def graph_of(grammar: Grammar) -> Graph:
    sentences, lexicon = audible_sentences(grammar)
    return build_graph(sentences, lexicon, sounds_of(sentences, lexicon))


def one_command(*sentences: str, extra: str = "", language: str = "en") -> Grammar:
    """A grammar with the one command `go` and no other."""
    listed = "".join(f"\n      - '{sentence}'" for sentence in sentences)
    return parse_grammar(
        f"name: test\nlanguage: {language}\nconfirm: []\ncancel: []\n{extra}\n"
        f"commands:\n  go:\n    topic: go\n    sentences:{listed}\n"
    )


def followers(graph: Graph) -> list[list[int]]:
    after: list[list[int]] = [[] for _ in graph.label]
    for node in range(len(graph.label)):
        for source in graph.source[graph.first_arc[node] : graph.first_arc[node + 1]]:
            after[source].append(node)
    return after


def all_paths(graph: Graph) -> Iterator[tuple[int, ...]]:
    """Every complete path."""
    after = followers(graph)
    stack: list[tuple[int, ...]] = [(int(node),) for node in np.flatnonzero(graph.starts)]
    while stack:
        path = stack.pop()
        if graph.final[path[-1]] >= 0:
            yield path
        stack += [(*path, node) for node in after[path[-1]]]


def text_of(graph: Graph, path: tuple[int, ...]) -> str:
    return " ".join(graph.words[word].text for word in graph.word[list(path)] if word >= 0)


def texts(graph: Graph) -> set[str]:
    return {text_of(graph, path) for path in all_paths(graph)}


def accepts(graph: Graph, sounds: tuple[str, ...]) -> list[tuple[int, ...]]:
    """All complete paths that sound exactly like `sounds`."""
    after = followers(graph)
    first = [int(n) for n in np.flatnonzero(graph.starts) if graph.tokens[graph.label[n]] == sounds[0]]
    paths: list[tuple[int, ...]] = [(node,) for node in first]
    for sound in sounds[1:]:
        paths = [(*p, n) for p in paths for n in after[p[-1]] if graph.tokens[graph.label[n]] == sound]
    return [path for path in paths if graph.final[path[-1]] >= 0]


def sounds_of_text(text: str, lexicon: Lexicon) -> Iterator[tuple[str, ...]]:
    """Every way to say the words of `text`."""
    for variants in product(*(lexicon[word].variants for word in text.split())):
        yield tuple(sound for variant in variants for sound in variant)
