"""Templates to word automata: every template is built backwards, in front of the state that follows it.

A piece of text that no space separates from what follows it is kept open until its word is whole, so
`light[s]` gives the words `light` and `lights`. Such open ends are what `Ends` holds.
"""

import re
from collections.abc import Callable

from hassil.expression import (
    Alternative,
    Expression,
    Group,
    ListReference,
    Permutation,
    RuleReference,
    TextChunk,
)

from agent.errors import GrammarError
from agent.grammar.automaton import Automata
from agent.grammar.graph import Word
from agent.grammar.lexicon import HAN, normal
from agent.grammar.numbers import MINUS, POINT, NumberWords

Ends = tuple[tuple[str, int], ...]
"""Possible continuations: (text directly joined to what stands before, state after that text)."""

MAX_ENDS = 2_000
MAX_PERMUTED = 8
MAX_SEGMENT = 4
"""Characters of Chinese text that are one word, unless the author puts a space."""
_MAX_DEPTH = 120
_LETTER = rf"(?:(?!{HAN.pattern})[^\W\d_])"
_TOKEN = re.compile(
    rf"(?P<han>{HAN.pattern}+)|(?P<number>(?:(?<!\S)-)?\d+(?:\.\d+)?)"
    rf"|(?P<word>{_LETTER}+(?:['’]{_LETTER}+)*['’]?)"
)
IGNORED = frozenset(" \t\n,.?!:，。？！、：-–")
"""Characters that separate words and say nothing."""
_SEPARATOR = re.compile(r"(?<!\d)\.|\.(?!\d)|[\t\n,?!:，。？！、：–]")


class WordStates:
    """A store of word automata: states over numbered `Word`s."""

    def __init__(self, language: str) -> None:
        self.automata = Automata()
        self.words: list[Word] = []
        self._numbers: dict[Word, int] = {}
        self.language = language
        self.number_words = NumberWords(self.say, self.union, language)

    def say(self, text: str, after: int, opens: str | None = None, closes: str | None = None) -> int:
        """The state in which the word `text` comes first."""
        word = Word(text, opens, closes)
        number = self._numbers.setdefault(word, len(self.words))
        if number == len(self.words):
            self.words.append(word)
        return self.automata.state({number: after})

    def union(self, states: list[int]) -> int:
        """The state for any of several."""
        return self.automata.union(states)

    def minus(self, after: int) -> int:
        """The state in which a number turns negative, as people say it."""
        return self.union([self.text(said, after) for said in MINUS[self.language]])

    def text(self, text: str, after: int) -> int:
        """The state in which all words of `text` come first; numerals are read as numbers."""
        for match in reversed(list(_TOKEN.finditer(text))):
            token = match.group()
            if match.lastgroup == "number":
                after = self._numeral(token, after)
            else:
                for word in reversed(_segments(token)) if match.lastgroup == "han" else (_spelling(token),):
                    after = self.say(word, after)
        return after

    def _numeral(self, token: str, after: int) -> int:
        whole, _, fraction = token.lstrip("-").partition(".")
        numbers = self.number_words
        if fraction:
            for digit in reversed(fraction):
                after = numbers.digits((int(digit),), after)
            after = self.say(POINT[self.language], after)
        if len(whole) > 9 or (len(whole) > 1 and whole[0] == "0"):
            for digit in reversed(whole):
                after = numbers.digits((int(digit),), after)
        else:
            after = numbers.cardinal((int(whole),), after)
        return self.minus(after) if token[0] == "-" else after


class TemplateStates:
    """Builds templates into a store.

    Args:
        store: where the states go.
        rules: expressions of all rules; none may lead back to itself.
        fill: (list reference, state after it) to the state in which any value of that list comes first.
    """

    def __init__(
        self, store: WordStates, rules: dict[str, Expression], fill: Callable[[ListReference, int], int]
    ) -> None:
        self._store = store
        self._rules = rules
        self._fill = fill
        self._known: dict[tuple[int, Ends], tuple[Expression, Ends]] = {}
        """Holds the expressions too: their identity is their key, and is reused once they are gone."""
        self._depth = 0

    def before(self, expression: Expression, after: int) -> int:
        """The state in which any sentence of `expression` comes first, then `after`."""
        return self._close(self._build(expression, (("", after),)))

    def _close(self, ends: Ends) -> int:
        """Make the open text of `ends` into words."""
        return self._store.union([self._store.text(text, state) for text, state in ends])

    def _build(self, expression: Expression, ends: Ends) -> Ends:
        if isinstance(expression, TextChunk):
            return self._text(expression.text, ends)
        key = id(expression), ends
        if key not in self._known:
            self._depth += 1
            if self._depth > _MAX_DEPTH:
                raise GrammarError("rules and brackets are nested too deep. Flatten them")
            self._known[key] = expression, self._group(expression, ends)
            self._depth -= 1
        return self._known[key][1]

    def _group(self, expression: Expression, ends: Ends) -> Ends:
        if isinstance(expression, ListReference):
            return (("", self._fill(expression, self._close(ends))),)
        if isinstance(expression, RuleReference):
            return self._build(self._rules[expression.rule_name], ends)
        if not isinstance(expression, Group):
            raise GrammarError(f"{type(expression).__name__} is not supported. Rewrite the template")
        if isinstance(expression, Alternative):
            return self._any([self._build(item, ends) for item in expression.items])
        if isinstance(expression, Permutation):
            if len(expression.items) > MAX_PERMUTED:
                raise GrammarError(f"more than {MAX_PERMUTED} parts in any order. Split the sentence")
            return self._permutation(tuple(expression.items), ends, {})
        for item in reversed(expression.items):
            ends = self._build(item, ends)
        return ends

    def _permutation(
        self, items: tuple[Expression, ...], ends: Ends, known: dict[tuple[int, ...], Ends]
    ) -> Ends:
        """All of `items` in any order."""
        if not items:
            return ends
        key = tuple(map(id, items))
        if key not in known:
            options = []
            for index, last in enumerate(items):
                others = (*items[:index], *items[index + 1 :])
                options.append(self._build(last, self._permutation(others, ends, known)))
            known[key] = self._any(options)
        return known[key]

    def _any(self, options: list[Ends]) -> Ends:
        merged: dict[str, list[int]] = {}
        for ends in options:
            for text, state in ends:
                merged.setdefault(text, []).append(state)
        if len(merged) > MAX_ENDS:
            raise GrammarError("too many parts of words stand side by side. Put spaces between words")
        return tuple(sorted((text, self._store.union(states)) for text, states in merged.items()))

    def _text(self, text: str, ends: Ends) -> Ends:
        if not text:
            return ends
        head, gap, tail = _SEPARATOR.sub(" ", text).rpartition(" ")
        apart = tuple(end for end in ends if not tail or _apart(tail, end[0]))
        together = tuple((tail + joined, state) for joined, state in ends if (joined, state) not in apart)
        ends = self._any([((tail, self._close(apart)),) if apart else (), together])
        if not gap:
            return ends
        first, _, rest = head.partition(" ")  # what stands before may still be joined to the first word
        return ((first, self._store.text(rest, self._close(ends))),)


def _apart(left: str, right: str) -> bool:
    """Whether two pieces of text are separate words although no space stands between them."""
    return bool(left and right and (HAN.match(left[-1]) or HAN.match(right[0])))


def _spelling(token: str) -> str:
    return token.replace("’", "'") if token.isupper() and len(token) > 1 else normal(token)


def _segments(text: str) -> list[str]:
    """Chinese text to words, so that a character is read as its word asks, and each can be scored."""
    if len(text) <= MAX_SEGMENT:
        return [text]
    from pypinyin.seg.mmseg import seg  # 0.2 s to import: only for Chinese

    words: list[str] = []
    joined = False
    for piece in map(str, seg.cut(text)):  # pieces that are no word of the dictionary come one by one
        if joined and len(piece) == 1 and len(words[-1]) < MAX_SEGMENT:
            words[-1] += piece
        else:
            words.append(piece)
        joined = len(piece) == 1
    return words
