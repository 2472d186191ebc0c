"""Words of carrier phrases: "can I have", "please", with which anything may be asked for.

Nothing hangs on such a word, so it need not be said well. Every word that rules something out must be.
"""

from dataclasses import replace

from agent.errors import GrammarError
from agent.grammar.automaton import MAX_LENGTH, NOTHING, Automata
from agent.grammar.sentences import Sentences


def mark_carriers(sentences: Sentences) -> Sentences:
    """Mark the words after which everything can still be meant that a command of the grammar can mean.

    Only where another word, or none, may stand in its place: what every sentence must begin with is as good
    as a wake phrase. Built-in commands do not count, since they are heard only where they are waited for.
    """
    automata, words = sentences.automata, sentences.words
    meanings = Automata(MAX_LENGTH + 1)
    try:
        meant = _still_meant(sentences, meanings)
    except GrammarError:  # too varied to tell; then every word counts
        return sentences
    everything = meant[sentences.start]
    if meanings.count(everything) < 2:  # nothing to choose from: each word tells the command from talk
        return sentences
    marked = Automata()
    carriers: dict[int, int] = {}  # a word's symbol to that of the same word as a carrier
    made: dict[int, int] = {}
    for state in automata.reachable(sentences.start):
        one_of_several = sum(meant[target] != NOTHING for _, target in automata.arcs[state]) > 1
        arcs = {}
        for symbol, target in automata.arcs[state]:
            if one_of_several and meant[target] == everything and automata.outcomes[target] < 0:
                symbol = carriers.setdefault(symbol, len(words) + len(carriers))
            arcs[symbol] = made[target]
        made[state] = marked.state(arcs, automata.outcomes[state])
    return replace(
        sentences,
        automata=marked,
        start=made[sentences.start],
        words=(*words, *(replace(words[symbol], carrier=True) for symbol in carriers)),
    )


def _still_meant(sentences: Sentences, meanings: Automata) -> dict[int, int]:
    """Per state, what can still be meant: a state of `meanings`, its sentences without words outside slots.

    Raises:
        GrammarError: there is too much.
    """
    automata, words = sentences.automata, sentences.words
    states = automata.reachable(sentences.start)
    in_slot = {sentences.start: False}
    for state in reversed(states):
        for symbol, target in automata.arcs[state]:
            in_slot[target] = (in_slot[state] or bool(words[symbol].opens)) and not words[symbol].closes
    end = meanings.state({}, 0)
    meant: dict[int, int] = {}
    for state in states:
        outcome = automata.outcomes[state]
        told: dict[int, int] = {}
        if outcome >= 0 and not sentences.commands[outcome].builtin:
            told[len(words) + outcome] = end
        untold = []
        for symbol, target in automata.arcs[state]:
            if in_slot[state] or words[symbol].opens:
                told[symbol] = meant[target]
            else:
                untold.append(meant[target])
        meant[state] = meanings.union([meanings.state(told), *untold])
    return meant
