"""How alike two sounds are to the ear in noise: 0 the same, 1 unlike.

Consonants are compared by manner, place and voice, vowels by height, backness and glide (after the feature
charts of Ladefoged, A Course in Phonetics). Noise hides place first, manner and voice last (Miller and
Nicely, 1955).
"""

from difflib import SequenceMatcher
from functools import cache

_CONSONANTS = {
    # sound: manner, place (front to back), voiced
    "P": ("stop", 0, 0), "B": ("stop", 0, 1), "T": ("stop", 3, 0), "D": ("stop", 3, 1),
    "K": ("stop", 6, 0), "G": ("stop", 6, 1), "CH": ("affricate", 4, 0), "JH": ("affricate", 4, 1),
    "F": ("fricative", 1, 0), "V": ("fricative", 1, 1), "TH": ("fricative", 2, 0),
    "DH": ("fricative", 2, 1), "S": ("sibilant", 3, 0), "Z": ("sibilant", 3, 1),
    "SH": ("sibilant", 4, 0), "ZH": ("sibilant", 4, 1), "HH": ("fricative", 7, 0), "M": ("nasal", 0, 1),
    "N": ("nasal", 3, 1), "NG": ("nasal", 6, 1), "L": ("glide", 3, 1), "R": ("glide", 4, 1),
    "W": ("glide", 0, 1), "Y": ("glide", 5, 1), "b": ("stop", 0, 1), "p": ("stop", 0, 0),
    "m": ("nasal", 0, 1), "f": ("fricative", 1, 0), "d": ("stop", 3, 1), "t": ("stop", 3, 0),
    "n": ("nasal", 3, 1), "l": ("glide", 3, 1), "g": ("stop", 6, 1), "k": ("stop", 6, 0),
    "h": ("fricative", 6, 0), "j": ("affricate", 5, 1), "q": ("affricate", 5, 0),
    "x": ("sibilant", 5, 0), "zh": ("affricate", 4, 1), "ch": ("affricate", 4, 0),
    "sh": ("sibilant", 4, 0), "r": ("glide", 4, 1), "z": ("affricate", 3, 1), "c": ("affricate", 3, 0),
    "s": ("sibilant", 3, 0),
}  # fmt: skip
_VOWELS = {
    # sound: height (0 open to 4 close), backness (0 front to 2 back), glide at the end
    "IY": (4, 0, ""), "IH": (3, 0, ""), "EH": (2, 0, ""), "AE": (1, 0, ""), "AA": (0, 2, ""),
    "AO": (1, 2, ""), "AH": (2, 1, ""), "ER": (2, 1, "r"), "UH": (3, 2, ""), "UW": (4, 2, ""),
    "EY": (2, 0, "y"), "AY": (0, 1, "y"), "OY": (1, 2, "y"), "AW": (0, 1, "w"), "OW": (2, 2, "w"),
}  # fmt: skip
_AKIN = ({"fricative", "sibilant"}, {"sibilant", "affricate"}, {"stop", "affricate"}, {"nasal", "glide"})
_WEAK = frozenset({"AH", "IH", "HH", "T", "D", "TH", "DH"})


@cache
def replacing(sound: str, other: str) -> float:
    """Cost of hearing `other` where `sound` was said."""
    if sound == other:
        return 0.0
    if sound in _CONSONANTS and other in _CONSONANTS:
        (manner, place, voice), (manner2, place2, voice2) = _CONSONANTS[sound], _CONSONANTS[other]
        unlike = 0.0 if manner == manner2 else 0.3 if {manner, manner2} in _AKIN else 0.5
        return min(1.0, 0.2 + unlike + 0.06 * abs(place - place2) + 0.2 * abs(voice - voice2))
    if sound in _VOWELS and other in _VOWELS:
        (height, back, glide), (height2, back2, glide2) = _VOWELS[sound], _VOWELS[other]
        return min(
            1.0, 0.15 + 0.12 * abs(height - height2) + 0.15 * abs(back - back2) + 0.2 * (glide != glide2)
        )
    if sound.islower() and other.islower() and not {sound, other} & _CONSONANTS.keys():  # two pinyin finals
        return 1.0 - 0.7 * SequenceMatcher(None, sound, other).ratio()
    return 1.0


def dropping(sound: str) -> float:
    """Cost of missing `sound`, or of hearing it where it was not said."""
    return 0.6 if sound in _WEAK else 0.9


def distance(one: tuple[str, ...], other: tuple[str, ...]) -> float:
    """Cheapest way to turn the sounds of one word into those of another."""
    row = [0.0]
    for sound in other:
        row.append(row[-1] + dropping(sound))
    for sound in one:
        last, row = row, [row[0] + dropping(sound)]
        for index, target in enumerate(other):
            row.append(
                min(
                    last[index] + replacing(sound, target),
                    last[index + 1] + dropping(sound),
                    row[-1] + dropping(target),
                )
            )
    return row[-1]
