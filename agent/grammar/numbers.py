"""Numbers as they are said: automata of number words, and the way back from words to values.

A range is never listed. Its values are split by thousands, hundreds and tens (in Mandarin by 10,000,
1,000, ...), and parts that go on in the same way share their states: 0 to 999,999 takes a few hundred.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence

from agent.grammar.automaton import NOTHING

Values = range | tuple[int, ...]
"""Ascending integers >= 0."""

_UNITS_EN = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
_TENS_EN = ["_", "_", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_DIGITS_ZH = "零一二三四五六七八九"
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6}
_SCALES_ZH = {"十": 10, "百": 100, "千": 1000, "万": 10**4}

POINT = {"en": "point", "zh": "点"}
MINUS = {"en": ("minus", "negative"), "zh": ("负", "零 下")}
"""What makes a number negative that is said after it."""
DIGITS: dict[str, tuple[tuple[str, ...], ...]] = {
    "en": (("zero", "oh"), *((word,) for word in _UNITS_EN[1:10])),
    "zh": (("零",), ("一", "幺"), *((digit,) for digit in _DIGITS_ZH[2:])),
}
"""Per language and digit: the words for it when digits are said one by one."""

_DIGIT_OF = {
    word: str(digit) for words in DIGITS.values() for digit, group in enumerate(words) for word in group
}
_DIGIT_OF["两"] = "2"
_NUMBER_OF = {word: value for value, word in enumerate(_UNITS_EN)} | {
    word: value * 10 for value, word in enumerate(_TENS_EN) if value > 1
}


class NumberWords:
    """Builds automata of number words in front of a given state.

    Args:
        say: (word, next state) to the state in which that word comes first.
        union: the state for any of several.
        language: `en` or `zh`.
    """

    def __init__(
        self, say: Callable[[str, int], int], union: Callable[[list[int]], int], language: str
    ) -> None:
        self._say = say
        self._union = union
        self._language = language
        self._known: dict[tuple[Values, int, bool], int] = {}

    def cardinal(self, values: Values, after: int, *, leading: bool = True) -> int:
        """Any of `values` as a cardinal, then `after`. `leading`: no larger part was said before."""
        if not values:
            return NOTHING
        key = values, after, leading
        if key not in self._known:
            build = self._english if self._language == "en" else self._mandarin
            self._known[key] = self._union(build(values, after, leading))
        return self._known[key]

    def digits(self, values: Values, after: int) -> int:
        """Any of `values` digit by digit, without leading zeros."""
        small = [self._digit(value, after) for value in _between(values, 0, 10)]
        for low, high in split(_between(values, 10, None), 10).items():
            small.append(self.digits(high, self._union([self._digit(value, after) for value in low])))
        return self._union(small)

    def fraction(self, values: Values, places: int, after: int) -> int:
        """Any of `values` as the digits behind the point, zeros at the end spoken or not."""
        options = []
        for rest, heads in split(values, 10 ** (places - 1)).items():
            ends = [after] if 0 in rest else []
            if places > 1:
                ends.append(self.fraction(rest, places - 1, after))
            options += [self._digit(head, self._union(ends)) for head in heads]
        return self._union(options)

    def spelled(self, words: Sequence[str], minimum: int, maximum: int, after: int) -> int:
        """From `minimum` to `maximum` of `words`, in any order and repeated."""
        state = after
        for length in range(maximum - 1, -1, -1):
            options = [self._say(word, state) for word in words]
            state = self._union([*options, after] if length >= minimum else options)
        return state

    def _digit(self, digit: int, after: int) -> int:
        return self._union([self._say(word, after) for word in DIGITS[self._language][digit]])

    def _english(self, values: Values, after: int, leading: bool) -> list[int]:
        options = [self._say(_UNITS_EN[value], after) for value in _between(values, 0, 20)]
        for low, tens in split(_between(values, 20, 100), 10).items():
            rest = self._rest(low, after, "")
            options += [self._say(_TENS_EN[ten], rest) for ten in tens]
        for word, low_end, high_end in (
            ("hundred", 100, 1000), ("thousand", 1000, 10**6), ("million", 10**6, 10**9)
        ):  # fmt: skip
            for low, high in split(_between(values, low_end, high_end), _SCALES[word]).items():
                rest = self._say(word, self._rest(low, after, "and"))
                options.append(self.cardinal(high, rest, leading=False))
                if leading and high[0] == 1:
                    options.append(self._say("a", rest))
        if leading:  # fifteen hundred and fifty
            for low, high in split(_between(values, 1100, 10_000), 100).items():
                odd = tuple(value for value in high if value % 10)
                options.append(
                    self.cardinal(odd, self._say("hundred", self._rest(low, after, "and")), leading=False)
                )
        return options

    def _rest(self, low: Values, after: int, joint: str) -> int:
        """What follows a scale word: nothing, or a smaller number, with "and" before the last two digits."""
        some = _between(low, 1, None)
        options = [self.cardinal(some, after, leading=False)]
        if len(some) < len(low):
            options.append(after)
        if joint:
            options.append(self._say(joint, self.cardinal(_between(some, 0, 100), after, leading=False)))
        return self._union(options)

    def _mandarin(self, values: Values, after: int, leading: bool) -> list[int]:
        options = [self._say(_DIGITS_ZH[value], after) for value in _between(values, 0, 10)]
        if leading and 2 in values:
            options.append(self._say("两", after))
        for word, scale in _SCALES_ZH.items():
            top = scale * 10 if scale < 10**4 else 10**8
            for low, high in split(_between(values, scale, top), scale).items():
                rest = self._say(word, self._rest_mandarin(low, scale, after))
                if 2 in high and scale > 10:
                    options.append(self._say("两", rest))
                if scale == 10 and leading and 1 in high:  # 十五, not 一十五
                    options.append(rest)
                    high = tuple(value for value in high if value != 1)
                options.append(self.cardinal(high, rest, leading=leading and scale > 1000))
        for low, high in split(_between(values, 10**8, None), 10**8).items():
            rest = self._say("亿", self._rest_mandarin(low, 10**8, after))
            options.append(self.cardinal(high, rest, leading=leading))
        return options

    def _rest_mandarin(self, low: Values, scale: int, after: int) -> int:
        options = [self.cardinal(_between(low, scale // 10, None), after, leading=False)]
        if scale > 10:  # a place is skipped: 一千零五
            options.append(
                self._say("零", self.cardinal(_between(low, 1, scale // 10), after, leading=False))
            )
        if low and low[0] == 0:
            options.append(after)
        return self._union(options)


def _between(values: Values, low: int, high: int | None) -> Values:
    end = len(values) if high is None else bisect_left(values, high)
    return values[bisect_left(values, low) : end]


def split(values: Values, unit: int) -> dict[Values, tuple[int, ...]]:
    """Group by what remains below `unit`: {remainders: the multiples of `unit` they occur with}."""
    groups: dict[Values, list[int]] = {}
    start = 0
    while start < len(values):
        high = values[start] // unit
        end = bisect_left(values, (high + 1) * unit, start)
        block, base = values[start:end], high * unit
        low: Values
        if isinstance(block, range):
            low = range(block[0] - base, block[-1] - base + 1, block.step)
        else:
            low = tuple(value - base for value in block)
        groups.setdefault(low, []).append(high)
        start = end
    return {low: tuple(high) for low, high in groups.items()}


def numeral(words: Sequence[str]) -> str:
    """The decimal numeral that number words mean: `twelve point five` is "12.5".

    Raises:
        ValueError: no number.
    """
    ways = (said.split() for group in MINUS.values() for said in group)
    minus = next((way for way in ways if list(words[: len(way)]) == way), [])
    words = list(words[len(minus) :])
    sign = "-" if minus else ""
    point = next((index for index, word in enumerate(words) if word in POINT.values()), len(words))
    whole, fraction = words[:point], words[point + 1 :]
    if not whole and not fraction:
        raise ValueError("no number")
    text = sign + (_whole(whole) if whole else "0")
    return f"{text}.{''.join(map(spelled_digit, fraction))}" if fraction else text


def may_end_number(words: Sequence[str]) -> bool:
    """Whether words may be the end of a number: `hundred`, `point five`, `千`."""
    try:
        numeral(words)
    except ValueError:
        return False
    return words[-1] not in ("a", "and")


def spelled_digit(word: str) -> str:
    """The digit that `word` names.

    Raises:
        ValueError: no digit.
    """
    if word not in _DIGIT_OF:
        raise ValueError(f"`{word}` is no digit")
    return _DIGIT_OF[word]


def _whole(words: Sequence[str]) -> str:
    if all(word in _DIGIT_OF for word in words):
        return "".join(_DIGIT_OF[word] for word in words)
    if any(word in "十百千万亿" for word in words):
        return str(_whole_mandarin(words))
    total = current = 0
    for word in words:
        if word == "hundred":
            current *= 100
        elif word in _SCALES:
            total, current = total + current * _SCALES[word], 0
        elif word == "a":
            current += 1
        elif word != "and":
            if word not in _NUMBER_OF:
                raise ValueError(f"`{word}` is no number")
            current += _NUMBER_OF[word]
    return str(total + current)


def _whole_mandarin(words: Sequence[str]) -> int:
    total = section = digit = 0
    for word in words:
        if word in _DIGIT_OF:
            digit = int(_DIGIT_OF[word])
        elif word == "万":  # of what was said since 亿
            total += (section + digit) * 10**4
            section = digit = 0
        elif word == "亿":
            total = (total + section + digit) * 10**8
            section = digit = 0
        elif word in _SCALES_ZH:
            section += (digit or 1) * _SCALES_ZH[word]
            digit = 0
        else:
            raise ValueError(f"`{word}` is no number")
    return total + section + digit
