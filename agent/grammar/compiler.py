"""A grammar to the phone graph that the decoder walks.

Words become their sounds inside the word automaton: pronunciations stand in parallel, share what they begin
with, and the node of a word's last sound carries the word. The result is minimal again: sounds after which
the same follows are one node.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import structlog

from agent.errors import GrammarError
from agent.grammar.automaton import Automata
from agent.grammar.cache import GraphCache
from agent.grammar.carriers import mark_carriers
from agent.grammar.checks import refused, silent_words, spoken_claims
from agent.grammar.fault import refuse_errors
from agent.grammar.graph import Graph
from agent.grammar.lexicon import Lexicon, Sounds
from agent.grammar.neighbours import find_neighbours
from agent.grammar.resolve import parse_templates
from agent.grammar.schema import Grammar
from agent.grammar.sentences import Sentences, build_sentences

MAX_SOUNDS = 4_000
"""In the longest sentence."""

_log = structlog.get_logger()
_Trie = dict[int, "_Trie | int"]


def compile_grammar(grammar: Grammar, tokens: Sequence[str], cache_dir: Path | None = None) -> Graph:
    """Compile `grammar` for a model with these `tokens`.

    Args:
        grammar: what can be said.
        tokens: token table of the model.
        cache_dir: folder of compiled graphs, found again by content; created if absent.

    Raises:
        FaultyGrammarError: the grammar has a fault; each with its line and column.
        GrammarError: it needs sounds that `tokens` lacks, or is too large.
    """
    cache = GraphCache(cache_dir, grammar, tokens) if cache_dir else None
    graph = cache.load() if cache else None
    if graph is None:
        sentences, lexicon = audible_sentences(grammar)
        graph = build_graph(mark_carriers(sentences), lexicon, tokens)
        texts = (word.text for word in graph.words)
        graph = replace(graph, neighbours=find_neighbours(texts, lexicon, tokens))
        _log.info(
            "grammar_compiled", grammar=grammar.name, sentences=sentences.count(), nodes=len(graph.label)
        )
        if cache:
            cache.save(graph)
    return graph


def accepted_sentences(grammar: Grammar) -> Sentences:
    """Build the sentences of a grammar that has no error.

    Raises:
        FaultyGrammarError: it has.
    """
    templates = parse_templates(grammar)
    refuse_errors(refused(templates))
    sentences = build_sentences(templates)
    refuse_errors(spoken_claims(grammar, sentences))
    return sentences


def audible_sentences(grammar: Grammar) -> tuple[Sentences, Lexicon]:
    """Build the sentences of a grammar that has no error, and the sounds of their words.

    Raises:
        FaultyGrammarError: it has, or of a word nobody knows how it sounds.
    """
    sentences, lexicon = accepted_sentences(grammar), Lexicon(grammar.pronounce)
    refuse_errors(silent_words(grammar, sentences, lexicon))
    return sentences, lexicon


def build_graph(sentences: Sentences, lexicon: Lexicon, tokens: Sequence[str]) -> Graph:
    """Turn words into sounds; every word has some.

    Raises:
        GrammarError: `tokens` lacks sounds, or there are too many.
    """
    used = {
        symbol
        for state in sentences.automata.reachable(sentences.start)
        for symbol, _ in sentences.automata.arcs[state]
    }
    spoken = {symbol: lexicon[sentences.words[symbol].text].variants for symbol in used}
    _check_sounds(sentences, spoken, tokens)
    number = {token: index for index, token in enumerate(tokens)}
    width = len(tokens)
    # A symbol of the sound automaton is its token, plus `width` times (1 + the word that ends there).
    sounds = Automata(MAX_SOUNDS, "sounds")
    spelled = {
        symbol: [
            (*(number[sound] for sound in variant[:-1]), number[variant[-1]] + width * (symbol + 1))
            for variant in variants
        ]
        for symbol, variants in spoken.items()
    }
    made: dict[int, int] = {}
    for state in sentences.automata.reachable(sentences.start):
        trie: _Trie = {}
        for symbol, target in sentences.automata.arcs[state]:
            for path in spelled[symbol]:
                branch = trie
                for step in path[:-1]:
                    branch = branch.setdefault(step, {})  # type: ignore[assignment]
                branch[path[-1]] = made[target]
        made[state] = _add(sounds, trie, sentences.automata.outcomes[state])
    return _number_nodes(sounds, made[sentences.start], sentences, tuple(tokens))


def _add(sounds: Automata, trie: _Trie, outcome: int = -1) -> int:
    arcs = {
        step: branch if isinstance(branch, int) else _add(sounds, branch) for step, branch in trie.items()
    }
    return sounds.state(arcs, outcome)


def _number_nodes(sounds: Automata, start: int, sentences: Sentences, tokens: tuple[str, ...]) -> Graph:
    """Move labels from arcs to nodes: a node is a sound together with the state after it."""
    width = len(tokens)
    outcomes = np.asarray(sounds.outcomes, np.int32)
    arcs = np.asarray(
        [
            (state, symbol, target)
            for state in sounds.reachable(start)
            for symbol, target in sounds.arcs[state]
        ],
        np.int64,
    ).reshape(-1, 3)
    if not len(arcs):
        raise GrammarError("the grammar holds no sentence. Give one of its commands words")
    # States that lead to others have larger numbers: descending order of the state after it is topological.
    span = width * (len(sentences.words) + 1)
    key = (len(outcomes) - arcs[:, 2]) * span + arcs[:, 1]
    nodes, node_of_arc = np.unique(key, return_inverse=True)
    after, symbol = len(outcomes) - nodes // span, nodes % span
    # An arc from state s into node d stands for arcs from all nodes after which comes s: one run of nodes.
    by_node = np.argsort(node_of_arc, kind="stable")
    state, node = arcs[by_node, 0], node_of_arc[by_node]
    low = np.searchsorted(-after, -state, side="left")
    counts = np.searchsorted(-after, -state, side="right") - low
    offsets = np.cumsum(counts) - counts
    source = np.arange(counts.sum()) - np.repeat(offsets - low, counts)
    first_arc = np.concatenate([[0], np.cumsum(np.bincount(node, weights=counts, minlength=len(nodes)))])
    starts = np.zeros(len(nodes), np.bool_)
    starts[node[state == start]] = True
    word = symbol // width - 1
    kept, word = np.unique(np.append(word, -1), return_inverse=True)
    return Graph(
        tokens=tokens,
        label=(symbol % width).astype(np.int32),
        first_arc=first_arc.astype(np.int32),
        source=source.astype(np.int32),
        starts=starts,
        word=(word[:-1] - 1).astype(np.int32),
        final=outcomes[after],
        words=tuple(sentences.words[index] for index in kept[1:]),
        commands=sentences.commands,
        slot_values=sentences.slot_values,
    )


def sounds_of(sentences: Sentences, lexicon: Lexicon) -> tuple[str, ...]:
    """A token table of just the sounds that `sentences` need, for graphs that no model walks."""
    variants = (variant for word in sentences.words for variant in lexicon[word.text].variants)
    return ("<blank>", "<noise>", *sorted({sound for variant in variants for sound in variant}))


def _check_sounds(sentences: Sentences, spoken: dict[int, tuple[Sounds, ...]], tokens: Sequence[str]) -> None:
    missing: dict[str, str] = {}
    for symbol, variants in spoken.items():
        text = sentences.words[symbol].text
        for sound in {sound for variant in variants for sound in variant}.difference(tokens):
            missing.setdefault(sound, text)
    if missing:
        listed = ", ".join(f"{sound} (in `{text}`)" for sound, text in sorted(missing.items()))
        raise GrammarError(f"the model does not know these sounds: {listed}. Use a model for this language")
