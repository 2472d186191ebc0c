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
    try:
        meanings = _Meanings(sentences)
    except GrammarError:  # too varied to tell; then every word counts
        return sentences
    automata, words = sentences.automata, sentences.words
    marked = Automata()
    carriers: dict[int, int] = {}  # a word's symbol to that of the same word as a carrier
    made: dict[int, int] = {}
    for state in automata.reachable(sentences.start):
        arcs = {}
        for symbol, target in automata.arcs[state]:
            if meanings.carries(state, symbol, target):
                symbol = carriers.setdefault(symbol, len(words) + len(carriers))
            arcs[symbol] = made[target]
        made[state] = marked.state(arcs, automata.outcomes[state])
    return replace(
        sentences,
        automata=marked,
        start=made[sentences.start],
        words=(*words, *(replace(words[symbol], carrier=True) for symbol in carriers)),
    )


class _Meanings:
    """What can still be meant in each state: its sentences without the words outside slots."""

    def __init__(self, sentences: Sentences) -> None:
        self._automata, self._words = sentences.automata, sentences.words
        states = self._automata.reachable(sentences.start)
        self._in_slot = {sentences.start: False}
        for state in reversed(states):
            for symbol, target in self._automata.arcs[state]:
                word = self._words[symbol]
                self._in_slot[target] = (self._in_slot[state] or bool(word.opens)) and not word.closes
        store = Automata(MAX_LENGTH + 1)
        end = store.state({}, 0)
        self._of: dict[int, int] = {}
        for state in states:
            outcome = self._automata.outcomes[state]
            told: dict[int, int] = {}
            if outcome >= 0 and not sentences.commands[outcome].builtin:
                told[len(self._words) + outcome] = end
            untold = []
            for symbol, target in self._automata.arcs[state]:
                if self._in_slot[state] or self._words[symbol].opens:
                    told[symbol] = self._of[target]
                else:
                    untold.append(self._of[target])
            self._of[state] = store.union([store.state(told), *untold])
        everything = self._of[sentences.start]
        self._everything = everything if store.count(everything) > 1 else None

    def carries(self, state: int, symbol: int, target: int) -> bool:
        """Tell whether nothing hangs on a word: an arc of the sentences' automaton."""
        if self._of[target] != self._everything or self._in_slot[state] or self._words[symbol].opens:
            return False
        ways = [after for _, after in self._automata.arcs[state] if self._of[after] != NOTHING]
        return len(ways) > 1 and self._automata.outcomes[target] < 0
