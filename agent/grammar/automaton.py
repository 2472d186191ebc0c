"""Deterministic, acyclic, minimal automata.

States are values: two states from which the same sentences follow are the same state, so whatever is built is
minimal at once. A state is made after the states it leads to, hence its number is larger than theirs.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from agent.errors import GrammarError

NOTHING = 0
"""The state from which no sentence follows."""

MAX_STATES = 1_000_000
MAX_ARCS = 5_000_000
MAX_UNIONS = 200_000
"""Sets of states made into one; sentences that begin alike in many ways need the most."""
MAX_LENGTH = 200
"""Symbols in the longest sentence."""


class ConflictError(GrammarError):
    """One sentence ends in two different outcomes."""

    def __init__(self, symbols: Sequence[int], outcomes: tuple[int, int]) -> None:
        super().__init__(f"one sentence has the outcomes {outcomes[0]} and {outcomes[1]}")
        self.symbols = tuple(symbols)
        self.outcomes = outcomes


class Automata:
    """A store of states over integer symbols; each final state has an outcome, an integer >= 0.

    Args:
        max_length: symbols in the longest sentence.
        symbols: what they are, in words.
    """

    def __init__(self, max_length: int = MAX_LENGTH, symbols: str = "words") -> None:
        self._max_length, self._symbols = max_length, symbols
        self._ids: dict[tuple[int, tuple[tuple[int, int], ...]], int] = {(-1, ()): NOTHING}
        self._unions: dict[frozenset[int], int] = {}
        self._lengths = [0]
        self._arc_count = 0
        self.outcomes = [-1]
        """Outcome of each state, -1 if no sentence ends there."""
        self.arcs: list[tuple[tuple[int, int], ...]] = [()]
        """Of each state: (symbol, next state), symbols ascending."""

    def state(self, arcs: Mapping[int, int], outcome: int = -1) -> int:
        """The state with these arcs (symbol to next state) and this outcome.

        Raises:
            GrammarError: too many states, too many arcs or too long sentences.
        """
        key = outcome, tuple(sorted(item for item in arcs.items() if item[1] != NOTHING))
        number = self._ids.get(key)
        if number is None:
            number = self._ids[key] = len(self.arcs)
            self.outcomes.append(outcome)
            self.arcs.append(key[1])
            length = 1 + max((self._lengths[target] for _, target in key[1]), default=-1)
            self._lengths.append(length)
            self._arc_count += len(key[1])
            if length > self._max_length:
                message = f"a sentence has more than {self._max_length} {self._symbols}. Shorten it"
                raise GrammarError(message)
            if number > MAX_STATES or self._arc_count > MAX_ARCS or len(self._unions) > MAX_UNIONS:
                raise GrammarError(
                    "the grammar has too many alternatives to compile. Split or simplify its sentences"
                )
        return number

    def union(self, states: Iterable[int]) -> int:
        """The state from which every sentence of every one of `states` follows.

        Raises:
            ConflictError: a sentence has two different outcomes.
        """
        return self._union(frozenset(states), [])

    def _union(self, states: frozenset[int], path: list[int]) -> int:
        states -= {NOTHING}
        if len(states) < 2:
            return next(iter(states), NOTHING)
        known = self._unions.get(states)
        if known is not None:
            return known
        outcome = -1
        targets: dict[int, set[int]] = {}
        for state in sorted(states):
            mine = self.outcomes[state]
            if mine >= 0:
                if outcome not in (-1, mine):
                    raise ConflictError(path, (outcome, mine))
                outcome = mine
            for symbol, target in self.arcs[state]:
                targets.setdefault(symbol, set()).add(target)
        arcs = {}
        for symbol, group in targets.items():
            path.append(symbol)
            arcs[symbol] = self._union(frozenset(group), path)
            path.pop()
        result = self._unions[states] = self.state(arcs, outcome)
        return result

    def reachable(self, start: int) -> list[int]:
        """All states reachable from `start`, each before the states that lead to it."""
        seen = {start}
        stack = [start]
        while stack:
            for _, target in self.arcs[stack.pop()]:
                if target not in seen:
                    seen.add(target)
                    stack.append(target)
        return sorted(seen)

    def count(self, start: int) -> int:
        """How many sentences follow from `start`."""
        counts: dict[int, int] = {}
        for state in self.reachable(start):
            ends = self.outcomes[state] >= 0
            counts[state] = ends + sum(counts[target] for _, target in self.arcs[state])
        return counts[start]

    def sentences(self, start: int) -> Iterator[tuple[tuple[int, ...], int]]:
        """Every sentence from `start` as (symbols, outcome)."""
        stack: list[tuple[int, tuple[int, ...]]] = [(start, ())]
        while stack:
            state, symbols = stack.pop()
            if self.outcomes[state] >= 0:
                yield symbols, self.outcomes[state]
            stack.extend((target, (*symbols, symbol)) for symbol, target in reversed(self.arcs[state]))
