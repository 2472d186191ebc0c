"""Looking at a grammar: random sentences, how many there are, how a typed one is read."""

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from agent.grammar.graph import Interpretation, Word
from agent.grammar.lexicon import HAN, Lexicon
from agent.grammar.sentences import Sentences
from agent.grammar.words import IGNORED


@dataclass(frozen=True, slots=True)
class Parse:
    """One way to read a typed sentence."""

    words: tuple[Word, ...]
    sounds: tuple[tuple[str, ...], ...]
    """Per word, its first pronunciation."""
    meaning: Interpretation


@dataclass(frozen=True, slots=True)
class NoParse:
    """A typed sentence that is not in the grammar."""

    read: str
    """How far it goes."""
    refused: str
    """The word that does not fit there; empty where more should have come."""
    expected: tuple[str, ...]
    """Words that may come next, those most like `refused` first; empty where it should have ended."""
    complete: bool
    """What was read is a whole sentence."""


def sample(sentences: Sentences, seed: int) -> Iterator[tuple[tuple[Word, ...], Interpretation]]:
    """Random sentences without end: every command equally often, then every next word equally likely."""
    automata = sentences.automata
    ends: dict[int, int] = {}
    for state in automata.reachable(sentences.start):
        own = automata.outcomes[state]
        ends[state] = 1 << own if own >= 0 else 0
        for _, target in automata.arcs[state]:
            ends[state] |= ends[target]
    chooser = random.Random(seed)  # noqa: S311 - examples, not secrets
    possible = [outcome for outcome in range(len(sentences.commands)) if ends[sentences.start] >> outcome & 1]
    while True:
        outcome = chooser.choice(possible)
        state, words = sentences.start, []
        while True:
            arcs = [arc for arc in automata.arcs[state] if ends[arc[1]] >> outcome & 1]
            choice = chooser.randrange(len(arcs) + (automata.outcomes[state] == outcome))
            if choice == len(arcs):
                break
            words.append(sentences.words[arcs[choice][0]])
            state = arcs[choice][1]
        yield tuple(words), sentences.interpret(words, outcome)


def counts(sentences: Sentences) -> Mapping[str, int]:
    """How many sentences each command has."""
    automata = sentences.automata
    known: dict[int, dict[int, int]] = {}
    for state in automata.reachable(sentences.start):
        totals = {automata.outcomes[state]: 1} if automata.outcomes[state] >= 0 else {}
        for _, target in automata.arcs[state]:
            for outcome, number in known[target].items():
                totals[outcome] = totals.get(outcome, 0) + number
        known[state] = totals
    return {command.name: known[sentences.start].get(i, 0) for i, command in enumerate(sentences.commands)}


def explain(sentences: Sentences, lexicon: Lexicon, text: str) -> Parse | NoParse:
    """Read a typed sentence. Case, punctuation and, in Chinese, spaces do not matter."""
    wanted = _plain(text)
    automata = sentences.automata
    best, best_state = 0, sentences.start
    # Depth first; a (state, position) that led nowhere once leads nowhere again.
    stack: list[tuple[int, int, tuple[int, ...]]] = [(sentences.start, 0, ())]
    seen = set()
    while stack:
        state, position, symbols = stack.pop()
        if (state, position) in seen:
            continue
        seen.add((state, position))
        if position > best:
            best, best_state = position, state
        if position == len(wanted) and automata.outcomes[state] >= 0:
            words = tuple(sentences.words[symbol] for symbol in symbols)
            sounds = tuple(lexicon[word.text].variants[0] for word in words)
            return Parse(words, sounds, sentences.interpret(words, automata.outcomes[state]))
        for symbol, target in automata.arcs[state]:
            piece = _plain(sentences.words[symbol].text)
            if wanted.startswith(piece, position):
                stack.append((target, position + len(piece), (*symbols, symbol)))
    refused = wanted[best:].partition(" ")[0]
    expected = sorted({sentences.words[symbol].text for symbol, _ in automata.arcs[best_state]})
    close = get_close_matches(refused, expected)
    rest = [word for word in expected if word not in close]
    return NoParse(wanted[:best].strip(), refused, (*close, *rest), automata.outcomes[best_state] >= 0)


def _plain(text: str) -> str:
    """Comparable text: every word ends with one space; Chinese characters are words of their own."""
    spaced = "".join(
        " " if character in IGNORED else character for character in text.replace("’", "'").casefold()
    )
    spaced = re.sub(HAN, lambda match: f" {match.group()} ", spaced)
    return "".join(f"{word} " for word in spaced.split())
