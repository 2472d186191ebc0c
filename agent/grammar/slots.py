"""What a slot may hold: the automaton of its spoken values, and the mapping from spoken words to values."""

from bisect import bisect_left
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cached_property

from agent.errors import GrammarError
from agent.grammar.automaton import NOTHING
from agent.grammar.graph import Graph
from agent.grammar.numbers import (
    DIGITS,
    POINT,
    Values,
    may_end_number,
    numeral,
    spelled_digit,
    split,
)
from agent.grammar.schema import NamedValues, NumberRange, Reading, Scalar, SlotList, Spelled, same
from agent.grammar.spelling import ICAO, LETTERS
from agent.grammar.template import parse
from agent.grammar.words import TemplateStates, WordStates

_LETTER_OF = ICAO | {letter: letter for letter in LETTERS}

MAX_PHRASES = 200_000
"""Spoken forms of all values of one list."""
_END = 0


def phrases(definition: SlotList, store: WordStates, after: int) -> int:
    """The state in `store` in which any spoken value of `definition` comes first, then `after`."""
    if isinstance(definition, NamedValues):
        return store.union([_said(named.spoken, store, after) for named in definition.values])
    if isinstance(definition, Spelled):
        return _spelled(definition, store, after)
    return _number(definition, store, after)


def values(definition: SlotList, language: str) -> Mapping[str, Scalar]:
    """Spoken words, joined by single spaces, to value.

    Raises:
        GrammarError: one phrase stands for two values, a value has no words, or a list has too many phrases.
    """
    if not isinstance(definition, NamedValues):
        spoken = SpokenValues(definition, language)
        spoken.require_plain_units()
        return spoken
    store = WordStates(language)
    result: dict[str, Scalar] = {}
    end = store.automata.state({}, _END)
    for named in definition.values:
        silent = True
        for phrase in filter(None, _sentences(store, _said(named.spoken, store, end))):
            silent = False
            known = result.setdefault(phrase, named.value)
            if known != named.value or type(known) is not type(named.value):
                raise GrammarError(
                    f"`{phrase}` stands for both {known!r} and {named.value!r}. Give each value its own words"
                )
            if len(result) > MAX_PHRASES:
                raise GrammarError(f"a list has more than {MAX_PHRASES} spoken forms. Leave some out")
        if silent:
            raise GrammarError(
                f"`{named.spoken}` has no words that anybody could say. Write it as it is said"
            )
    return result


def chained(lists: list[Mapping[str, Scalar]]) -> Mapping[str, Scalar]:
    """Return the values of a slot that several lists may fill."""
    return lists[0] if len(lists) == 1 else ChainMap(*lists)  # type: ignore[arg-type]


def disagreement(one: Mapping[str, Scalar], other: Mapping[str, Scalar]) -> str | None:
    """Return a phrase that stands for two values where both lists fill one slot; None if there is none."""
    if isinstance(one, SpokenValues):
        one, other = other, one
    if isinstance(one, SpokenValues) and isinstance(other, SpokenValues):
        shared = (_shared(*pair, one.language) for pair in (*_rivals(one, other), *_rivals(other, one)))
        return next((phrase for phrase in shared if phrase is not None), None)
    return next((phrase for phrase, value in one.items() if not same(other.get(phrase, value), value)), None)


def _rivals(one: "SpokenValues", other: "SpokenValues") -> Iterator[tuple[SlotList, SlotList]]:
    """Yield what means another thing by every phrase of both: text and a number, five hundreds and 500."""
    first, second = one.definition, other.definition
    if isinstance(first, Spelled) and isinstance(second, NumberRange):
        yield first, second
    if isinstance(first, NumberRange) and isinstance(second, NumberRange):
        for words, rest in _overlaps(one.units, other.units):
            unit = f"{words} {rest}".strip()
            yield first.model_copy(update={"unit": unit}), second.model_copy(update={"unit": rest or None})


def _overlaps(units: Sequence[str], others: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (words, rest) of units that are words which may end a number, and then one of `others`."""
    known = set(others)
    for unit in units:
        words = unit.split()
        for length in range(1, len(words) + 1):
            rest = " ".join(words[length:])
            if rest in known and may_end_number(words[:length]):
                yield " ".join(words[:length]), rest


def _shared(one: SlotList, other: SlotList, language: str) -> str | None:
    """Return a phrase of both; None if there is none."""
    store = WordStates(language)
    automata, end = store.automata, store.automata.state({}, _END)
    begin = phrases(one, store, end), phrases(other, store, end)
    stack: list[tuple[tuple[int, int], tuple[int, ...]]] = [(begin, ())]
    seen = set()
    while stack:
        pair, symbols = stack.pop()
        if all(automata.outcomes[state] == _END for state in pair):
            return " ".join(store.words[symbol].text for symbol in symbols)
        if pair not in seen:
            seen.add(pair)
            targets = dict(automata.arcs[pair[1]])
            stack += (
                ((target, targets[symbol]), (*symbols, symbol))
                for symbol, target in automata.arcs[pair[0]]
                if symbol in targets
            )
    return None


def may_be(held: Mapping[str, Scalar], value: Scalar) -> bool:
    """Tell whether a slot, whose lists `chained` was given, may have a value."""
    return any(
        each.may_be(value)
        if isinstance(each, SpokenValues)
        else any(same(value, one) for one in each.values())
        for each in unchained(held)
    )


def unchained(held: Mapping[str, Scalar]) -> list[Mapping[str, Scalar]]:
    """Return the lists that `chained` was given."""
    return list(held.maps) if isinstance(held, ChainMap) else [held]


def ends_spelled(graph: Graph, path: Sequence[int]) -> bool:
    """Tell whether the nodes of a complete path end with a slot of spelled characters."""
    word = graph.words[graph.word[path[-1]]]
    if word.closes is None:
        return False
    held = graph.slot_values[graph.commands[graph.final[path[-1]]].name, word.closes]
    lists = unchained(held)
    return any(isinstance(each, SpokenValues) and isinstance(each.definition, Spelled) for each in lists)


class SpokenValues(Mapping[str, Scalar]):
    """The values of a range or of spelled characters, worked out from the words when asked for."""

    def __init__(self, definition: NumberRange | Spelled, language: str) -> None:
        self.definition = definition
        self.language = language

    def __getitem__(self, spoken: str) -> Scalar:
        try:
            return (
                self._spelled(spoken.split())
                if isinstance(self.definition, Spelled)
                else self._number(spoken)
            )
        except (ValueError, ArithmeticError):
            raise KeyError(spoken) from None

    def require_plain_units(self) -> None:
        """See that no words are the end of a number as well as the beginning of its unit.

        Raises:
            GrammarError: some are, as in `five hundred` with the unit `[hundred]`, or too many units.
        """
        for words, _ in _overlaps(self.units, self.units):
            message = (
                f"`{words}` may be a part of the number, or of the unit. Choose another word for the unit"
            )
            raise GrammarError(message)

    def may_be(self, value: Scalar) -> bool:
        """Tell whether somebody could say a value."""
        definition = self.definition
        if isinstance(definition, Spelled):
            digits = "0123456789"
            allowed = {"digits": digits, "letters": {*LETTERS}, "icao": {*LETTERS, *digits}}[definition.spell]
            fits = isinstance(value, str) and set(value) <= set(allowed)
            return fits and definition.min_length <= len(str(value)) <= definition.max_length
        if isinstance(value, bool | str):
            return False
        return definition.includes(Decimal(str(value)))

    def __iter__(self) -> Iterator[str]:
        store, start = self._automaton
        return _sentences(store, start)

    def __len__(self) -> int:
        store, start = self._automaton
        return store.automata.count(start)

    @cached_property
    def _automaton(self) -> tuple[WordStates, int]:
        store = WordStates(self.language)
        return store, phrases(self.definition, store, store.automata.state({}, _END))

    @cached_property
    def units(self) -> list[str]:
        """Spoken units, longest first."""
        unit = getattr(self.definition, "unit", None)
        if unit is None:
            return [""]
        store = WordStates(self.language)
        start = _said(unit, store, store.automata.state({}, _END))
        if store.automata.count(start) > MAX_PHRASES:
            raise GrammarError(f"a unit has more than {MAX_PHRASES} spoken forms. Leave some out")
        return sorted(_sentences(store, start), key=len, reverse=True)

    def _spelled(self, words: list[str]) -> str:
        text = "".join(_LETTER_OF.get(word) or spelled_digit(word) for word in words)
        if not self.may_be(text):  # another list of the same slot has it
            raise ValueError("no text of this length")
        return text

    def _number(self, spoken: str) -> Scalar:
        unit = next((unit for unit in self.units if not unit or spoken.endswith(" " + unit)), None)
        if unit is None:
            raise ValueError("no unit")
        number = Decimal(numeral(spoken.removesuffix(unit).split()))
        definition = self.definition
        if not isinstance(definition, NumberRange) or not definition.includes(number):
            raise ValueError("no value of the range")
        return float(number) if definition.decimals else int(number)


def _said(template: str, store: WordStates, after: int) -> int:
    """The state in which any sentence of a template that names no list and no rule comes first."""
    return TemplateStates(store, {}, lambda *_: NOTHING).before(parse(template), after)


def _sentences(store: WordStates, start: int) -> Iterator[str]:
    for symbols, _ in store.automata.sentences(start):
        yield " ".join(store.words[symbol].text for symbol in symbols)


def _spelled(definition: Spelled, store: WordStates, after: int) -> int:
    digits = [word for group in DIGITS[store.language] for word in group]
    words = {"digits": digits, "letters": list(LETTERS), "icao": [*ICAO, *digits]}[definition.spell]
    return store.number_words.spelled(words, definition.min_length, definition.max_length, after)


def _number(definition: NumberRange, store: WordStates, after: int) -> int:
    if definition.unit is not None:
        after = _said(definition.unit, store, after)
    scale = 10**definition.decimals
    low, high, step = (
        int(bound * scale) for bound in (definition.minimum, definition.maximum, definition.step)
    )
    every = range(low, high + 1, step)
    options = []
    below = every[: bisect_left(every, 0)]
    if below:
        magnitude = _magnitude(range(-below[-1], -below[0] + 1, step), definition, store, after)
        options.append(store.minus(magnitude))
    options.append(_magnitude(every[len(below) :], definition, store, after))
    return store.union(options)


def _magnitude(every: range, definition: NumberRange, store: WordStates, after: int) -> int:
    """Any of `every`, integers >= 0 that count units of the last decimal."""
    numbers = store.number_words
    places = definition.decimals
    if not places:
        return _whole(every, definition, store, after)
    options = []
    for fraction, whole in split(every, 10**places).items():
        spoken = store.say(POINT[store.language], numbers.fraction(fraction, places, after))
        ends = [spoken, after] if 0 in fraction else [spoken]
        options.append(_whole(whole, definition, store, store.union(ends)))
        if 0 in whole and store.language == "en":  # point five
            some = fraction[1:] if 0 in fraction else fraction
            options.append(store.say(POINT["en"], numbers.fraction(some, places, after)))
    return store.union(options)


def _whole(whole: Values, definition: NumberRange, store: WordStates, after: int) -> int:
    numbers = store.number_words
    options = []
    if Reading.CARDINAL in definition.read:
        options.append(numbers.cardinal(whole, after))
    if Reading.DIGITS in definition.read:
        options.append(numbers.digits(whole, after))
    return store.union(options)
