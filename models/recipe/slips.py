"""Sentences with one wrong sound, said and labelled so: for an ear that hears sounds, not habits.

A network that only ever hears real words learns which sound must come next, and hears it although another was
said. Here a sound is changed in what Kokoro reads and in what the recognizer should answer alike, so that the
label stays true even where no dictionary has such a word.
"""

from difflib import SequenceMatcher
from random import Random

from models.recipe.phones import ARPABET, distinct

_LETTERS = {
    "EY": "A", "AY": "I", "OW": "O", "AW": "W", "OY": "Y", "AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ",
    "EH": "ɛ", "IH": "ɪ", "IY": "i", "UH": "ʊ", "UW": "u", "JH": "ʤ", "CH": "ʧ", "B": "b", "D": "d",
    "DH": "ð", "F": "f", "G": "ɡ", "HH": "h", "K": "k", "L": "l", "M": "m", "N": "n", "P": "p", "R": "ɹ",
    "S": "s", "SH": "ʃ", "T": "t", "TH": "θ", "V": "v", "W": "w", "Y": "j", "Z": "z",
}  # fmt: skip
"""The letter with which Kokoro says a sound clearly."""
_FREELY_SAID = frozenset("əɐᵊᵻTɹ")
"""Not changed: reduced vowels and flaps, which no label pins down, and r, which colours vowels."""


def slip(spoken: str, targets: str, rng: Random) -> tuple[str, str] | None:
    """Change one sound of an English sentence, vowel for vowel or consonant for consonant.

    Args:
        spoken: the phone letters that Kokoro reads.
        targets: the sounds that belong to them, words apart by ` | `.
        rng: draws the place and the sound.

    Returns:
        Both, changed; None if it is not clear which letters are which sounds.
    """
    said, wanted = spoken.split(" "), [word.split() for word in targets.split(" | ")]
    if len(said) != len(wanted):  # espeak-ng has joined words
        return None
    places = [
        (word, at, place)
        for word, (letters, sounds) in enumerate(zip(said, wanted, strict=True))
        for at, place in _agreeing(letters, sounds)
    ]
    if not places:
        return None
    word, at, place = rng.choice(places)
    sounds = wanted[word]
    old, beside = sounds[place], {*sounds[max(0, place - 1) : place], *sounds[place + 1 : place + 2]}
    new = rng.choice([sound for sound in _LETTERS if distinct(sound, old) and sound not in beside])
    said[word] = said[word][:at] + _LETTERS[new] + said[word][at + 1 :]
    sounds[place] = new
    return " ".join(said), " | ".join(" ".join(word) for word in wanted)


def _agreeing(letters: str, sounds: list[str]) -> list[tuple[int, int]]:
    """Return places in a word's letters and in its sounds that are the same sound and may be changed."""
    heard = [at for at, letter in enumerate(letters) if letter in ARPABET]
    blocks = SequenceMatcher(None, [ARPABET[letters[at]] for at in heard], sounds, autojunk=False)
    pairs = [
        (heard[block.a + k], block.b + k) for block in blocks.get_matching_blocks() for k in range(block.size)
    ]
    return [
        (at, place)
        for at, place in pairs
        if letters[at] not in _FREELY_SAID and not letters[at + 1 : at + 2].startswith(("ɹ", "ə"))
    ]
